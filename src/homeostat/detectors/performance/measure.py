"""Metrics of a labelled cohort, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.stats import intervals, metrics
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]
Matrix = NDArray[np.int64]
Metric = Callable[[Floats, Floats], float]
Measured = tuple[float, Interval]

RESAMPLES = 200


def measure(
    spec: ModelSpec,
    version: str,
    window: Window,
    scores: ArrayLike,
    labels: ArrayLike,
    coverage: float,
    cohort: str,
    rng: np.random.Generator,
) -> tuple[MetricPoint, ...]:
    """Compute all metrics of the model's task, each with a 95 % interval.

    Parameters
    ----------
    spec : ModelSpec
    version : str
    window : Window
        In which the predictions were made.
    scores, labels : array_like
        Shape (n,); rows where either is not finite are left out.
    coverage : float
        Share of the window's predictions whose label is known, in [0, 1].
    cohort : str
        ``"matured"`` or ``"audit"``.
    rng : numpy.random.Generator
        For the bootstrap of metrics without a closed interval.

    Returns
    -------
    tuple of MetricPoint
        A metric that is undefined on these rows (AUC of one class) or has no interval (one row) is
        left out. Binary: auc, average_precision, log_loss, brier, ece, accuracy, precision, recall,
        f1, mcc, positive_rate. Multi-class: accuracy, macro_f1, mcc. Regression: mae, rmse, r2,
        wape, bias.
    """
    given = np.asarray(scores, dtype=np.float64)
    true = np.asarray(labels, dtype=np.float64)
    if given.shape != true.shape:
        raise ValueError(f"{given.size} scores for {true.size} labels")
    known = np.isfinite(given) & np.isfinite(true)
    given, true = given[known], true[known]
    measured = _of_task(spec, given, true, rng)
    return tuple(
        MetricPoint(
            model=spec.name,
            version=version,
            name=name,
            window=window,
            value=value,
            lower=interval.lower,
            upper=interval.upper,
            n=int(given.size),
            coverage=coverage,
            cohort=cohort,
        )
        for name, (value, interval) in measured.items()
        if math.isfinite(value) and math.isfinite(interval.lower) and math.isfinite(interval.upper)
    )


def _of_task(
    spec: ModelSpec, scores: Floats, labels: Floats, rng: np.random.Generator
) -> dict[str, Measured]:
    if spec.task is Task.BINARY:
        return _binary(spec.threshold, np.clip(scores, 0.0, 1.0), labels, rng)
    if spec.task is Task.MULTICLASS:
        return _multiclass(len(spec.classes), scores, labels, rng)
    errors = scores - labels
    return {
        "mae": _mean(np.abs(errors)),
        "bias": _mean(errors),
        "rmse": _resampled(metrics.rmse, labels, scores, rng),
        "r2": _resampled(metrics.r2, labels, scores, rng),
        "wape": _resampled(metrics.wape, labels, scores, rng),
    }


def _binary(
    threshold: float, scores: Floats, labels: Floats, rng: np.random.Generator
) -> dict[str, Measured]:
    said = (scores >= threshold).astype(np.float64)
    hits = int(((said == 1.0) & (labels == 1.0)).sum())
    logs = -np.log(np.maximum(np.where(labels == 1.0, scores, 1.0 - scores), 2.0**-52))
    ranked = intervals.delong(labels, scores)
    precision = metrics.average_precision(labels, scores) if labels.size else math.nan
    positives = int((labels == 1.0).sum())
    return {
        "auc": (ranked.auc, ranked.interval()),
        "average_precision": (precision, intervals.logit(precision, positives)),
        "log_loss": _mean(logs),
        "brier": _mean((scores - labels) ** 2),
        "ece": _resampled(metrics.ece, labels, scores, rng),
        "accuracy": _share(int((said == labels).sum()), labels.size),
        "precision": _share(hits, int((said == 1.0).sum())),
        "recall": _share(hits, int((labels == 1.0).sum())),
        "positive_rate": _share(int((labels == 1.0).sum()), labels.size),
        **_from_confusion(labels, said, 2, {"f1": metrics.f1, "mcc": metrics.mcc}, rng),
    }


def _multiclass(
    classes: int, scores: Floats, labels: Floats, rng: np.random.Generator
) -> dict[str, Measured]:
    highest = max(scores.max(initial=0.0), labels.max(initial=0.0))
    size = max(classes, int(highest) + 1)
    pooled = {"macro_f1": metrics.macro_f1, "mcc": metrics.mcc}
    return {
        "accuracy": _share(int((scores == labels).sum()), labels.size),
        **_from_confusion(labels, scores, size, pooled, rng),
    }


def _from_confusion(
    labels: Floats,
    said: Floats,
    classes: int,
    pooled: Mapping[str, Callable[[Matrix], float]],
    rng: np.random.Generator,
) -> dict[str, Measured]:
    """Bootstrap metrics of the confusion matrix: resampling rows is drawing its cells anew."""
    if not labels.size:
        empty = Interval(math.nan, math.nan)
        return dict.fromkeys(pooled, (math.nan, empty))
    matrix = metrics.confusion(labels, said, classes)
    shares = matrix.ravel() / labels.size
    drawn = rng.multinomial(labels.size, shares, RESAMPLES).reshape(-1, classes, classes)
    found: dict[str, Measured] = {}
    for name, metric in pooled.items():
        values = np.array([metric(cells) for cells in drawn])
        found[name] = (metric(matrix), intervals.percentile(values))
    return found


def _mean(values: Floats) -> Measured:
    value = float(values.mean()) if values.size else math.nan
    return value, intervals.mean(values)


def _share(hits: int, n: int) -> Measured:
    return (hits / n if n else math.nan), intervals.wilson(hits, n)


def _resampled(
    metric: Metric, labels: Floats, scores: Floats, rng: np.random.Generator
) -> Measured:
    value = metric(labels, scores) if labels.size else math.nan
    if math.isnan(value):
        return value, Interval(math.nan, math.nan)
    found = intervals.bootstrap(
        lambda rows: metric(labels[rows], scores[rows]), labels.size, rng, RESAMPLES
    )
    return value, found
