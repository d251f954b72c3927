"""What a prediction costs: one loss for monitors, comparisons and the gate alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.model import Task

FloatArray = NDArray[np.float64]


def row_losses(task: Task, scores: FloatArray, labels: FloatArray) -> FloatArray:
    """Loss that a task is measured by when nobody says otherwise, in its own unit.

    Binary: squared error of the probability. Multi-class: half the squared error of all
    probabilities, or 0/1 where only classes are given. Both lie in [0, 1]: a hard wrong answer
    cannot outweigh all others. Regression: absolute error, in the label's unit.

    Parameters
    ----------
    task : Task
    scores : ndarray
        Shape (n,), or (n, classes).
    labels : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
        NaN where score or label is.

    Examples
    --------
    >>> row_losses(Task.MULTICLASS, np.array([[0.5, 0.5, 0.0]]), np.array([0.0])).tolist()
    [0.25]
    >>> row_losses(Task.MULTICLASS, np.array([1.0, np.nan]), np.zeros(2)).tolist()
    [1.0, nan]
    """
    if task is Task.REGRESSION:
        return np.asarray(np.abs(scores - labels))
    if task is Task.BINARY:
        chances = scores if scores.ndim == 1 else scores[:, 1]
        return np.asarray((chances - labels) ** 2)
    if scores.ndim == 1:
        unknown = np.isnan(scores) | np.isnan(labels)
        return np.where(unknown, np.nan, (scores != labels).astype(np.float64))
    right = labels[:, None] == np.arange(scores.shape[1])
    half = ((scores - right) ** 2).sum(axis=1) / 2.0
    return np.where(np.isnan(labels), np.nan, half)


def losses(
    task: Task, scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5, scale: float = 1.0
) -> FloatArray:
    """Loss of each row as monitors and the gate bet on it: `row_losses`, in [0, 1].

    Brier scores see calibration as well as ranking. A regression's absolute error counts over
    `scale`, at most 1. A score that is no number, or no probability, loses 1.

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
    elif task is Task.MULTICLASS:
        given = np.round(given)
    raw = row_losses(task, given, true) / (scale if task is Task.REGRESSION else 1.0)
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
