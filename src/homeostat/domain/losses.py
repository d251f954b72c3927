"""What a prediction costs: one loss for monitors, comparisons and the gate alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.model import Task

FloatArray = NDArray[np.float64]


def losses(
    task: Task, scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5, scale: float = 1.0
) -> FloatArray:
    """Loss of each row, in [0, 1], the smaller the better.

    Binary: squared error of the probability (Brier), which sees calibration as well as ranking.
    Multi-class: 0 for the right class, else 1. Regression: absolute error over `scale`, at most 1.
    A score that is no number, or no probability, loses 1.

    Parameters
    ----------
    task : Task
    scores, labels : array_like
        Shape (n,); class indices for multi-class.
    threshold : float
        Binary hard scores only: a score outside [0, 1] is turned into 0 or 1 by it.
    scale : float
        Absolute error that counts as a loss of 1 (regression).

    Raises
    ------
    ValueError
        If the lengths differ, a label is NaN, or the scale is not positive.

    Examples
    --------
    >>> losses(Task.BINARY, [0.9, 0.2], [1.0, 1.0]).round(2).tolist()
    [0.01, 0.64]
    """
    given, true = _checked(scores, labels)
    if not scale > 0.0:
        raise ValueError(f"the scale of a loss is positive, not {scale}")
    if task is Task.BINARY:
        outside = (given < 0.0) | (given > 1.0)
        given = np.where(outside, (given >= threshold).astype(np.float64), given)
        raw = (given - true) ** 2
    elif task is Task.MULTICLASS:
        raw = (np.round(given) != true).astype(np.float64)
    else:
        raw = np.abs(given - true) / scale
    result: FloatArray = np.where(np.isnan(raw), 1.0, np.clip(raw, 0.0, 1.0))
    return result


def mistakes(scores: ArrayLike, labels: ArrayLike, threshold: float) -> FloatArray:
    """Return 1.0 where a binary decision at `threshold` is wrong, else 0.0: one minus accuracy.

    A score that is no number is wrong.

    Raises
    ------
    ValueError
        If the lengths differ or a label is NaN.

    Examples
    --------
    >>> mistakes([0.9, 0.2], [1.0, 1.0], threshold=0.5).tolist()
    [0.0, 1.0]
    """
    given, true = _checked(scores, labels)
    decided = np.where(np.isnan(given), np.nan, given >= threshold)
    wrong: FloatArray = (decided != true).astype(np.float64)
    return wrong


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, FloatArray]:
    given = np.asarray(scores, dtype=np.float64)
    true = np.asarray(labels, dtype=np.float64)
    if given.shape != true.shape:
        raise ValueError(f"{given.size} scores for {true.size} labels")
    if bool(np.isnan(true).any()):
        raise ValueError("a loss needs a label: drop the rows whose label is not known")
    return given, true
