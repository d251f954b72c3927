"""Rows a candidate is trained and judged on, and what is remembered of them for its watch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.detectors.calibration import detector as calibration
from homeostat.detectors.performance import detector
from homeostat.domain.admission import as_admitted
from homeostat.domain.columns import answered, micros
from homeostat.domain.effect import StartTraining
from homeostat.domain.logged import LOGGED, with_features
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.window import Window, closed_windows
from homeostat.engine.cohort import HOUR, MATURED, without
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Scorer
from homeostat.engine.watch import Baseline
from homeostat.engine.young import with_young
from homeostat.profiles.build import profile_predictions
from homeostat.profiles.profile import Profile
from homeostat.retraining.rows import choose

SCORE = "score"
USED = ("role", "arrival")


def feature_columns(spec: ModelSpec) -> list[str]:
    """Return the columns of training rows that come from the log."""
    entity = ["entity"] if spec.entity else []
    return ["prediction_id", "timestamp", *entity, *spec.schema.names, "role"]


@dataclass(frozen=True)
class TrainingRows:
    """Reads a run's rows from the log: labelled, answered (no shadow copies), outside of faults.

    Without a scorer young rows are left out, even if a request asks for them.
    """

    log: PredictionLog
    scorer: Scorer | None = None

    def __call__(self, spec: ModelSpec, request: StartTraining) -> pa.Table:
        """Return the training rows of a request, chosen and weighted as it says."""
        window, as_of, excluded = request.window, request.as_of, request.excluded
        chance = request.choice.propensity
        told = (chance,) if chance in spec.outcomes else ()
        if request.guide and self.scorer is not None:
            usual = feature_columns(spec)
            further = tuple(name for name in LOGGED if name not in usual)
            rows = _usable(self.log, spec, window, as_of, excluded, (*further, *told))
            rows = with_young(partial(score_floats, self.scorer), spec, request, rows)
            rows = rows.drop_columns([*further, *USED])
        else:
            rows = labelled_rows(self.log, spec, window, as_of, excluded, told)
        return choose(rows, request.choice, spec.task, as_of).drop_columns(list(told))


def labelled_rows(
    log: PredictionLog,
    spec: ModelSpec,
    window: Window,
    as_of: datetime,
    excluded: tuple[Window, ...] = (),
    outcomes: tuple[str, ...] = (),
) -> pa.Table:
    """Return the window's labelled rows, one a request, by time, without what faults cover."""
    usable = _usable(log, spec, window, as_of, excluded, outcomes)
    return usable.filter(~pc.field("label").is_null()).drop_columns(list(USED))


def _usable(
    log: PredictionLog,
    spec: ModelSpec,
    window: Window,
    as_of: datetime,
    excluded: tuple[Window, ...],
    further: tuple[str, ...],
) -> pa.Table:
    columns = [*feature_columns(spec), *further]
    table, _ = as_admitted(spec, log.labelled(spec, window, as_of, columns))
    return without(answered(with_features(spec, table)), excluded)


def clear_stretches(window: Window, faults: tuple[Window, ...]) -> Iterator[Window]:
    """Yield the parts of a window that no fault covers, in order.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = lambda hour: datetime(2024, 1, 1, hour, tzinfo=UTC)
    >>> [str(w) for w in clear_stretches(Window(at(0), at(9)), (Window(at(2), at(4)),))]
    ['2024-01-01T00:00/2024-01-01T02:00', '2024-01-01T04:00/2024-01-01T09:00']
    """
    start = window.start
    for fault in sorted(faults):
        if fault.end <= start or fault.start >= window.end:
            continue
        if fault.start > start:
            yield Window(start, fault.start)
        start = fault.end
    if start < window.end:
        yield Window(start, window.end)


def reference_of(
    plan: ModelPlan,
    rows: pa.Table,
    scores: NDArray[np.float64] | None,
    scored_from: datetime | None,
) -> tuple[tuple[Window, Profile], ...]:
    """Profile the rows window by window, with scores where they are out of sample.

    Parameters
    ----------
    plan : ModelPlan
    rows : pyarrow.Table
        Features and ``timestamp``, by time.
    scores : float64 array of shape (n,) or None
        The version's scores of the rows.
    scored_from : datetime or None
        Rows before it were trained on: their scores are left out.

    Notes
    -----
    Windows with fewer rows than the drift monitor needs are left out. Where these have most of the
    rows, windows of twice the length are taken, and so on: quality and volume are monitored
    however few rows a window of drift has.
    """
    if rows.num_rows == 0:
        return ()
    spec = plan.spec
    rows = rows.select(["timestamp", *spec.schema.names])
    if scores is None:
        scored_from = None
    else:
        rows = rows.append_column(SCORE, pa.array(scores, pa.float64()))
    found: list[tuple[Window, Profile]] = []
    for window, low, high in _cuts(rows, plan.drift.every, plan.drift.min_rows):
        scored = scored_from is not None and window.start >= scored_from
        names = [*spec.schema.names, SCORE] if scored else list(spec.schema.names)
        part = rows.slice(low, high - low).select(names)
        found.append((window, profile_predictions(part, spec.schema)))
    return tuple(found)


def _cuts(rows: pa.Table, every: timedelta, least: int) -> list[tuple[Window, int, int]]:
    """Return the shortest windows, `every` or longer, of which those of `least` hold most rows.

    The whole stretch, if there are none.
    """
    first: datetime = rows["timestamp"][0].as_py()
    last: datetime = rows["timestamp"][-1].as_py()
    moments = rows["timestamp"].to_numpy()
    step = every
    while True:
        found: list[tuple[Window, int, int]] = []
        for window in closed_windows(first - step, last + step, step):
            edges = [
                np.datetime64(t.replace(tzinfo=None), "us") for t in (window.start, window.end)
            ]
            low, high = np.searchsorted(moments, edges).tolist()
            if high - low >= least:
                found.append((window, low, high))
        held = sum(high - low for _, low, high in found)
        if 2 * held >= rows.num_rows:
            return found
        if step > last - first:
            return [(Window(first, last + timedelta(microseconds=1)), 0, rows.num_rows)]
        step *= 2


def one_each(
    profiles: Iterable[tuple[Window, Profile]],
) -> tuple[tuple[Window, Profile], ...]:
    """Keep one profile of a window, that of most rows: two stretches may meet inside a window."""
    found: dict[Window, Profile] = {}
    for window, profile in profiles:
        if window not in found or profile.rows > found[window].rows:
            found[window] = profile
    return tuple(found.items())


def volumes_of(
    rows: pa.Table, step: timedelta, excluded: tuple[Window, ...] = ()
) -> tuple[tuple[Window, int], ...]:
    """Count the rows of each whole window of length `step` that no fault touches."""
    if rows.num_rows == 0:
        return ()
    moments = rows["timestamp"].to_numpy()
    first: datetime = rows["timestamp"][0].as_py()
    last: datetime = rows["timestamp"][-1].as_py()
    counts: list[tuple[Window, int]] = []
    for window in closed_windows(first, last, step):
        if any(fault.start < window.end and window.start < fault.end for fault in excluded):
            continue
        edges = [np.datetime64(t.replace(tzinfo=None), "us") for t in (window.start, window.end)]
        low, high = np.searchsorted(moments, edges)
        counts.append((window, int(high - low)))
    return tuple(counts)


def baseline_of(
    plan: ModelPlan,
    version: str,
    rows: pa.Table,
    scores: NDArray[np.float64],
    volumes: tuple[tuple[Window, int], ...],
) -> Baseline:
    """Return the baseline that follows from a version's scores of its hold-out's rows."""
    labels = np.asarray(rows["label"].to_numpy(), dtype=np.float64)
    hours = micros(rows, "timestamp") // HOUR
    losses = detector.losses(
        plan.spec.task, scores, labels, plan.spec.threshold, plan.performance.scale
    )
    wrong = None
    if plan.spec.task is Task.BINARY:
        wrong = detector.mistakes(scores, labels, plan.spec.threshold)
    known = detector.baseline(losses, hours=hours, mistakes=wrong)
    metrics = _metrics_of(plan, version, rows, scores, labels)
    return Baseline(version, known, volumes, _calibration_of(plan, scores, labels), metrics)


def _metrics_of(
    plan: ModelPlan,
    version: str,
    rows: pa.Table,
    scores: NDArray[np.float64],
    labels: NDArray[np.float64],
) -> tuple[tuple[str, float], ...]:
    """Return the metrics of the hold-out, with which those of later windows can be compared."""
    found = pc.min_max(rows["timestamp"])
    window = Window(found["min"].as_py(), found["max"].as_py() + timedelta(microseconds=1))
    least = plan.performance.min_rows
    points = detector.measure(
        plan.spec, version, window, scores, labels, 1.0, MATURED, min_rows=least
    )
    return tuple((point.name, point.value) for point in points)


def _calibration_of(
    plan: ModelPlan, scores: NDArray[np.float64], labels: NDArray[np.float64]
) -> calibration.CalibrationReference | None:
    """Return how far off the hold-out's probabilities are; learnt even if it is not judged yet."""
    if plan.spec.task is not Task.BINARY:
        return None
    usable = probable(scores, labels)
    if not usable.any():
        return None
    config = plan.calibration or calibration.CalibrationConfig()
    return calibration.fit(labels[usable], scores[usable], config)


def probable(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows have a probability and a label of 0 or 1.

    Examples
    --------
    >>> probable(np.array([0.2, np.nan, 1.5]), np.array([1.0, 1.0, 0.0])).tolist()
    [True, False, False]
    """
    binary = (labels == 0.0) | (labels == 1.0)
    return np.asarray((scores >= 0.0) & (scores <= 1.0) & binary, dtype=np.bool_)


def score_floats(
    scorer: Scorer, spec: ModelSpec, version: str, rows: pa.Table
) -> NDArray[np.float64]:
    """Score rows in pieces, so that memory stays bounded."""
    step = 50_000
    parts = [
        scorer.score(spec, version, rows.slice(at, step)) for at in range(0, rows.num_rows, step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)
