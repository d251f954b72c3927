"""Restates metrics of windows whose labels came, or were corrected, after they had been measured.

Each window is looked at again 1, 2, 4, 8 ... metric windows after it was first measured, up to a
bounded age: a late label is noticed after at most twice the time that it was late by, and a window
is read a dozen times in all, however short windows are. Evidence on which decisions rest is not
taken back: bets count what was known when they were made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from homeostat.domain.decision import Decision
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window, closed_windows, floor
from homeostat.engine.cohort import MATURED, Cohort, Outcomes, with_segments
from homeostat.engine.outcomes import class_counts, measure_rows
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.engine.watch import Matured, Watch

AUTOMATIC = "homeostat"
LEAST_STEPS = 32
NAMED = 3

_Key: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Restated:
    """What late labels changed."""

    watch: Watch
    points: tuple[MetricPoint, ...] = ()
    decisions: tuple[Decision, ...] = ()


def restate(
    plan: ModelPlan,
    log: PredictionLog,
    records: Records,
    watch: Watch,
    champion: str,
    now: datetime,
) -> Restated:
    """Measure windows again and say what late labels changed.

    A change that leaves a figure within its former interval is written without a decision.
    """
    until = floor(now, plan.metric_window)
    since = watch.restated_until or until
    watch = replace(watch, restated_until=until)
    points: list[MetricPoint] = []
    decisions: list[Decision] = []
    for window in _due(plan, watch.since, since, until):
        faults = tuple(fault.window(now) for fault in watch.faults)
        cohort = Cohort(MATURED, plan.spec.labels.maturity)
        stored = records.metrics(plan.spec.name, since=window.start, until=window.end, segment=None)
        before = {_key(p): p for p in stored if p.window == window and p.cohort == MATURED}
        after: list[MetricPoint] = []
        for segment, rows in with_segments(log, plan.spec, cohort, window, now, faults):
            found = measure_rows(plan.spec, rows, window, MATURED, segment)
            after += [point for point in found if _differs(before.get(_key(point)), point)]
            if not segment:
                watch = _recount(plan, watch, rows, champion, window)
        points += after
        decisions += _said(before, after, now)
    return Restated(watch, tuple(points), tuple(decisions))


def _due(
    plan: ModelPlan, watched: datetime, since: datetime, until: datetime
) -> tuple[Window, ...]:
    """Return the measured windows that have come to one of the ages since the last look."""
    maturity, step = plan.spec.labels.maturity, plan.metric_window
    age, found = step, set[Window]()
    while age <= max(maturity, LEAST_STEPS * step):
        first = max(since - maturity - age, watched)
        found.update(closed_windows(first, until - maturity - age, step))
        age *= 2
    return tuple(sorted(found))


def _differs(before: MetricPoint | None, after: MetricPoint) -> bool:
    return before is None or (before.value, before.n, before.coverage) != (
        after.value,
        after.n,
        after.coverage,
    )


def _key(point: MetricPoint) -> _Key:
    return point.segment, point.version, point.name


def _said(
    before: dict[_Key, MetricPoint], after: list[MetricPoint], now: datetime
) -> list[Decision]:
    """Return one decision for each version of which a figure left its former interval."""
    moved: dict[str, list[tuple[MetricPoint, MetricPoint]]] = {}
    for point in after:
        old = before.get(_key(point))
        if old is not None and not old.lower <= point.value <= old.upper:
            moved.setdefault(point.version, []).append((old, point))
    return [_decision(version, pairs, now) for version, pairs in moved.items()]


def _decision(
    version: str, pairs: list[tuple[MetricPoint, MetricPoint]], now: datetime
) -> Decision:
    old, new = pairs[0]
    named = [pair for pair in pairs if not pair[0].segment] or pairs[:NAMED]
    changes = ", ".join(f"{_name(b)} from {b.value:.3g} to {a.value:.3g}" for b, a in named)
    if len(pairs) > len(named):
        changes += f" and {len(pairs) - len(named)} figures of segments"
    reason = (
        f"labels and data faults known only after {new.window} was measured change {changes}; "
        f"{old.n} labels then, {new.n} now"
    )
    evidence = tuple(
        (f"{_name(point)}:{when}", point.value)
        for pair in named
        for when, point in zip(("before", "after"), pair, strict=True)
    )
    return Decision(new.model, now, AUTOMATIC, "restate", version, reason, evidence)


def _name(point: MetricPoint) -> str:
    return f"{point.name} of {point.segment}" if point.segment else point.name


def _recount(plan: ModelPlan, watch: Watch, rows: Outcomes, champion: str, window: Window) -> Watch:
    counted = Matured(window, class_counts(plan.spec, rows.of(champion)[1]))
    matured = tuple(counted if one.window == window else one for one in watch.matured)
    return replace(watch, matured=matured)
