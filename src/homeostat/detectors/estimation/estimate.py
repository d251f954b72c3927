"""Performance without labels: estimates of windows, with intervals, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.classes import ClassOutlook, Scored
from homeostat.detectors.estimation.features import far, read_features
from homeostat.detectors.estimation.guess import Outlook, Rival, folds_of
from homeostat.detectors.estimation.intervals import (
    Drift,
    believe_rivals,
    fit_drift,
    hold_rival,
    interval,
)
from homeostat.detectors.estimation.losses import IDENTIFIABLE as NUMBERS
from homeostat.detectors.estimation.losses import REGRESSION, LossOutlook, Predicted
from homeostat.detectors.estimation.reweighted import shifted_errors
from homeostat.detectors.estimation.support import Support
from homeostat.domain.errors import DataError
from homeostat.domain.estimation import Estimation, MetricEstimate, Standing, WindowEstimate
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Predictions, from_micros
from homeostat.stats.encoding import Table
from homeostat.stats.expected import BINARY, MULTICLASS

Codes: TypeAlias = "NDArray[np.int64]"

FOLDS = 5
FEWEST_REFERENCE = 100
FEWEST_ROWS = 30
UNSTABLE = 0.05
"""Drift of the share of a class beyond its scores, from which calibration does not hold."""

_METRICS = {Task.BINARY: BINARY, Task.MULTICLASS: MULTICLASS, Task.REGRESSION: REGRESSION}
IDENTIFIABLE: Mapping[Task, tuple[str, ...]] = {**_METRICS, Task.REGRESSION: NUMBERS}
"""Metrics of each task that may be told without labels."""

NAN = float("nan")


def estimate_windows(
    reference: Predictions,
    current: Predictions,
    windows: Sequence[tuple[int, int]],
    rng: np.random.Generator,
    metrics: Sequence[str] | None = None,
) -> Estimation:
    """Estimate the performance of windows of current rows from labelled reference rows.

    Parameters
    ----------
    reference : Predictions
        Labelled, in order of time, and not what the model was trained on.
    current : Predictions
        In order of time; labels, if there are any, are not looked at.
    windows : sequence of (int, int)
        First row and the one after the last.
    rng : numpy.random.Generator
        Draws rows.
    metrics : sequence of str, optional
        All of the task if not given.

    Raises
    ------
    DataError
        If the reference has too few labels or one class only, or current rows lack a column.

    Notes
    -----
    An interval has the noise of the window's labels, the uncertainty of what was learnt, and what
    the estimate was wrong by beyond these on stretches of the reference that it was not learnt on.
    Nothing tells whether labels still follow from inputs as they did: a change is believed to
    within a third (a standard error), closer where the reference had such changes. Where rows look
    as if only classes had become more or less frequent, the interval reaches to what that makes of
    a metric, or as far as stretches of the reference leave it possible.
    """
    wanted = _wanted(reference.task, metrics)
    (usable, _), (known, rest) = _usable(current, labelled=False), _usable(reference, labelled=True)
    labelled, now = reference.take(known), current.take(usable)
    _check(labelled)
    sizes = len(labelled), len(now)
    before, after, said = read_features(labelled.features, now.features, sizes)
    folds = folds_of(len(labelled), FOLDS)
    outlook = _outlook((labelled, before), (now, after), wanted, folds, rng)
    spans = [(a, b) for a, b in np.searchsorted(usable, np.array(windows)).tolist()]
    unstable = outlook.unstable(UNSTABLE)
    support = Support(
        outlook.codes, far(before, after, folds), folds, spans, rng, dense=not unstable
    )
    drift = fit_drift(outlook, [last - first for first, last in spans])
    realized = outlook.realized(np.arange(outlook.reference_rows))
    whys = [unstable or support.lacking(index) for index in range(len(spans))]
    frames = _moved(outlook, _frames(outlook, spans, whys, drift, realized), spans, rng)
    found = []
    for index, (span, frame) in enumerate(zip(spans, frames, strict=True)):
        told = _window(outlook, np.arange(*span), whys[index], frame, wanted)
        found.append(_describe(current, windows[index], span, told, support, index))
    problems = tuple(dict.fromkeys((*reference.problems, *current.problems, *rest, *said)))
    off = {name: each.error for name, each in drift.items()}
    return Estimation(labelled.task, tuple(found), realized, outlook.method, off, problems)


def _outlook(
    reference: tuple[Predictions, Table],
    current: tuple[Predictions, Table],
    wanted: Sequence[str],
    folds: Codes,
    rng: np.random.Generator,
) -> ClassOutlook | LossOutlook:
    (labelled, before), (now, after) = reference, current
    if labelled.task is not Task.REGRESSION:
        return ClassOutlook(_scored(labelled, before), _scored(now, after), wanted, folds, rng)
    known = Predicted(labelled.predictions, labelled.labels, before)
    return LossOutlook(known, Predicted(now.predictions, np.empty(0), after), wanted, folds, rng)


def _wanted(task: Task, metrics: Sequence[str] | None) -> tuple[str, ...]:
    known = _METRICS[task]
    if metrics is None:
        return known
    chosen = (metrics,) if isinstance(metrics, str) else tuple(dict.fromkeys(metrics))
    if unknown := [name for name in chosen if name not in known]:
        raise DataError(f"no metric {unknown[0]!r} for a {task} model: {', '.join(known)}")
    return chosen


def _usable(rows: Predictions, *, labelled: bool) -> tuple[Codes, list[str]]:
    """Return the rows that have all that is needed, and what was left out."""
    good = ~np.isnan(rows.predictions)
    if rows.task is not Task.REGRESSION and _has_scores(rows):
        good &= ~np.isnan(rows.scores.reshape(len(rows), -1)).any(axis=1)
    said = []
    if labelled:
        unknown = int(np.sum(good & ~rows.known))
        if unknown:
            said.append(f"{unknown:,} of {len(rows):,} reference rows have no label: left out")
        good &= rows.known
    return np.flatnonzero(good).astype(np.int64), said


def _check(labelled: Predictions) -> None:
    if len(labelled) < FEWEST_REFERENCE:
        raise DataError(
            f"the reference has {len(labelled)} rows with a label and a score; estimates need at "
            f"least {FEWEST_REFERENCE}"
        )
    if labelled.task is Task.REGRESSION:
        return
    seen = np.unique(labelled.labels)
    if seen.size < 2:
        name = labelled.classes[int(seen[0])]
        raise DataError(
            f"all labels of the reference are {name!r}: with one class, nothing tells when a score "
            "is wrong; give a reference with both"
        )


def _has_scores(rows: Predictions) -> bool:
    return bool(rows.scores.size and not np.isnan(rows.scores).all())


def _scored(rows: Predictions, features: Table) -> Scored:
    predictions = rows.predictions.astype(np.int64)
    ranked = _has_scores(rows)
    if rows.task is Task.BINARY:
        scores = (rows.scores if ranked else rows.predictions).reshape(-1, 1)
    elif ranked:
        scores = rows.scores
    else:
        scores = (predictions[:, None] == np.arange(len(rows.classes))).astype(np.float64)
    labels = np.where(rows.known, rows.labels, -1.0).astype(np.int64)
    return Scored(scores, predictions, labels, features, ranked)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a window's figures are held to, by metric."""

    drift: Mapping[str, Drift]
    realized: Mapping[str, float]
    rivals: Mapping[str, Rival]
    believed: Mapping[str, float]


def _frames(
    outlook: Outlook,
    spans: Sequence[tuple[int, int]],
    whys: Sequence[str],
    drift: Mapping[str, Drift],
    realized: Mapping[str, float],
) -> list[_Frame]:
    """Return what the figures of each window are held to; where it has none, without a rival."""
    rivals = [
        {} if why else outlook.rivals(np.arange(*span))
        for why, span in zip(whys, spans, strict=True)
    ]
    believed = believe_rivals(outlook, drift) if any(rivals) else {}
    return [_Frame(drift, realized, each, believed) for each in rivals]


def _moved(
    outlook: Outlook,
    frames: list[_Frame],
    spans: Sequence[tuple[int, int]],
    rng: np.random.Generator,
) -> list[_Frame]:
    """Add what losses are off by where each window's rows lie."""
    if not isinstance(outlook, LossOutlook):
        return frames
    found = []
    for frame, errors in zip(frames, shifted_errors(outlook, spans, rng), strict=True):
        drift = {n: replace(each, moved=errors.get(n, 0.0)) for n, each in frame.drift.items()}
        found.append(replace(frame, drift=drift))
    return found


def _window(
    outlook: Outlook, rows: Codes, lacking: str, frame: _Frame, wanted: Sequence[str]
) -> tuple[MetricEstimate, ...]:
    guesses = outlook.expected(rows)
    checks = outlook.cross_checks(rows)
    if rows.size < FEWEST_ROWS:
        lacking = f"{rows.size} rows are too few: {FEWEST_ROWS} are needed"
    found = []
    for name in wanted:
        guess, usual = guesses[name], frame.realized.get(name, NAN)
        why = guess.want or lacking
        if not why and name not in frame.drift:
            why = "no stretch of the reference is large enough to test the estimate on"
        drift = frame.drift.get(name, Drift())
        change = 0.0 if np.isnan(usual) else guess.value - usual
        estimate = interval(name, guess, drift, change, rows.size)
        said = {"reference": usual, **checks.get(name, {})}
        if name in frame.rivals and not why:
            believed = frame.believed.get(name, 1.0)
            estimate = hold_rival(estimate, frame.rivals[name], drift, believed)
        said |= estimate.cross_checks
        found.append(_told(estimate, why or estimate.reason, said))
    return tuple(found)


def _told(estimate: MetricEstimate, why: str, said: dict[str, float]) -> MetricEstimate:
    """Return the estimate, or that there is none and why."""
    if not why:
        return replace(estimate, cross_checks=said)
    return replace(
        estimate,
        standing=Standing.NOT_IDENTIFIABLE,
        value=NAN,
        lower=NAN,
        upper=NAN,
        reason=why,
        cross_checks=said | {"withheld": estimate.value},
    )


def _describe(
    current: Predictions,
    window: tuple[int, int],
    span: tuple[int, int],
    estimates: tuple[MetricEstimate, ...],
    support: Support,
    index: int,
) -> WindowEstimate:
    begin = end = None
    if current.timestamps is not None:
        times = current.timestamps[slice(*window)]
        times = times[times != NEVER]
        if times.size:
            begin, end = from_micros(int(times.min())), from_micros(int(times.max()))
    shares = support.outside[index], support.unsupported[index]
    return WindowEstimate(*window, begin, end, span[1] - span[0], estimates, *shares)
