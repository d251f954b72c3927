"""Tells the demo in the terminal: progress while it plays, the table at its end."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from homeostat.domain.effect import Notify, NotifyAction
from homeostat.entrypoints.demo.score import Outcome, Score
from homeostat.entrypoints.demo.story import Story

WHY_LENGTH = 180  # the whole text is in the decision log
COLOURS = {
    NotifyAction.TRIGGER: "red",
    NotifyAction.ACKNOWLEDGE: "yellow",
    NotifyAction.RESOLVE: "green",
    NotifyAction.UPDATE: "cyan",
}


def spell(span: timedelta | None) -> str:
    """Write a duration with its two largest units.

    Examples
    --------
    >>> spell(timedelta(days=15, hours=13, minutes=30)), spell(timedelta(minutes=3)), spell(None)
    ('15 d 13 h', '3 min', '-')
    """
    if span is None:
        return "-"
    minutes = int(span.total_seconds() // 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"


class Teller:
    """Shows the play as it goes: a progress bar, and every notification that a person would get."""

    def __init__(self, console: Console, story: Story) -> None:
        self._console, self._story = console, story
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), console=console, transient=True,
        )  # fmt: skip
        total = (story.end - story.start).total_seconds()
        self._task = self._bar.add_task("day  0", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def progress(self, now: datetime) -> None:
        """Show how far the play is."""
        done = now - self._story.start
        text = f"day {done.days:2d} of {(self._story.end - self._story.start).days}"
        self._bar.update(self._task, completed=done.total_seconds(), description=text)

    def send(self, notice: Notify) -> None:
        """Show a notification; this is the demo's receiver."""
        colour = COLOURS[notice.action]
        first = notice.body.splitlines()[0] if notice.body else ""
        self._console.print(
            f"  {notice.at:%a %d %b %H:%M} [{colour}]{notice.action.upper():<11}[/] "
            f"[bold]{escape(notice.title)}[/] {escape(first)}",
            soft_wrap=False,
        )


def table(score: Score) -> Table:
    """Return the table of all events."""
    found = Table(title="What happened, and what Homeostat did about it", show_lines=True)
    for name in ("event", "detected after", "recovered after", "what was done", "why"):
        found.add_column(name, overflow="fold")
    for outcome in score.outcomes:
        mark = "[green]✓[/]" if outcome.handled else "[red]✗[/]"
        found.add_row(
            f"{mark} [bold]{outcome.event.name}[/]\n{outcome.event.what}",
            _time(outcome.detected, outcome.real_detected),
            _time(outcome.recovered, outcome.real_recovered),
            escape(outcome.done),
            escape(textwrap.shorten(outcome.why, WHY_LENGTH, placeholder=" ...")),
        )
    return found


def _time(simulated: timedelta | None, real: float | None) -> str:
    return spell(simulated) if real is None else f"{spell(simulated)}\n[dim]{real:.1f} s real[/]"


def as_values(score: Score) -> dict[str, object]:
    """Return the score as plain values, for ``--json``; real seconds are left to the caller."""
    return {
        "events": [_values(outcome) for outcome in score.outcomes],
        "handled": score.handled,
        "false_alarms": [asdict(alarm) for alarm in score.false_alarms],
    }


def _values(outcome: Outcome) -> dict[str, object]:
    return {
        "name": outcome.event.name,
        "what": outcome.event.what,
        "start": outcome.event.start,
        "handled": outcome.handled,
        "detected_seconds": _seconds(outcome.detected),
        "recovered_seconds": _seconds(outcome.recovered),
        "real_detected_seconds": outcome.real_detected,
        "real_recovered_seconds": outcome.real_recovered,
        "done": outcome.done,
        "why": outcome.why,
    }


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
