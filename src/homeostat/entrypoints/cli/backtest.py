"""``homeostat backtest``: what would have happened on a user's own history."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from homeostat.adapters.clock import SystemClock
from homeostat.alerting.replay import Episode
from homeostat.domain.decision import Decision
from homeostat.domain.errors import DataError
from homeostat.domain.text import printable
from homeostat.entrypoints.backtest import (
    ALONE,
    HOMEOSTAT,
    Backtest,
    Result,
    midway,
)
from homeostat.entrypoints.backtest_alarms import Alarms, alarms
from homeostat.entrypoints.backtest_figures import Month
from homeostat.entrypoints.backtest_sheet import (
    ALARM_TITLES,
    INCIDENT_TITLES,
    Prices,
    alarm_rows,
    backtest_sheet,
    cost_cells,
    costs,
    in_short,
    incident_rows,
    told,
)
from homeostat.entrypoints.cli.alerts_backtest import advise
from homeostat.entrypoints.cli.figure import Figure
from homeostat.entrypoints.cli.options import model_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.cli.progress import shares_done
from homeostat.entrypoints.history import tell_history
from homeostat.entrypoints.replay import from_history, truth
from homeostat.entrypoints.replay_advice import Proposal, propose
from homeostat.entrypoints.settings import load
from homeostat.reports.sheet import to_html

WIDEST = 150


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("history", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--from",
    "start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day (UTC) on which the replay begins; default: half-way through the history.",
)
@click.option(
    "--incidents",
    "--truth",
    "incidents",
    type=click.Path(path_type=Path),
    help="CSV of what was really wrong: model,start,end and perhaps kind, an alert rule.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a report with pictures to this file.",
)
@click.option(
    "--pages-per-week",
    "budget",
    type=Figure(0, min_open=True),
    help="Propose settings of alert rules for so many pages; lives through the history again.",
)
@click.option("--label-price", type=Figure(0), help="What a label costs, in any unit.")
@click.option("--retraining-price", type=Figure(0), help="What a retraining costs, in that unit.")
@json_option
def backtest(
    *,
    config: Path,
    history: Path,
    model: str,
    start: datetime | None,
    incidents: Path | None,
    html: Path | None,
    budget: float | None,
    label_price: float | None,
    retraining_price: float | None,
    as_json: bool,
) -> None:
    """Replay your history: what Homeostat would have done, and what it would have gained.

    CONFIG is a homeostat.yaml with a trainer; HISTORY a Parquet or CSV file with one row a
    prediction: its time, its features, its label and the time at which that became known. Days
    before --from train the first model. From then on, a label is known only once it has arrived.

    A model that is served elsewhere needs no trainer: where history.score names the column with
    its answers, days before --from say what is normal.

    Prints what was decided, and the figures of each month if the first model is left alone, if it
    is retrained on the first of each month on every label known by then (or on those of the last 90
    days), and with Homeostat. With --incidents also how many alarms were about one, how many of
    these were told, and how late. Nothing is kept but the report.

    Example: homeostat backtest homeostat.yaml history.parquet --incidents known.csv --html b.html
    """
    settings = load(config)
    name = settings.model(model).name
    troubles = truth(settings, incidents)
    given = tell_history(settings, name, history)
    begin = midway(given.rows) if start is None else start.replace(tzinfo=UTC)
    with tempfile.TemporaryDirectory(prefix="homeostat-backtest-") as folder:
        test = Backtest(settings, name, given.rows, begin, Path(folder))
        with _shown(test):
            result = test.run()
        found = alarms(test.plan, result.decisions, result.span, troubles)
        advice = None
        if budget is not None:
            period = (begin, None)
            with shares_done() as progress:
                lived = from_history(
                    settings, name, history, period, timedelta(days=1), Path(folder), progress
                )
                advice = propose(settings, lived, budget, troubles, None, progress)
    prices = Prices(label_price, retraining_price)
    if html is not None:
        sheet = backtest_sheet(result, found, prices, SystemClock().now(), advice, given.notes)
        _write(html, to_html(sheet))
    if as_json:
        print_json(_values(result, found, prices, advice) | {"notes": given.notes})
        return
    _tell(result, found, prices, given.notes)
    if advice is not None:
        click.echo("")
        advise(advice)
    if html is not None:
        click.echo(f"\nReport: {html}")


@contextmanager
def _shown(test: Backtest) -> Iterator[None]:
    """Show how far each policy is, where a person looks on."""
    screen = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[day]}"), TimeElapsedColumn(), console=screen, transient=True,
        disable=not screen.is_terminal,
    )  # fmt: skip
    total = (test.end - test.start).total_seconds()
    tasks = {name: bar.add_task(name, total=total, day="") for name in test.replayed}

    def progress(policy: str, now: datetime) -> None:
        done = (now - test.start).total_seconds()
        bar.update(tasks[policy], completed=done, day=f"{now:%Y-%m-%d}")

    test.progress = progress
    with bar:
        yield


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"the report cannot be written to {path}: {error}") from error


def _tell(result: Result, found: Alarms, prices: Prices, notes: Sequence[str]) -> None:
    span = f"{result.start:%Y-%m-%d} to {result.end:%Y-%m-%d}"
    click.echo(f"{result.model}: {span}, {result.answered.num_rows:,} predictions\n")
    for note in notes:
        click.echo(f"note: {printable(note)}")
    lines = map(_line, told(result.decisions))
    print_table(("day", "decision", "about", "why"), lines, "nothing was decided")
    click.echo(f"\n{in_short(found)}")
    if found.score is not None:
        shown = ((*row[:-1], _cut(row[-1])) for row in alarm_rows(result, found))
        print_table(ALARM_TITLES, shown, "no alarms")
        click.echo("\nknown incidents")
        print_table(INCIDENT_TITLES, incident_rows(found), "none is known")
    click.echo("\nwhat each policy costs")
    costs = ((policy, *cost_cells(result, policy, prices)) for policy in result.scores)
    print_table(("policy", "retrainings", "labels", "cost"), costs, "none")
    policies = tuple(result.months[-1].figures) if result.months else ()
    metrics = tuple(result.months[-1].figures[ALONE]) if result.months else ()
    for metric in metrics:
        click.echo(f"\n{metric.replace('_', ' ')} by month of prediction")
        titles = ("month", "rows", "mean label", *policies)
        print_table(titles, _figures(result.months, metric), "no row has a label")


def _line(decision: Decision) -> tuple[str, str, str, str]:
    return f"{decision.at:%Y-%m-%d}", decision.action, decision.subject, _cut(decision.reason)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}..."


def _figures(months: Sequence[Month], metric: str) -> Iterator[Sequence[str]]:
    """Yield a line a month, and last what Homeostat's figure over all is beside the others'."""
    for month in months:
        cells = (f"{figures[metric]:.3f}" for figures in month.figures.values())
        yield (month.month, f"{month.rows:,}", f"{month.mean_label:.3f}", *cells)
    if months and HOMEOSTAT in months[-1].figures:
        whole = months[-1].figures
        own = whole[HOMEOSTAT][metric]
        gaps = (f"{own - figures[metric]:+.3f}" for figures in whole.values())
        yield (f"{HOMEOSTAT} minus", "", "", *gaps)


def _values(
    result: Result, found: Alarms, prices: Prices, advice: Proposal | None
) -> dict[str, object]:
    score = found.score
    return {
        "model": result.model,
        "start": result.start,
        "end": result.end,
        "predictions": result.answered.num_rows,
        "decisions": [asdict(decision) for decision in result.decisions],
        "months": [
            {
                "month": month.month,
                "rows": month.rows,
                "mean_label": month.mean_label,
                "figures": {name: dict(found) for name, found in month.figures.items()},
            }
            for month in result.months
        ],
        "alarms": {
            "episodes": [
                asdict(each) | {"delay": found.delay(each)} | _truth(found, each)
                for each in found.episodes
            ],
            "precision": found.precision,
            "recall": found.recall,
            "delay": None if score is None else score.delay,
            "missed": None if score is None else [asdict(each) for each in score.missed],
        },
        "costs": {
            policy: dict(
                zip(("retrainings", "labels", "cost"), costs(result, policy, prices), strict=True)
            )
            for policy in result.scores
        },
        "advice": None if advice is None else advice.values(),
    }


def _truth(found: Alarms, episode: Episode) -> dict[str, object]:
    return {"false": None if found.score is None else episode in found.score.false}
