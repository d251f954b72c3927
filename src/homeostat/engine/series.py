"""Judges series of figures: what predictions are worth, and thresholds on any metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from homeostat.detectors.series import dynamic, limits
from homeostat.detectors.series.dynamic import CALM, FEWEST, SeriesBaseline, SeriesConfig
from homeostat.detectors.series.state import SeriesState
from homeostat.detectors.value.contrast import Change, Contrast
from homeostat.detectors.value.measure import measure_rows
from homeostat.detectors.value.metric import LABEL, PREDICTION, SCORE, Kind, ValueMetric
from homeostat.domain.admission import as_admitted
from homeostat.domain.columns import answered, where
from homeostat.domain.limit import LimitState
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.point import Point
from homeostat.domain.record import RECORD_FIELDS
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window, closed_windows
from homeostat.engine.cohort import MATURED, split, without
from homeostat.engine.figures import WHOLE, as_point, best
from homeostat.engine.plan import MetricThreshold, ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.stats import estimates
from homeostat.stats.estimates import Estimate

RECORDED = frozenset(name for name, _ in RECORD_FIELDS)


@dataclass(frozen=True, slots=True)
class SeriesMemory:
    """Cursors and evidence of one model's series.

    ``valued_until`` is the end of the last window whose value was measured. ``series`` holds, by
    the name of the threshold, the start of the last window judged and the states.
    """

    valued_until: datetime | None = None
    series: tuple[tuple[str, datetime | None, SeriesState, LimitState], ...] = ()


def series_key(model: str) -> str:
    """Return the state key of the evidence on series."""
    return f"series:{model}"


def measure_value_windows(
    plan: ModelPlan,
    log: PredictionLog,
    memory: SeriesMemory,
    since: datetime,
    faults: tuple[Window, ...],
    now: datetime,
) -> tuple[SeriesMemory, tuple[MetricPoint, ...]]:
    """Measure the business metrics of every window whose labels became complete."""
    if not plan.business:
        return memory, ()
    points: list[MetricPoint] = []
    start = memory.valued_until or since
    for window in closed_windows(start, now - plan.spec.labels.maturity, plan.metric_window):
        points += measure_value_window(plan, log, window, now, faults)
        memory = replace(memory, valued_until=window.end)
    return memory, tuple(points)


def measure_value_window(
    plan: ModelPlan,
    log: PredictionLog,
    window: Window,
    as_of: datetime,
    faults: tuple[Window, ...] = (),
) -> tuple[MetricPoint, ...]:
    """Measure one window's business metrics for each version, with the labels known at `as_of`.

    Of all rows, and of each segment. Rows that a data fault covers are left out. A figure without
    an interval is no point. How a total is split says how traffic is: it is also measured of what
    all versions answered, `WHOLE`; and not at all where rows are left out.
    """
    spec = plan.spec
    wanted = set().union(*spec.segment_columns, *(metric.columns for metric in plan.business))
    columns = ["prediction_id", "timestamp", "version", "role", "tier", SCORE]
    columns += sorted((wanted & {*spec.schema.names, *spec.outcomes}) - RECORDED)
    logged, _ = as_admitted(spec, log.labelled(spec, window, as_of, columns))
    table = without(logged, faults)
    whole = table.num_rows == logged.num_rows
    metrics = [metric for metric in plan.business if whole or metric.kind is not Kind.TOTAL]
    points = _measure(spec, metrics, window, table)
    for names in spec.segment_columns:
        for segment, rows in split(table, names):
            points += _measure(spec, metrics, window, rows, segment)
    return tuple(points)


def _measure(
    spec: ModelSpec,
    metrics: Sequence[ValueMetric],
    window: Window,
    table: pa.Table,
    segment: str = "",
) -> list[MetricPoint]:
    asked = answered(table)
    known = asked.num_rows - asked[LABEL].null_count
    coverage = known / asked.num_rows if asked.num_rows else 0.0
    scored = where(table, "tier", "model")
    points: list[MetricPoint] = []

    def add(metric: ValueMetric, version: str, rows: pa.Table) -> None:
        found = measure_rows(metric.kind, *metric.amounts(rows))
        if found.bounded:
            points.append(
                MetricPoint(
                    spec.name, version, metric.name, window,
                    found.value, found.lower, found.upper,
                    found.n, coverage, MATURED, segment,
                )
            )  # fmt: skip

    for version in sorted({str(name) for name in scored["version"].to_pylist()}):
        rows = with_outcomes(spec, where(scored, "version", version))
        for metric in metrics:
            add(metric, version, rows)
    rows = with_outcomes(spec, answered(scored))
    for metric in metrics:
        if metric.kind is Kind.TOTAL:
            add(metric, WHOLE, rows)
    return points


def with_outcomes(spec: ModelSpec, rows: pa.Table) -> pa.Table:
    """Return log rows with label and prediction as expressions read them."""
    scores = np.asarray(rows[SCORE].to_numpy(), dtype=np.float64)
    said, true = scores, np.asarray(rows[LABEL].to_numpy(), dtype=np.float64)
    if spec.task is Task.BINARY:
        said = np.where(np.isnan(scores), np.nan, (scores >= spec.threshold).astype(np.float64))
    columns = {name: rows[name] for name in rows.column_names if name not in {LABEL, PREDICTION}}
    return pa.table({**columns, LABEL: _outcome(spec, true), PREDICTION: _outcome(spec, said)})


def _outcome(spec: ModelSpec, values: dynamic.Floats) -> pa.Array[pa.Scalar[pa.DataType]]:
    if spec.task is not Task.MULTICLASS:
        return pa.array(values, from_pandas=True)
    classes = dict(enumerate(spec.classes))
    return pa.array([classes.get(v) for v in values.tolist()], pa.string())


def judge_series(
    plan: ModelPlan,
    records: Records,
    memory: SeriesMemory,
    champion: str,
    fresh: Sequence[MetricPoint],
) -> tuple[SeriesMemory, tuple[Verdict, ...]]:
    """Judge every figure that is new in a series with a threshold.

    Parameters
    ----------
    plan : ModelPlan
    records : Records
    memory : SeriesMemory
    champion : str
        Its figure counts where there are several of one window, else that of the most rows.
    fresh : sequence of MetricPoint
        Written in this tick, hence not yet in the records.
    """
    verdicts: list[Verdict] = []
    known = {name: (at, dynamic_, limit) for name, at, dynamic_, limit in memory.series}
    after = []
    for threshold in plan.thresholds:
        cursor, state, limit = known.get(threshold.name, (None, SeriesState(), LimitState()))
        feed = _Feed(plan, records, threshold.metric, threshold.segment, champion, fresh)
        told = False
        for point in feed.newer(cursor):
            if isinstance(threshold.config, SeriesConfig):
                state, verdict = _judge(plan, threshold, threshold.config, state, feed, point)
            else:
                limit, verdict = limits.evaluate(
                    threshold.config, limit, plan.spec.name, threshold.name, point
                )
            verdict = _accepted(threshold, state, verdict)
            cursor = point.window.start
            verdicts.append(verdict)
            told = True
        if told:
            state = replace(state, accepted=max(0, state.accepted - 1))
        after.append((threshold.name, cursor, state, limit))
    return replace(memory, series=tuple(after)), tuple(verdicts)


@dataclass(frozen=True)
class _Feed:
    """One metric's figures of one segment, from the records and from this tick."""

    plan: ModelPlan
    records: Records
    metric: str
    segment: str
    champion: str
    fresh: Sequence[MetricPoint]

    def newer(self, cursor: datetime | None) -> tuple[Point, ...]:
        """Return the figures of windows that start after the cursor, in order of time."""
        found = self._points(cursor)
        return tuple(p for p in found if cursor is None or p.window.start > cursor)

    def until(self, end: datetime, reach: timedelta) -> tuple[Point, ...]:
        """Return the figures of windows that end by `end`."""
        return tuple(p for p in self._points(end - reach) if p.window.end <= end)

    def estimate(self, span: Window) -> Estimate:
        """Return the mean over a span of time, windows weighted by rows."""
        best = [p for p in self._best(span.start) if p.window.end <= span.end]
        parts = [(Estimate(p.value, p.lower, p.upper, p.n), p.n) for p in best if p.n]
        return estimates.pool(parts)

    def _points(self, since: datetime | None) -> tuple[Point, ...]:
        return tuple(as_point(p) for p in self._best(since))

    def _best(self, since: datetime | None) -> tuple[MetricPoint, ...]:
        """Return one point a window, stored or fresh."""
        stored = self.records.metrics(self.plan.spec.name, self.metric, since, segment=self.segment)
        fresh = (
            p
            for p in self.fresh
            if (p.name, p.segment) == (self.metric, self.segment)
            and (since is None or p.window.start >= since)
        )
        return best(self.plan, self.metric, (*stored, *fresh), self.champion)


def _judge(
    plan: ModelPlan,
    threshold: MetricThreshold,
    config: SeriesConfig,
    state: SeriesState,
    feed: _Feed,
    point: Point,
) -> tuple[SeriesState, Verdict]:
    apart = state.apart
    baseline = None
    if state.anchor is not None:
        baseline = _baseline(threshold, config, feed, state.anchor, apart)
    if baseline is None:
        # What the evidence was held against is gone: no longer accepted, or no longer kept.
        ended = state.firing and threshold.since is not None
        state = SeriesState(apart=apart, accepted=CALM if ended else state.accepted)
        baseline = _baseline(threshold, config, feed, point.window.start, apart)
    state, verdict = dynamic.evaluate(
        config, baseline, state, plan.spec.name, threshold.name, point
    )
    if baseline is None:
        return state, verdict
    if verdict.status is Status.DRIFT and config.monitor is Monitor.VALUE:
        verdict = _contrasted(plan, feed, baseline, verdict)
    if dynamic.renewable(config, baseline, state):
        renewed = _baseline(threshold, config, feed, point.window.end, state.apart)
        state = state if renewed is None else replace(state, anchor=None)
    return state, verdict


def _accepted(threshold: MetricThreshold, state: SeriesState, verdict: Verdict) -> Verdict:
    """Say that an alarm is over whose level is accepted now, though that cannot be judged yet.

    Not once only: an incident may have to be clear for a while before it ends.
    """
    if not state.accepted or verdict.status is not Status.INCONCLUSIVE:
        return verdict
    reason = f"{threshold.name}: level accepted by its owner since {threshold.since:%Y-%m-%d}"
    return replace(verdict, status=Status.OK, reason=f"{reason}; {FEWEST} windows make it usual")


def _baseline(
    threshold: MetricThreshold,
    config: SeriesConfig,
    feed: _Feed,
    end: datetime,
    apart: tuple[Window, ...],
) -> SeriesBaseline | None:
    """Learn from the history until `end` that the owner lets count, later alarms left out."""
    since = threshold.since
    history = feed.until(end, config.history)
    if since is not None:
        history = tuple(p for p in history if p.window.start >= since)
        apart = tuple(alarm for alarm in apart if alarm.start >= since)
    return dynamic.fit(config, history, apart)


def _contrasted(
    plan: ModelPlan, feed: _Feed, baseline: SeriesBaseline, verdict: Verdict
) -> Verdict:
    """Say so if the model is right more often while it is worth less, or the reverse."""
    name = "mae" if plan.spec.task is Task.REGRESSION else "accuracy"
    quality = replace(feed, metric=name)
    recent = int(dynamic.RECENT) * plan.metric_window
    now = Window(max(baseline.window.end, verdict.window.end - recent), verdict.window.end)
    value, right = (
        (part.estimate(baseline.window), part.estimate(now)) for part in (feed, quality)
    )
    metric = next(metric for metric in plan.business if metric.name == feed.metric)
    contrast = Contrast(
        Change(metric.name, *value, metric.better),
        Change(name, *right, "lower" if name == "mae" else "higher"),
    )
    found = (("quality_before", right[0].value), ("quality_now", right[1].value))
    details = tuple(pair for pair in found if math.isfinite(pair[1]))
    reason = f"{verdict.reason}; {contrast.text}" if contrast.opposed else verdict.reason
    return replace(verdict, reason=reason, details=(*verdict.details, *details))
