"""``homeostat alerts backtest`` and ``tune``: what rules would have done, and what to set."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click

from homeostat.alerting.replay import WEEK, Episode, Score
from homeostat.entrypoints import replay
from homeostat.entrypoints.cli.figure import Figure
from homeostat.entrypoints.cli.options import chosen, config_option, deployment, model_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.cli.progress import shares_done
from homeostat.entrypoints.cli.spec import duration
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.replay import Lived, Report
from homeostat.entrypoints.replay_advice import Proposal, propose
from homeostat.entrypoints.settings import Settings, load
from homeostat.entrypoints.settings.values import format_duration
from homeostat.stats.intervals import Interval

F = TypeVar("F", bound=Callable[..., object])
DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])
WIDEST = 100
HOURLY = timedelta(hours=1)
UNKNOWN = "not known"


def _span(_context: click.Context, _option: click.Parameter, given: str | None) -> timedelta | None:
    return None if given is None else duration(given)


def _step(_context: click.Context, _option: click.Parameter, given: str | None) -> timedelta | None:
    step = None if given is None else duration(given)
    if step is not None and step <= timedelta(0):
        raise click.BadParameter("time does not stand still; write for example 1h")
    return step


def past_options(command: F) -> F:
    """Add what both commands take: which past, and what was really wrong in it."""
    options = (
        click.argument("history", type=click.Path(path_type=Path), required=False),
        model_option,
        click.option(
            "--incidents",
            type=click.Path(path_type=Path),
            help="CSV of what was really wrong: model,start,end and perhaps kind, an alert rule.",
        ),
        click.option(
            "--grace",
            callback=_span,
            help="How long after its end an incident may still be told (12h); default: until its"
            " labels are complete and measured.",
        ),
        click.option("--from", "start", type=DAY, help="Begin (UTC); default: of the records, or"
                     " half-way through the history."),
        click.option("--to", "end", type=DAY, help="End (UTC); default: that of the past."),
        click.option(
            "--every",
            callback=_step,
            help="With HISTORY: time between two looks; default: 1h.",
        ),
        config_option,
        json_option,
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command("backtest")
@past_options
def backtest(
    *,
    config_path: Path,
    history: Path | None,
    model: str,
    incidents: Path | None,
    grace: timedelta | None,
    start: datetime | None,
    end: datetime | None,
    every: timedelta | None,
    as_json: bool,
) -> None:
    """Replay alert rules on the past: pages a week, false and missed ones, delays, who is told.

    Without HISTORY, the rules as they are now are replayed over what
    this deployment has on record; nothing is written. HISTORY is a labelled file, as of homeostat
    backtest: the engine lives through it first.

    Example: homeostat alerts backtest --incidents known.csv --from 2026-01-01
    """
    settings = load(config_path)
    period, troubles = (_utc(start), _utc(end)), replay.truth(settings, incidents)
    with shares_done() as progress:
        lived = _lived(settings, config_path, history, model, period, every, progress)
        found = replay.report(settings, lived, troubles, grace, progress)
    if as_json:
        print_json(_values(found, recorded=history is None))
    else:
        _tell(found, lived, recorded=history is None)


@click.command("tune")
@past_options
@click.option(
    "--pages-per-week",
    "budget",
    type=Figure(0, min_open=True),
    required=True,
    help="Pages that all rules of a model together may send in a week.",
)
@click.option(
    "--false-only", is_flag=True, help="With --incidents: pages about these do not count."
)
@click.option(
    "--critical", is_flag=True, help="Try hold durations for critical built-in alerts, too."
)
def tune(
    *,
    config_path: Path,
    history: Path | None,
    model: str,
    incidents: Path | None,
    grace: timedelta | None,
    start: datetime | None,
    end: datetime | None,
    every: timedelta | None,
    as_json: bool,
    budget: float,
    false_only: bool,
    critical: bool,
) -> None:
    """Propose limits, hold durations and minimum samples for a budget of pages.

    Settings are tried on the past that homeostat alerts backtest replays. What keeps within the
    budget is printed with what it would have cost, and as lines for homeostat.yaml; nothing is
    changed.

    Example: homeostat alerts tune --pages-per-week 0.5 --incidents known.csv
    """
    if false_only and incidents is None:
        raise click.UsageError("--false-only needs --incidents: else nothing is known to be false")
    settings = load(config_path)
    period, troubles = (_utc(start), _utc(end)), replay.truth(settings, incidents)
    with shares_done() as progress:
        lived = _lived(settings, config_path, history, model, period, every, progress)
        found = [
            propose(
                settings, each, budget, troubles, grace, progress,
                only_false=false_only, critical=critical,
            )
            for each in lived
        ]  # fmt: skip
    if as_json:
        print_json({"models": [each.values() for each in found]})
        return
    for each in found:
        advise(each)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _lived(
    settings: Settings,
    config: Path,
    history: Path | None,
    model: str,
    period: tuple[datetime | None, datetime | None],
    every: timedelta | None,
    progress: replay.Progress,
) -> list[Lived]:
    if history is not None:
        with tempfile.TemporaryDirectory(prefix="homeostat-replay-") as folder:
            return [
                replay.from_history(
                    settings, model, history, period, every or HOURLY, Path(folder), progress
                )
            ]
    if every is not None:
        raise click.UsageError("--every is for HISTORY: records have the ticks that there were")
    with deployment(config) as opened:
        records, now = opened.records, opened.clock.now()
        registry = open_registry(settings, opened.clock)
        return [
            replay.from_records(settings, records, registry, name, period, now, progress)
            for name in chosen(settings, model)
        ]


def _tell(found: Report, lived: Sequence[Lived], *, recorded: bool) -> None:
    span, weeks = found.span, found.span.length / WEEK
    names = ", ".join(each.plan.spec.name for each in lived)
    ticks = sum(len(each.tape.ticks) for each in lived)
    click.echo(
        f"{names}: {when(span.start)} to {when(span.end)} UTC ({weeks:.1f} weeks, {ticks:,} ticks)"
    )
    click.echo(
        f"{len(found.episodes)} pages, {_rate(found.rate, found.interval)} a week; "
        f"worst week {_worst(found)}"
    )
    if recorded:
        click.echo(f"on record are {found.recorded}; {found.same} of them fire at the same tick")
    for each in lived:
        if each.unknown:
            names = ", ".join(each.unknown)
            click.echo(f"not replayed, for what they look at is not on record: {names}")
    click.echo("\nby rule")
    print_table(
        ("rule", "severity", "pages", "a week (95 %)", "worst week", "flaps", "fires for (median)",
         "longest", "false"),
        (
            (_of(lived, f.model, f.rule), f.severity.value, str(f.pages),
             _rate(f.rate, f.interval), str(f.worst), str(f.flaps), _length(f.median),
             _length(f.longest), UNKNOWN if f.false is None else str(f.false))
            for f in found.rules
        ),
        "nothing fired",
    )  # fmt: skip
    click.echo("\nwho is told")
    print_table(
        ("receiver", "at once", "later", "not: over by then", "a week"),
        (
            (r.receiver, str(r.at_once), str(r.later), str(r.never), f"{r.rate:.2g}")
            for r in found.receivers
        ),
        "nobody",
    )
    click.echo("\nincidents")
    print_table(
        ("began", "ended", "for", "rule", "severity", "why", "truth"),
        (_line(found, lived, episode) for episode in found.episodes),
        "none",
    )
    _tell_truth(found.score)


def _line(found: Report, lived: Sequence[Lived], episode: Episode) -> tuple[str, ...]:
    truth = UNKNOWN
    if found.score is not None:
        truth = "false" if episode in found.score.false else "true"
    reason = episode.reason
    return (
        when(episode.began),
        "goes on" if episode.ended is None else when(episode.ended),
        _length(episode.length(found.span.end)),
        _of(lived, episode.model, episode.rule),
        episode.severity.value,
        reason if len(reason) <= WIDEST else f"{reason[:WIDEST]}...",
        truth,
    )


def _tell_truth(score: Score | None) -> None:
    if score is None:
        click.echo(
            "\nfalse pages, missed incidents and delays are not known; give --incidents FILE.csv"
        )
        return
    click.echo(
        f"\nknown incidents: {len(score.found)} found, {len(score.missed)} missed; "
        f"false pages: {len(score.false)}; fired outside of them: {_length(score.false_time)}; "
        f"median delay: {_delay(score.delay)}"
    )
    rows = [(d.trouble, d.episode.rule, _delay(d.delay)) for d in score.found]
    rows += [(t, "missed", "-") for t in score.missed]
    rows += [(t, "outside of the past that was replayed", "-") for t in score.outside]
    print_table(
        ("model", "start", "end", "kind", "told by", "delay"),
        (
            (t.model, when(t.start), when(t.end), t.kind or "any", by, delay)
            for t, by, delay in sorted(rows, key=lambda row: (row[0].start, row[0].model))
        ),
        "none is known",
    )


def advise(found: Proposal) -> None:
    """Print what is proposed."""
    advised = found.advised
    click.echo(
        f"{found.model}: {advised.pages:.2g} {found.what} a week now, "
        f"over {advised.weeks:.1f} weeks; the budget is {found.budget:g}"
    )
    for line in found.warnings:
        click.echo(f"warning: {line}")
    click.echo("")
    print_table(found.titles, found.rows(), "there is no rule")
    after = found.after
    click.echo(f"\nwith all that is proposed: {after}")
    if found.snippet:
        click.echo(f"\n{found.snippet}", nl=False)


def _of(lived: Sequence[Lived], model: str, rule: str) -> str:
    return rule if len(lived) == 1 else f"{model}: {rule}"


def _rate(rate: float, interval: Interval) -> str:
    return f"{rate:.2g} ({interval.lower:.2g} to {interval.upper:.2g})"


def _worst(found: Report) -> str:
    most = max(found.weeks)
    begin = found.span.start + found.weeks.index(most) * WEEK
    return f"{most}, from {begin:%Y-%m-%d}"


def _length(length: timedelta) -> str:
    return format_duration(timedelta(minutes=round(length / timedelta(minutes=1))))


def _delay(delay: timedelta | None) -> str:
    return UNKNOWN if delay is None else _length(delay)


def _values(found: Report, *, recorded: bool) -> dict[str, object]:
    body = asdict(found)
    if not recorded:
        del body["recorded"], body["same"]
    return body | {"rate": found.rate, "interval": asdict(found.interval)}
