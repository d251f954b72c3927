"""Restates metrics of windows whose labels came, or were corrected, after they had been measured.

Each window is looked at again 1, 2, 4, 8 ... metric windows after it was first measured, up to a
bounded age, and its figures are replaced by what is known then: a late label is noticed after at
most twice the time that it was late by, and a window is read a dozen times in all, however short
windows are. Evidence on which decisions rest is not taken back: bets count what was known when they
were made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from homeostat.detectors.performance.realized import NAMES
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window, closed_windows, floor
from homeostat.engine.cohort import MATURED, Cohort, Outcomes, with_segments
from homeostat.engine.outcomes import class_counts, measure_rows
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.engine.series import measure_value_window
from homeostat.engine.watch import Matured, Watch

AUTOMATIC = "homeostat"
LEAST_STEPS = 32
NAMED = 3

_Key: TypeAlias = tuple[str, str, str]
_Change: TypeAlias = tuple[MetricPoint, MetricPoint | None]


@dataclass(frozen=True, slots=True)
class Restated:
    """What late labels changed; ``withdrawn`` are figures that nothing stands for any more."""

    watch: Watch
    points: tuple[MetricPoint, ...] = ()
    withdrawn: tuple[MetricPoint, ...] = ()
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

    A change that leaves a figure within its former interval is written without a decision. A figure
    that cannot be told any more, because a fault covers its rows for example, is withdrawn.
    """
    until = floor(now, plan.metric_window)
    since = watch.restated_until or until
    watch = replace(watch, restated_until=until)
    faults = tuple(fault.window(now) for fault in watch.faults)
    points: list[MetricPoint] = []
    withdrawn: list[MetricPoint] = []
    decisions: list[Decision] = []
    for window in _due(plan, watch.since, since, until):
        before = _before(plan, records, window)
        after: dict[_Key, MetricPoint] = {}
        cohort = Cohort(MATURED, plan.spec.labels.maturity)
        for segment, rows in with_segments(log, plan.spec, cohort, window, now, faults):
            found = measure_rows(plan, rows, window, MATURED, segment)
            after |= {_key(point): point for point in found}
            if not segment:
                watch = _recount(plan, watch, rows, champion, window)
        if plan.business:
            worth = measure_value_window(plan, log, window, now, faults)
            after |= {_key(point): point for point in worth}
        points += [point for key, point in after.items() if _differs(before.get(key), point)]
        withdrawn += [point for key, point in before.items() if key not in after]
        decisions += _said(before, after, now)
    return Restated(watch, tuple(points), tuple(withdrawn), tuple(decisions))


def _before(plan: ModelPlan, records: Records, window: Window) -> dict[_Key, MetricPoint]:
    """Return the window's stored figures of the kinds that are measured again."""
    names = {*NAMES[plan.spec.task], *(metric.name for metric in plan.business)}
    stored = records.metrics(plan.spec.name, since=window.start, until=window.end, segment=None)
    mine = (p for p in stored if p.window == window and p.cohort == MATURED and p.name in names)
    return {_key(point): point for point in mine}


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
    before: dict[_Key, MetricPoint], after: dict[_Key, MetricPoint], now: datetime
) -> list[Decision]:
    """Return one decision for each version of which a figure left its former interval, or ended."""
    moved: dict[str, list[_Change]] = {}
    for key, old in before.items():
        new = after.get(key)
        if new is None or not old.lower <= new.value <= old.upper:
            moved.setdefault(old.version, []).append((old, new))
    return [_decision(version, pairs, now) for version, pairs in moved.items()]


def _decision(version: str, pairs: list[_Change], now: datetime) -> Decision:
    first = pairs[0][0]
    named = [pair for pair in pairs if not pair[0].segment] or pairs[:NAMED]
    changes = ", ".join(
        f"{_name(old)} from {old.value:.3g} to {'no figure' if new is None else f'{new.value:.3g}'}"
        for old, new in named
    )
    if len(pairs) > len(named):
        changes += f" and {len(pairs) - len(named)} figures of segments"
    reason = (
        f"labels and data faults known only after {first.window} was measured change {changes}; "
        f"{_rows(old for old, _ in named)} labels then, {_rows(new for _, new in named)} now"
    )
    evidence = tuple(
        (f"{_name(point)}:{when}", point.value)
        for pair in named
        for when, point in zip(("before", "after"), pair, strict=True)
        if point is not None
    )
    return Decision(first.model, now, AUTOMATIC, "restate", version, reason, evidence)


def _rows(points: Iterable[MetricPoint | None]) -> int:
    """Return the rows of the figure that rests on the most."""
    return max(0 if point is None else point.n for point in points)


def _name(point: MetricPoint) -> str:
    return f"{point.name} of {point.segment}" if point.segment else point.name


def _recount(plan: ModelPlan, watch: Watch, rows: Outcomes, champion: str, window: Window) -> Watch:
    counted = Matured(window, class_counts(plan.spec, rows.of(champion)[1]))
    matured = tuple(counted if one.window == window else one for one in watch.matured)
    return replace(watch, matured=matured)
