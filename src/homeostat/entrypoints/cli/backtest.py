"""``homeostat backtest``: what would have happened on a user's own history."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from homeostat.domain.decision import Decision
from homeostat.entrypoints.backtest import (
    ALONE,
    HOMEOSTAT,
    Backtest,
    Result,
    midway,
)
from homeostat.entrypoints.backtest_figures import Month
from homeostat.entrypoints.cli.options import model_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load

QUIET = frozenset({"hold", "submit", "ready_to_promote"})
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
@json_option
def backtest(
    *, config: Path, history: Path, model: str, start: datetime | None, as_json: bool
) -> None:
    """Replay your history: what Homeostat would have done, and what it would have gained.

    CONFIG is a homeostat.yaml with a trainer; HISTORY a Parquet or CSV file with one row a
    prediction: its time, its features, its label and the time at which that became known. Days
    before --from train the first model. From then on, a label is known only once it has arrived.

    A model that is served elsewhere needs no trainer: where history.score names the column with
    its answers, days before --from say what is normal.

    Prints what was decided, and the figures of each month if the first model is left alone, if it
    is retrained on the first of each month on every label known by then (or on those of the last 90
    days), and with Homeostat. Nothing is kept.

    Example: homeostat backtest homeostat.yaml history.parquet --from 2024-01-01
    """
    settings = load(config)
    name = settings.model(model).name
    rows = read_history(settings, name, history)
    begin = midway(rows) if start is None else start.replace(tzinfo=UTC)
    with tempfile.TemporaryDirectory(prefix="homeostat-backtest-") as folder:
        test = Backtest(settings, name, rows, begin, Path(folder))
        with _shown(test):
            result = test.run()
    if as_json:
        print_json(_values(result))
    else:
        _tell(result)


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


def _tell(result: Result) -> None:
    span = f"{result.start:%Y-%m-%d} to {result.end:%Y-%m-%d}"
    click.echo(f"{result.model}: {span}, {result.answered.num_rows:,} predictions\n")
    told = [decision for decision in result.decisions if decision.action not in QUIET]
    print_table(("day", "decision", "about", "why"), map(_line, told), "nothing was decided")
    policies = tuple(result.months[-1].figures) if result.months else ()
    metrics = tuple(result.months[-1].figures[ALONE]) if result.months else ()
    for metric in metrics:
        click.echo(f"\n{metric.replace('_', ' ')} by month of prediction")
        titles = ("month", "rows", "mean label", *policies)
        print_table(titles, _figures(result.months, metric), "no row has a label")


def _line(decision: Decision) -> tuple[str, str, str, str]:
    why = decision.reason if len(decision.reason) <= WIDEST else f"{decision.reason[:WIDEST]}..."
    return f"{decision.at:%Y-%m-%d}", decision.action, decision.subject, why


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


def _values(result: Result) -> dict[str, object]:
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
    }
