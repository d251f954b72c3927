"""Metrics of a labelled cohort, as points that the engine keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.performance.realized import Labelled, realize
from homeostat.domain.admission import class_count, class_indices
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.stats.estimates import Estimate

Floats = NDArray[np.float64]


def measure(
    spec: ModelSpec,
    version: str,
    window: Window,
    scores: ArrayLike,
    labels: ArrayLike,
    coverage: float,
    cohort: str,
    probabilities: ArrayLike | None = None,
    segment: str = "",
    min_rows: int = 1,
) -> tuple[MetricPoint, ...]:
    """Compute all metrics of the model's task, each with a 95 % interval.

    Parameters
    ----------
    spec : ModelSpec
    version : str
    window : Window
        In which the predictions were made.
    scores, labels : array_like
        Shape (n,); rows where either is not finite, or no class of a classifier, are left out.
    coverage : float
        Share of the window's predictions whose label is known, in [0, 1].
    cohort : str
        ``"matured"`` or ``"audit"``.
    probabilities : array_like, optional
        Shape (n, classes), of a multi-class model; if one is missing, so are metrics of them.
    segment : str
        Which rows they are; empty for all of them.
    min_rows : int
        Labelled rows below which there is no metric.

    Returns
    -------
    tuple of MetricPoint
        The metrics that `realize` knows, each with the number of rows that it rests on: of
        precision those predicted positive. One that is not available on these rows (AUC of one
        class) is left out.
    """
    given = np.asarray(scores, dtype=np.float64)
    true = np.asarray(labels, dtype=np.float64)
    if given.shape != true.shape:
        raise ValueError(f"{given.size} scores for {true.size} labels")
    known = np.isfinite(given) & np.isfinite(true) & class_indices(spec, true)
    if spec.task is Task.MULTICLASS:
        known &= class_indices(spec, given)
    if np.count_nonzero(known) < min_rows:
        return ()
    chances = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)[known]
    rows = _labelled(spec, given[known], true[known], chances).by_score()
    told = {name: found for name, found in realize(rows).estimates.items() if found.bounded}
    return tuple(
        MetricPoint(spec.name, version, name, window, *_figure(found), coverage, cohort, segment)
        for name, found in told.items()
    )


def _figure(found: Estimate) -> tuple[float, float, float, int]:
    return found.value, found.lower, found.upper, found.n


def _labelled(
    spec: ModelSpec, scores: Floats, labels: Floats, probabilities: Floats | None
) -> Labelled:
    if spec.task is Task.BINARY:
        chances = np.clip(scores, 0.0, 1.0)
        said = (chances >= spec.threshold).astype(np.float64)
        return Labelled(spec.task, labels, said, chances)
    classes = class_count(spec)
    if probabilities is None or probabilities.shape[1] < classes:
        probabilities = np.empty((labels.size, 0))
    return Labelled(spec.task, labels, scores, probabilities, classes)
