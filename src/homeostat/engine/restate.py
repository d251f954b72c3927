"""Restates metrics of windows whose labels came, or were corrected, after they had been measured.

Each window is looked at again 1, 2, 4, 8 ... metric windows after it was first measured, up to a
bounded age: a late label is noticed after at most twice the time that it was late by, and a window
is read a dozen times in all, however short windows are. Evidence on which decisions rest is not
taken back: bets count what was known when they were made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window, closed_windows, floor
from homeostat.engine.cohort import MATURED, Cohort, Outcomes, outcomes
from homeostat.engine.outcomes import class_counts, measure_rows
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.engine.watch import Matured, Watch

AUTOMATIC = "homeostat"
LEAST_STEPS = 32


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
        rows = outcomes(log, plan.spec, cohort, window, now, faults)
        before = {
            (point.version, point.name): point
            for point in records.metrics(plan.spec.name, since=window.start, until=window.end)
            if point.window == window and point.cohort == MATURED
        }
        after = [
            point
            for point in measure_rows(plan.spec, rows, window, MATURED)
            if _differs(before.get((point.version, point.name)), point)
        ]
        points += after
        decisions += _said(before, after, now)
        watch = _recount(plan, watch, rows, champion, window)
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


def _said(
    before: dict[tuple[str, str], MetricPoint], after: list[MetricPoint], now: datetime
) -> list[Decision]:
    """Return one decision for each version of which a figure left its former interval."""
    moved: dict[str, list[tuple[MetricPoint, MetricPoint]]] = {}
    for point in after:
        old = before.get((point.version, point.name))
        if old is not None and not old.lower <= point.value <= old.upper:
            moved.setdefault(point.version, []).append((old, point))
    return [_decision(version, pairs, now) for version, pairs in moved.items()]


def _decision(
    version: str, pairs: list[tuple[MetricPoint, MetricPoint]], now: datetime
) -> Decision:
    old, new = pairs[0]
    changes = ", ".join(f"{b.name} from {b.value:.3g} to {a.value:.3g}" for b, a in pairs)
    reason = (
        f"labels and data faults known only after {new.window} was measured change {changes}; "
        f"{old.n} labels then, {new.n} now"
    )
    evidence = tuple(
        (f"{name}:{when}", point.value)
        for pair in pairs
        for when, point in zip(("before", "after"), pair, strict=True)
        for name in (point.name,)
    )
    return Decision(new.model, now, AUTOMATIC, "restate", version, reason, evidence)


def _recount(plan: ModelPlan, watch: Watch, rows: Outcomes, champion: str, window: Window) -> Watch:
    counted = Matured(window, class_counts(plan.spec, rows.of(champion)[1]))
    matured = tuple(counted if one.window == window else one for one in watch.matured)
    return replace(watch, matured=matured)
