"""Metrics of a model and what its predictions are worth, as figures to scrape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from homeostat.detectors.performance.realized import NAMES
from homeostat.domain.clock import Clock
from homeostat.domain.evaluation import WEIGHTED
from homeostat.domain.verdict import MetricPoint
from homeostat.engine.cohort import MATURED
from homeostat.engine.early import early_key
from homeostat.engine.estimates import ESTIMATED, PREFIX, estimates_key
from homeostat.engine.figures import WHOLE
from homeostat.engine.importance import IMPORTANCE
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, UnitOfWork
from homeostat.engine.series import SeriesMemory, series_key
from homeostat.engine.watch import Progress, Watch
from homeostat.entrypoints.exposition import Sheet
from homeostat.rollout.state import RolloutState

LOOK_BACK = 3
"""Windows in which the newest figure is looked for; older ones say nothing of the present."""
USUAL = 28
"""Windows, from the champion's first one on, whose mean is the reference."""
LAST = 200
"""Points among which the newest one of a cohort is looked for."""
RENEWED = 3600.0
"""Seconds for which such a mean is not read again."""

Series = tuple[str, str, str]
"""Metric, cohort and version."""


@dataclass
class Measured:
    """Reads the newest figures of a model from the records.

    Parameters
    ----------
    records : Records
    clock : Clock
    """

    records: Records
    clock: Clock
    _usual: dict[tuple[str, str], tuple[float, dict[Series, float]]] = field(
        default_factory=dict, init=False
    )

    def put(
        self, sheet: Sheet, plan: ModelPlan, uow: UnitOfWork, watch: Watch, rollout: RolloutState
    ) -> None:
        """Write the figures of one model down."""
        model, business = plan.spec.name, {metric.name for metric in plan.business}
        newest = self._newest(plan, uow, watch)
        usual = self._reference(plan, watch, rollout)
        for series, point in newest.items():
            if point.name in business:
                continue
            labels = (model, *series)
            sheet.put("homeostat_metric_value", *labels, number=point.value)
            sheet.put("homeostat_metric_lower", *labels, number=point.lower)
            sheet.put("homeostat_metric_upper", *labels, number=point.upper)
            sheet.put("homeostat_metric_rows", *labels, number=point.n)
            if series in usual:
                sheet.put("homeostat_metric_reference_value", *labels, number=usual[series])
        _put_worth(
            sheet, model, rollout.champion, [p for p in newest.values() if p.name in business]
        )
        self._put_ages(sheet, plan, watch, newest.values())

    def _newest(self, plan: ModelPlan, uow: UnitOfWork, watch: Watch) -> dict[Series, MetricPoint]:
        """Return the newest point of each metric, cohort and version near the cursors."""
        found: dict[Series, MetricPoint] = {}
        for until, cohorts in _cursors(plan, uow, watch).items():
            since = until - LOOK_BACK * plan.metric_window
            for point in self.records.metrics(plan.spec.name, "", since, until):
                if point.cohort in cohorts and not point.name.startswith(IMPORTANCE):
                    found[point.name.removeprefix(PREFIX), point.cohort, point.version] = point
        return found

    def _reference(
        self, plan: ModelPlan, watch: Watch, rollout: RolloutState
    ) -> dict[Series, float]:
        """Return what metrics were in the first windows that the champion answered in."""
        champion = rollout.champion
        key, moment = (plan.spec.name, champion), self.clock.monotonic()
        known = self._usual.get(key)
        if known is not None and moment - known[0] < RENEWED:
            return known[1]
        first = rollout.promoted_at or watch.since
        sums: dict[Series, tuple[float, int]] = {}
        until = first + USUAL * plan.metric_window
        for point in self.records.metrics(plan.spec.name, "", first, until):
            if point.version == champion:
                series = (point.name.removeprefix(PREFIX), point.cohort, point.version)
                total, rows = sums.get(series, (0.0, 0))
                sums[series] = (total + point.value * point.n, rows + point.n)
        usual = {series: total / rows for series, (total, rows) in sums.items() if rows}
        kept = {k: v for k, v in self._usual.items() if k[0] != plan.spec.name}
        self._usual = {**kept, key: (moment, usual)}
        return usual

    def _put_ages(
        self, sheet: Sheet, plan: ModelPlan, watch: Watch, points: Iterable[MetricPoint]
    ) -> None:
        model, newest = plan.spec.name, dict[str, MetricPoint]()
        for point in points:
            if point.cohort != ESTIMATED and point.name in NAMES[plan.spec.task]:
                last = newest.get(point.cohort)
                if last is None or last.window.end < point.window.end:
                    newest[point.cohort] = point
        for cohort, _ in watch.metrics_until:
            known = newest.get(cohort) or self._last(plan, cohort)
            end = known.window.end if known else watch.since
            sheet.put("homeostat_metric_timestamp_seconds", model, cohort, number=end.timestamp())
        for cohort, point in newest.items():
            sheet.put("homeostat_label_coverage_ratio", model, cohort, number=point.coverage)

    def _last(self, plan: ModelPlan, cohort: str) -> MetricPoint | None:
        """Return the newest point of a cohort, however old: labels may have stopped coming."""
        name = NAMES[plan.spec.task][0]
        points = self.records.metrics(plan.spec.name, name, limit=LAST)
        return next((p for p in reversed(points) if p.cohort == cohort), None)


def _cursors(plan: ModelPlan, uow: UnitOfWork, watch: Watch) -> dict[datetime, set[str]]:
    """Return up to where windows were measured, and of which cohorts."""
    model, found = plan.spec.name, dict[datetime, set[str]]()
    ends: list[tuple[str, datetime | None]] = list(watch.metrics_until)
    for asked, cohort, key in (
        (plan.estimation, ESTIMATED, estimates_key),
        (plan.early, WEIGHTED, early_key),
    ):
        memory = uow.load(key(model), Progress) if asked is not None else None
        ends.append((cohort, memory.until if memory else None))
    if plan.business:
        series = uow.load(series_key(model), SeriesMemory)
        ends.append((MATURED, series.valued_until if series else None))
    for cohort, end in ends:
        if end is not None:
            found.setdefault(end, set()).add(cohort)
    return dict(sorted(found.items()))


def _put_worth(sheet: Sheet, model: str, champion: str, points: Iterable[MetricPoint]) -> None:
    """Write business values down: of all versions where there is that, else of the champion."""
    best: Mapping[str, MetricPoint] = {}
    for point in sorted(points, key=lambda p: (p.window.end, p.version in {champion, WHOLE})):
        best = {**best, point.name: point}
    for name, point in best.items():
        sheet.put("homeostat_business_value", model, name, number=point.value)
        sheet.put("homeostat_business_value_lower", model, name, number=point.lower)
        sheet.put("homeostat_business_value_upper", model, name, number=point.upper)
        sheet.put("homeostat_business_value_rows", model, name, number=point.n)
