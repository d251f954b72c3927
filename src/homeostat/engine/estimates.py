"""Estimates how good the champion is in windows whose labels are not there yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.detectors.estimation.estimate import estimate_windows
from homeostat.domain.admission import as_admitted
from homeostat.domain.errors import DataError
from homeostat.domain.estimation import Standing, WindowEstimate
from homeostat.domain.logged import logged_columns, logged_predictions, with_features
from homeostat.domain.model import ModelSpec
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window, closed_windows
from homeostat.engine.cohort import cohorts, without
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Registry
from homeostat.engine.samples import backwards, scored_by, trained_until
from homeostat.engine.watch import Progress, Watch

ESTIMATED = "estimated"
"""Cohort of the metric points: none of their rows has a label."""
PREFIX = "estimated_"
"""Begins the name of the metric points: ``estimated_accuracy``."""

FEWEST_LABELLED = 300
MOST_CURRENT = 5_000
MOST_WINDOWS = 31
REACH = timedelta(days=120)
EFFORT = 40


@dataclass(frozen=True, slots=True)
class Estimated:
    """What the newly closed windows brought."""

    memory: Progress
    points: tuple[MetricPoint, ...] = ()


def estimates_key(model: str) -> str:
    """Return the state key of what is remembered of estimates."""
    return f"estimates:{model}"


@dataclass(frozen=True, slots=True)
class Estimates:
    """Learns from the champion's newest labelled rows and reads rows of windows without labels."""

    log: PredictionLog
    registry: Registry

    def estimate(
        self,
        plan: ModelPlan,
        memory: Progress,
        champion: str,
        watch: Watch,
        now: datetime,
        rng: np.random.Generator,
    ) -> Estimated:
        """Estimate every metric window that has closed; after a long pause, the newest ones.

        Parameters
        ----------
        plan : ModelPlan
            Without a policy nothing is estimated.
        memory : Progress
        champion : str
        watch : Watch
            Says when monitoring began, and which rows a data fault covers.
        now : datetime
        rng : numpy.random.Generator

        Returns
        -------
        Estimated
            A point for each metric that is identifiable; see `PREFIX`.
        """
        policy = plan.estimation
        if policy is None:
            return Estimated(memory)
        since = memory.until or watch.since
        windows = tuple(closed_windows(since, now, plan.metric_window))[-MOST_WINDOWS:]
        if not windows:
            return Estimated(memory)
        memory = Progress(windows[-1].end)
        faults = tuple(fault.window(now) for fault in watch.faults)
        known = self.labelled(plan.spec, champion, now, faults, policy.rows)
        if known.num_rows < FEWEST_LABELLED:
            few = f"{known.num_rows} labelled rows of version {champion}, {FEWEST_LABELLED} needed"
            return Estimated(Progress(memory.until, few))
        asked = {w: self._current(plan.spec, champion, w, faults) for w in windows}
        asked = {window: rows for window, rows in asked.items() if rows.num_rows}
        if not asked:
            return Estimated(Progress(memory.until, "no rows"))
        try:
            found = _estimate(plan.spec, known, tuple(asked.values()), rng)
        except DataError as error:
            return Estimated(Progress(memory.until, str(error)))
        points = [
            point
            for window, told in zip(asked, found, strict=True)
            for point in _points(plan.spec.name, champion, window, told)
        ]
        return Estimated(Progress(memory.until, _problem(found[-1])), tuple(points))

    def labelled(
        self,
        spec: ModelSpec,
        champion: str,
        now: datetime,
        faults: tuple[Window, ...],
        most: int,
    ) -> pa.Table:
        """Return the champion's newest rows whose labels are complete, by time.

        Rows from before the end of its training are left out: it knows their labels by heart.
        Reading goes back in growing pieces, and stops where labels are rare: `EFFORT` rows read
        for each that is wanted.
        """
        cohort = cohorts(spec)[0]
        columns = list(logged_columns(spec))
        if cohort.column and cohort.column not in columns:
            columns.append(cohort.column)
        parts: list[pa.Table] = []
        found = read = 0
        for window in backwards(*self._bounds(spec.name, champion, now - cohort.maturity)):
            table, _ = as_admitted(spec, self.log.labelled(spec, window, now, columns))
            read += table.num_rows
            table = with_features(spec, table)
            if cohort.column:
                table = table.filter(pc.field(cohort.column))
            table = scored_by(champion, without(table, faults))
            table = table.filter(~pc.field("label").is_null())
            parts.insert(0, table)
            found += table.num_rows
            if found >= most or read >= EFFORT * most:
                break
        if not parts:
            return pa.table({})
        whole = pa.concat_tables(parts)
        return whole.slice(max(0, whole.num_rows - most))

    def _bounds(self, model: str, champion: str, end: datetime) -> tuple[datetime, datetime]:
        trained = trained_until(self.registry, model, champion)
        start = end - REACH
        return (max(start, trained) if trained else start), end

    def _current(
        self, spec: ModelSpec, champion: str, window: Window, faults: tuple[Window, ...]
    ) -> pa.Table:
        """Return the champion's rows of a window, evenly spaced if they are many."""
        rows, _ = as_admitted(spec, self.log.rows(spec, window, list(logged_columns(spec))))
        rows = scored_by(champion, without(rows, faults))
        if rows.num_rows <= MOST_CURRENT:
            return rows
        return rows.take(np.linspace(0, rows.num_rows - 1, MOST_CURRENT).astype(np.int64))


def _estimate(
    spec: ModelSpec, known: pa.Table, asked: tuple[pa.Table, ...], rng: np.random.Generator
) -> tuple[WindowEstimate, ...]:
    ends = list(accumulate((table.num_rows for table in asked), initial=0))
    reference, current = (logged_predictions(spec, t) for t in (known, pa.concat_tables(asked)))
    return estimate_windows(reference, current, list(pairwise(ends)), rng).windows


def _points(model: str, version: str, window: Window, told: WindowEstimate) -> list[MetricPoint]:
    return [
        MetricPoint(
            model,
            version,
            PREFIX + one.metric,
            window,
            one.value,
            one.lower,
            one.upper,
            one.n,
            0.0,
            ESTIMATED,
        )
        for one in told.estimates
        if one.standing is Standing.ESTIMATED
    ]


def _problem(told: WindowEstimate) -> str:
    """Say why metrics are not identifiable, each reason once."""
    reasons: dict[str, list[str]] = {}
    for one in told.estimates:
        if one.standing is not Standing.ESTIMATED:
            reasons.setdefault(one.reason, []).append(one.metric)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
