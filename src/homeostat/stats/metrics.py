"""How good predictions were. NaN where a metric is undefined, such as AUC on one class.

Binary labels are float64 0 or 1, scores probabilities of 1; class labels and predictions are class
indices; all arrays have shape (n,). Rows with NaN must be left out by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.ranks import midranks

Floats = NDArray[np.float64]
Matrix = NDArray[np.int64]

NAN = float("nan")


def auc(labels: Floats, scores: Floats) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative.

    Examples
    --------
    >>> import numpy as np
    >>> auc(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    positive = labels == 1.0
    m = int(np.count_nonzero(positive))
    n = labels.size - m
    if not (m and n):
        return NAN
    return (float(midranks(scores)[positive].sum()) - m * (m + 1) / 2) / (m * n)


def average_precision(labels: Floats, scores: Floats) -> float:
    """Return the mean precision over the positives, in order of score (area under the PR curve).

    Examples
    --------
    >>> import numpy as np
    >>> labels, scores = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(average_precision(labels, scores), 4)
    0.8333
    """
    positives = float(labels.sum())
    if not positives:
        return NAN
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(labels[order])[last_of_tie]
    rows = (np.flatnonzero(last_of_tie) + 1).astype(np.float64)
    return float(np.sum(np.diff(hits, prepend=0.0) * hits / rows)) / positives


def log_loss(labels: Floats, scores: Floats) -> float:
    """Return the mean negative log-likelihood, in nats; scores are kept 2**-52 away from 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> round(log_loss(np.array([1.0, 0.0]), np.array([0.9, 0.2])), 4)
    0.1643
    """
    tiny = 2.0**-52
    p = np.clip(scores, tiny, 1.0 - tiny)
    return _mean(-(labels * np.log(p) + (1.0 - labels) * np.log1p(-p)))


def brier(labels: Floats, scores: Floats) -> float:
    """Return the mean squared error of probabilities, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> brier(np.array([1.0, 0.0]), np.array([0.5, 0.0]))
    0.125
    """
    return _mean((scores - labels) ** 2)


def confusion(labels: Floats, predictions: Floats, classes: int = 2) -> Matrix:
    """Count rows by true class (row) and predicted class (column).

    Returns
    -------
    ndarray of int64, shape (classes, classes)

    Examples
    --------
    >>> import numpy as np
    >>> confusion(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])).tolist()
    [[1, 0], [1, 1]]
    """
    cell = labels.astype(np.int64) * classes + predictions.astype(np.int64)
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(matrix: Matrix) -> float:
    """Return the share of rows predicted right.

    Examples
    --------
    >>> import numpy as np
    >>> accuracy(np.array([[1, 0], [1, 2]]))
    0.75
    """
    return _ratio(float(np.trace(matrix)), float(matrix.sum()))


def precision(matrix: Matrix, positive: int = 1) -> float:
    """Return the share of rows predicted as `positive` that are."""
    return _ratio(float(matrix[positive, positive]), float(matrix[:, positive].sum()))


def recall(matrix: Matrix, positive: int = 1) -> float:
    """Return the share of `positive` rows that were predicted as such."""
    return _ratio(float(matrix[positive, positive]), float(matrix[positive].sum()))


def f1(matrix: Matrix, positive: int = 1) -> float:
    """Return the harmonic mean of precision and recall; NaN if the class occurs nowhere.

    Examples
    --------
    >>> import numpy as np
    >>> f1(np.array([[1, 0], [1, 2]]))
    0.8
    """
    involved = float(matrix[positive].sum() + matrix[:, positive].sum())
    return _ratio(2.0 * float(matrix[positive, positive]), involved)


def macro_f1(matrix: Matrix) -> float:
    """Return the mean F1 of the classes that occur as label or prediction."""
    scores = np.array([f1(matrix, positive) for positive in range(matrix.shape[0])])
    return _mean(scores[~np.isnan(scores)])


def mcc(matrix: Matrix) -> float:
    """Return Matthews' correlation, in [-1, 1], for any number of classes (Gorodkin 2004).

    Examples
    --------
    >>> import numpy as np
    >>> round(mcc(np.array([[1, 0], [1, 2]])), 4)
    0.5774
    """
    counts = matrix.astype(np.float64)
    true, predicted, n = counts.sum(axis=1), counts.sum(axis=0), float(counts.sum())
    agreement = float(np.trace(counts)) * n - float(true @ predicted)
    spread = (n * n - float(true @ true)) * (n * n - float(predicted @ predicted))
    return _ratio(agreement, float(np.sqrt(spread)))


@dataclass(frozen=True, slots=True)
class ReliabilityCell:
    """Rows of similar score: how many, what was claimed, what came true."""

    n: int
    mean_score: float
    observed: float


def reliability(labels: Floats, scores: Floats, cells: int = 10) -> tuple[ReliabilityCell, ...]:
    """Return claimed against observed shares in cells of equal width; empty cells are left out.

    Examples
    --------
    >>> import numpy as np
    >>> curve = reliability(np.array([0.0, 1.0, 1.0]), np.array([0.05, 0.93, 0.97]))
    >>> [(cell.n, round(cell.mean_score, 2), cell.observed) for cell in curve]
    [(1, 0.05, 0.0), (2, 0.95, 1.0)]
    """
    place = np.clip((scores * cells).astype(np.int64), 0, cells - 1)
    rows = np.bincount(place, minlength=cells)
    claimed = np.bincount(place, weights=scores, minlength=cells)
    true = np.bincount(place, weights=labels, minlength=cells)
    sums = zip(rows.tolist(), claimed.tolist(), true.tolist(), strict=True)
    return tuple(ReliabilityCell(n, c / n, t / n) for n, c, t in sums if n)


def ece(labels: Floats, scores: Floats, cells: int = 10) -> float:
    """Return the expected calibration error: the mean gap of `reliability`, weighted by rows.

    Examples
    --------
    >>> import numpy as np
    >>> round(ece(np.array([0.0, 1.0, 1.0]), np.array([0.05, 0.93, 0.97])), 4)
    0.05
    """
    curve = reliability(labels, scores, cells)
    gaps = sum(cell.n * abs(cell.mean_score - cell.observed) for cell in curve)
    return _ratio(gaps, labels.size)


def mae(labels: Floats, predictions: Floats) -> float:
    """Return the mean absolute error."""
    return _mean(np.abs(predictions - labels))


def rmse(labels: Floats, predictions: Floats) -> float:
    """Return the root of the mean squared error.

    Examples
    --------
    >>> import numpy as np
    >>> rmse(np.array([0.0, 0.0]), np.array([1.0, 7.0]))
    5.0
    """
    return float(np.sqrt(_mean((predictions - labels) ** 2)))


def r2(labels: Floats, predictions: Floats) -> float:
    """Return the share of variance explained; below 0 if worse than the mean, NaN if it is 0."""
    if not labels.size:
        return NAN
    around = float(np.sum((labels - labels.mean()) ** 2))
    return 1.0 - _ratio(float(np.sum((predictions - labels) ** 2)), around)


def wape(labels: Floats, predictions: Floats) -> float:
    """Return the sum of absolute errors over the sum of absolute labels.

    Examples
    --------
    >>> import numpy as np
    >>> wape(np.array([8.0, 2.0]), np.array([7.0, 3.0]))
    0.2
    """
    return _ratio(float(np.abs(predictions - labels).sum()), float(np.abs(labels).sum()))


def bias(labels: Floats, predictions: Floats) -> float:
    """Return the mean of prediction minus label: above 0, the model predicts too much."""
    return _mean(predictions - labels)


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else NAN


def _ratio(amount: float, whole: float) -> float:
    return amount / whole if whole else NAN
