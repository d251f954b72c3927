"""What the owner's alert rules say at a tick, and what is remembered of them until the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from homeostat.alerting.conditions.kinds import OnSeries, State
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.signal import Facts, Signal
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.point import Point
from homeostat.engine.mishaps import Bulkhead
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import UnitOfWork
from homeostat.engine.signals_figures import Figures, Sources
from homeostat.engine.signals_served import SERVED, Tally, count
from homeostat.engine.watch import rules_key

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
        Of conditions on series.
    signal : Signal
        What it said last.
    seen : datetime or None
        Start of the newest window that it looked at.
    came : datetime or None
        When that figure came.
    """

    rule: str
    mark: str
    about: str
    state: State | None = None
    signal: Signal = field(default_factory=lambda: Signal(None, "no figure yet"))
    seen: datetime | None = None
    came: datetime | None = None


@dataclass(frozen=True, slots=True)
class RulesMemory:
    """All of a model's own rules; what is counted for them; what the champion was trained until."""

    rules: tuple[Remembered, ...] = ()
    tallies: tuple[Tally, ...] = ()
    trained: tuple[str, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Signals of rules on series, by name; and rules that are gone or about something else now."""

    signals: Mapping[str, Signal] = field(default_factory=dict)
    gone: tuple[str, ...] = ()


def hear(
    plan: ModelPlan, uow: UnitOfWork, sources: Sources, now: datetime, bulkhead: Bulkhead
) -> Heard:
    """Show every rule on a series its new figures, and save what is to be remembered.

    A rule that looks at nothing new costs next to nothing; one that fails leaves the others alone.
    """
    key = rules_key(plan.spec.name)
    before = uow.load(key, RulesMemory) or RulesMemory()
    own = [rule for rule in plan.rules if rule.own]
    if not own and not before.rules:
        return Heard()
    tallies, full = before.tallies, dict[timedelta, Tally]()
    if sources.served is not None:
        tallies, full = count(before.tallies, sources.served, _counted(own))
    figures = Figures(plan, sources, now, full, before.trained)
    known = {entry.rule: entry for entry in before.rules}
    signals: dict[str, Signal] = {}
    entries: list[Remembered] = []
    for rule in own:
        entry = known.get(rule.name)
        if entry is None or entry.mark != rule.mark:
            entry = Remembered(rule.name, rule.mark, about(rule))
        if not isinstance(rule.condition, Verdicts):
            look = partial(_look, rule.condition, entry, figures)
            unknown = Signal(None, "could not be evaluated")
            entry, signals[rule.name] = bulkhead.run(
                f"alert rule {rule.name}", look, (entry, unknown)
            )
        entries.append(entry)
    memory = RulesMemory(tuple(entries), tallies, figures.trained)
    if memory != before:
        uow.save(key, memory)
    return Heard(signals, _gone(own, known))


def about(rule: AlertRule) -> str:
    """Return what a rule is about: its incident ends when that becomes something else."""
    condition = rule.condition
    return condition.monitor if isinstance(condition, Verdicts) else str(condition.series)


def _gone(own: list[AlertRule], known: Mapping[str, Remembered]) -> tuple[str, ...]:
    now = {rule.name: about(rule) for rule in own}
    return tuple(name for name, entry in known.items() if now.get(name) != entry.about)


def _counted(own: list[AlertRule]) -> dict[timedelta, set[str]]:
    """Return the series that are to be counted, by the time of a figure."""
    asked: dict[timedelta, set[str]] = {}
    for rule in own:
        condition = rule.condition
        if not isinstance(condition, Verdicts) and condition.series.name in SERVED:
            asked.setdefault(condition.series.every, set()).add(condition.series.name)
    return asked


def _look(condition: OnSeries, entry: Remembered, figures: Figures) -> tuple[Remembered, Signal]:
    """Show a condition what is new; at first, what it wants to begin with."""
    if entry.state is None:
        points = figures.history(condition.series, condition.reach)
    else:
        points = figures.new(condition.series, entry.seen)
    if points or entry.state is None or isinstance(condition, Missing):
        entry = _evaluated(condition, entry, figures, points)
    late = entry.came is not None and figures.now - entry.came > STALE * condition.series.every
    if late and not points and not isinstance(condition, Missing):
        told = f"{condition.series}: no figure since {entry.came:%Y-%m-%dT%H:%M}"
        return entry, Signal(None, told)
    return entry, entry.signal


def _evaluated(
    condition: OnSeries, entry: Remembered, figures: Figures, points: tuple[Point, ...]
) -> Remembered:
    facts = Facts(figures.now, figures.sources.reference(condition.series.name))
    state, signal = condition.evaluate(entry.state, points, facts)
    entry = replace(entry, state=state, signal=signal or entry.signal)
    if not points or condition.series.gauge:
        return entry
    return replace(entry, seen=points[-1].window.start, came=figures.now)
