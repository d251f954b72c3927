"""What rules on series would have heard at each tick, from what is on record of the series."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.signal import Facts, Signal, State
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.rules import AlertRule
from homeostat.domain.point import Point
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.engine.inputs import References
from homeostat.engine.mishaps import Bulkhead
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, Registry
from homeostat.engine.signals import STALE, hear
from homeostat.engine.signals_figures import OPERATIONAL, Sources
from homeostat.engine.signals_served import SERVED
from homeostat.engine.tape import Change, Past, Subject, Tape
from homeostat.engine.watch import Watch, fresh, watch_key

S = TypeVar("S")
Progress = Callable[[datetime], None]

_MOMENT = timedelta(microseconds=1)
UNRECORDED = frozenset(SERVED - {"requests", "error_rate", "breaker_open"})
"""Series that nothing on record tells of: latencies, and answers by fallback tiers."""


def unrecorded(rules: Iterable[AlertRule]) -> tuple[AlertRule, ...]:
    """Return the rules of which nobody can know afterwards what they would have heard."""
    return tuple(rule for rule in rules if not _recorded(rule))


def _recorded(rule: AlertRule) -> bool:
    return rule.series is None or rule.series.name not in UNRECORDED


@dataclass
class _Memory:
    """What rules remember from tick to tick, for as long as a replay goes on."""

    states: dict[str, object] = field(default_factory=dict)

    def load(self, key: str, kind: type[S]) -> S | None:
        """Return the state stored under `key`."""
        found = self.states.get(key)
        return found if isinstance(found, kind) else None

    def save(self, key: str, state: object) -> None:
        """Store a state."""
        self.states[key] = state


class _Nothing:
    """Metric points from before the first tick: a rule that begins then has seen none."""

    def metrics(
        self,
        model: str,
        name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        segment: str | None = "",
    ) -> tuple[MetricPoint, ...]:
        """Return nothing."""
        del model, name, since, until, segment
        return ()


@dataclass(frozen=True, slots=True)
class _Kept(Static):
    """Limits of a series that write down what they are held to."""

    points: list[tuple[datetime, Point]] = field(default_factory=list, repr=False, compare=False)

    def evaluate(
        self, state: State, points: Sequence[Point], facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Hold each new figure to the limits, and keep it."""
        self.points.extend((facts.now, point) for point in points)
        return Static.evaluate(self, state, points, facts)


@dataclass
class Listener:
    """Shows a model's rules on series, tick by tick, what they would have been shown.

    Parameters
    ----------
    plan : ModelPlan
    records : Records
    registry : Registry
    """

    plan: ModelPlan
    records: Records
    registry: Registry
    _latest: dict[Subject, Verdict] = field(default_factory=dict, init=False)

    def heard(
        self, tape: Tape, past: Past, progress: Progress = lambda _: None
    ) -> Iterator[tuple[datetime, tuple[tuple[str, Signal], ...]]]:
        """Yield the signals that are new at a tick, by rule."""
        rules = [r for r in self.plan.rules if r.series is not None and _recorded(r)]
        if not rules:
            return
        plan = replace(self.plan, rules=tuple(rules))
        watch = self._watch(tape)
        references, memory = References(self.records), _Memory()
        before: dict[str, Signal] = {}
        changes = {change.at: change for change in tape.changes}
        complete = [m.window.end + self.plan.spec.labels.maturity for m in watch.matured]
        for at in self._ticks(rules, tape, past):
            if at in changes:
                self._learn(changes[at])
            matured = watch.matured[: bisect_right(complete, at)]
            seen = replace(watch, latest=tuple(self._latest.values()), matured=matured)
            champion = past.champion(at)
            sources = Sources(
                _Nothing(),
                self.registry,
                seen,
                champion,
                past.points.get(at, ()),
                past.served.get(at),
                references.baseline(self.plan.spec.name, champion),
            )
            told = hear(plan, memory, sources, at, Bulkhead())
            new = tuple(
                (name, signal)
                for name, signal in told.signals.items()
                if _said(before.get(name)) != _said(signal)
            )
            before |= dict(new)
            if new:
                yield at, new
            progress(at)

    def looked_at(
        self, tape: Tape, past: Past, progress: Progress = lambda _: None
    ) -> dict[str, tuple[tuple[datetime, Point], ...]]:
        """Return the figures that rules with limits on a series looked at, and when.

        Where a figure was too old to say anything there is one that is NaN.
        """
        found: dict[str, list[tuple[datetime, Point]]] = {}
        rules: list[AlertRule] = []
        for rule in self.plan.rules:
            condition = rule.condition
            if isinstance(condition, Static) and _recorded(rule):
                kept = found[rule.name] = []
                rules.append(
                    replace(rule, condition=_Kept(condition.series, condition.limit, kept))
                )
        told = Listener(replace(self.plan, rules=tuple(rules)), self.records, self.registry)
        for at, signals in told.heard(tape, past, progress):
            for name, signal in signals:
                if signal.active is None and (not found[name] or found[name][-1][0] < at):
                    found[name].append((at, Point(Window(at - _MOMENT, at), math.nan)))
        return {name: tuple(points) for name, points in found.items()}

    def _learn(self, change: Change) -> None:
        kept = {k: v for k, v in self._latest.items() if k[0] not in change.forgotten}
        self._latest = kept | {(v.monitor, v.subject): v for v in change.verdicts}

    def _watch(self, tape: Tape) -> Watch:
        name, start = self.plan.spec.name, tape.ticks[0]
        stored = self.records.read(watch_key(name), Watch)
        watch = fresh(name, "", start, ())
        if stored is None:
            return watch
        # Windows that were counted again tell of the champion of that time only.
        counted = (
            replace(m, counts=(m.known,)) if m.known and not m.rows else m for m in stored.matured
        )
        return replace(watch, matured=tuple(counted))

    def _ticks(self, rules: Iterable[AlertRule], tape: Tape, past: Past) -> Iterable[datetime]:
        """Return the ticks at which one of the rules may hear something else."""
        metrics: set[datetime] = {tape.ticks[0], *past.points}
        for rule in rules:
            series = rule.series
            assert series is not None
            if series.name in OPERATIONAL or isinstance(rule.condition, Missing):
                return tape.ticks
            for at, points in past.points.items():
                if any(p.name == series.name for p in points):
                    stale = tape.after(at + STALE * series.every)
                    if stale is not None:
                        metrics.add(stale)
        return sorted(metrics)


def _said(signal: Signal | None) -> tuple[bool | None, tuple[str, ...]] | None:
    return None if signal is None else (signal.active, signal.subjects)
