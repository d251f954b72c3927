"""What the owner's alert rules say at a tick, and what is remembered of them until the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from homeostat.alerting.conditions.kinds import OnSeries
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.signal import Facts, Signal, State
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.point import Point
from homeostat.engine.mishaps import Bulkhead
from homeostat.engine.plan import ModelPlan
from homeostat.engine.signals_figures import Figures, Sources
from homeostat.engine.signals_served import SERVED, Tally, count
from homeostat.engine.watch import rules_key, tallies_key

FAILED = Signal(None, "could not be evaluated")
S = TypeVar("S")
STALE = 2
"""Times a series' ``every`` after which its last figure says nothing of now."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One rule of the owner's.

    Attributes
    ----------
    rule, mark, about : str
        Its name, which condition it had, and what that was about.
    state : State or None
        Of conditions on series, once they were evaluated.
    active, reason
        What it said last: as of a `Signal`.
    seen : datetime or None
        Start of the newest window that it looked at.
    came : datetime or None
        When that figure came.
    """

    rule: str
    mark: str
    about: str
    state: State | None = None
    active: bool | None = None
    reason: str = "no figure yet"
    seen: datetime | None = None
    came: datetime | None = None

    @property
    def signal(self) -> Signal:
        """What it said last."""
        return Signal(self.active, self.reason, (self.about,) if self.active else ())


@dataclass(frozen=True, slots=True)
class RulesMemory:
    """All of a model's own rules; a version, and what it was trained until."""

    rules: tuple[Remembered, ...] = ()
    trained: tuple[str, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Tallies:
    """What is being counted for the rules."""

    open: tuple[Tally, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """Signals of rules on series, by name; and rules that are gone or about something else now."""

    signals: Mapping[str, Signal] = field(default_factory=dict)
    gone: tuple[str, ...] = ()


class Memory(Protocol):
    """Where states are kept between two ticks: a `UnitOfWork`, or what a replay remembers."""

    def load(self, key: str, kind: type[S]) -> S | None:
        """Return the state stored under `key`."""
        ...

    def save(self, key: str, state: object) -> None:
        """Store a state."""
        ...


def hear(
    plan: ModelPlan, uow: Memory, sources: Sources, now: datetime, bulkhead: Bulkhead
) -> Heard:
    """Show every rule on a series its new figures, and save what is to be remembered.

    A rule that looks at nothing new costs next to nothing; one that fails leaves the others alone.
    """
    key = rules_key(plan.spec.name)
    before = uow.load(key, RulesMemory) or RulesMemory()
    own = [rule for rule in plan.rules if rule.own]
    if not own and not before.rules:
        return Heard()
    full = _count(plan, uow, sources, own)
    figures = Figures(plan, sources, now, full, before.trained)
    known = {entry.rule: entry for entry in before.rules}
    signals: dict[str, Signal] = {}
    entries: list[Remembered] = []
    for rule in own:
        entry = known.get(rule.name)
        if entry is None or entry.mark != rule.mark:
            entry = Remembered(rule.name, rule.mark, rule.about)
        if not isinstance(rule.condition, Verdicts):
            entry, signals[rule.name] = _look(rule.name, rule.condition, entry, figures, bulkhead)
        entries.append(entry)
    kept = len(entries) == len(known) and all(known.get(e.rule) is e for e in entries)
    if not kept or figures.trained != before.trained:
        uow.save(key, RulesMemory(tuple(entries), figures.trained))
    return Heard(signals, () if kept else _gone(entries, known))


def _gone(entries: list[Remembered], known: Mapping[str, Remembered]) -> tuple[str, ...]:
    now = {entry.rule: entry.about for entry in entries}
    return tuple(name for name, entry in known.items() if now.get(name) != entry.about)


def _count(
    plan: ModelPlan, uow: Memory, sources: Sources, own: list[AlertRule]
) -> dict[timedelta, Tally]:
    """Count what was served, and return the tallies whose time is over."""
    asked: dict[timedelta, set[str]] = {}
    for rule in own:
        if rule.series is not None and rule.series.name in SERVED:
            asked.setdefault(rule.series.every, set()).add(rule.series.name)
    if not asked or sources.served is None:
        return {}
    key = tallies_key(plan.spec.name)
    before = uow.load(key, Tallies) or Tallies()
    tallies, full = count(before.open, sources.served, asked)
    if tallies != before.open:
        uow.save(key, Tallies(tallies))
    return full


def _look(
    name: str, condition: OnSeries, entry: Remembered, figures: Figures, bulkhead: Bulkhead
) -> tuple[Remembered, Signal]:
    """Show a condition what is new; at first, what it wants to begin with."""
    series = condition.series
    if entry.state is None:
        points = figures.history(series, condition.reach)
    else:
        points = figures.new(series, entry.seen)
    if points or entry.state is None or isinstance(condition, Missing):
        evaluate = partial(_evaluated, condition, entry, figures, points)
        return bulkhead.run(f"alert rule {name}", evaluate, (entry, FAILED))
    if entry.came is not None and figures.now - entry.came > STALE * series.every:
        return entry, Signal(None, f"{series}: no figure since {entry.came:%Y-%m-%dT%H:%M}")
    return entry, entry.signal


def _evaluated(
    condition: OnSeries, entry: Remembered, figures: Figures, points: tuple[Point, ...]
) -> tuple[Remembered, Signal]:
    sources = figures.sources
    gap = timedelta(0) if sources.served is None else sources.served.window.length
    facts = Facts(figures.now, sources.reference(condition.series.name), gap)
    state, signal = condition.evaluate(entry.state or State(), points, facts)
    told = signal or entry.signal
    seen, came = (points[-1].window.start, figures.now) if points else (entry.seen, entry.came)
    if condition.series.gauge or isinstance(condition, Missing):
        # Told anew at each tick: only what changes is worth remembering.
        seen = entry.seen if condition.series.gauge else seen
        kept = state == entry.state and seen == entry.seen
        return (entry if kept else replace(entry, state=state, seen=seen)), told
    after = Remembered(
        entry.rule, entry.mark, entry.about, state, told.active, told.reason, seen, came
    )
    return after, told
