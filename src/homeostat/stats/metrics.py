"""How good predictions were. NaN where a metric is undefined, such as AUC on one class.

Binary labels are float64 0 or 1, scores probabilities of 1; class labels and predictions are class
indices; all arrays have shape (n,). Rows with NaN must be left out by the caller. Weights are
finite and at least 0. Intervals are in `ranking`, `crosstab`, `residuals` and `calibration`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import ranking

Floats = NDArray[np.float64]
Matrix = NDArray[np.int64] | Floats

NAN = float("nan")


def auc(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative.

    Examples
    --------
    >>> import numpy as np
    >>> auc(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    return ranking.auc(ranking.rank(labels, scores, weights))


def average_precision(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Return the mean precision over the positives, in order of score (area under the PR curve).

    Examples
    --------
    >>> import numpy as np
    >>> labels, scores = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(average_precision(labels, scores), 4)
    0.8333
    """
    return ranking.average_precision(ranking.rank(labels, scores, weights))


def log_loss(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Return the mean negative log-likelihood, in nats; scores are kept 2**-52 away from 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> round(log_loss(np.array([1.0, 0.0]), np.array([0.9, 0.2])), 4)
    0.1643
    """
    tiny = 2.0**-52
    p = np.clip(scores, tiny, 1.0 - tiny)
    return _mean(-(labels * np.log(p) + (1.0 - labels) * np.log1p(-p)), weights)


def brier(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Return the mean squared error of probabilities, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> brier(np.array([1.0, 0.0]), np.array([0.5, 0.0]))
    0.125
    """
    return _mean((scores - labels) ** 2, weights)


def confusion(
    labels: Floats, predictions: Floats, classes: int = 2, weights: Floats | None = None
) -> Matrix:
    """Count rows by true class (row) and predicted class (column), or sum their weights.

    Returns
    -------
    ndarray of int64, of weights float64, shape (classes, classes)

    Examples
    --------
    >>> import numpy as np
    >>> confusion(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])).tolist()
    [[1, 0], [1, 1]]
    """
    cell = labels.astype(np.int64) * classes + predictions.astype(np.int64)
    return np.bincount(cell, weights, classes * classes).reshape(classes, classes)


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


def mae(labels: Floats, predictions: Floats, weights: Floats | None = None) -> float:
    """Return the mean absolute error."""
    return _mean(np.abs(predictions - labels), weights)


def rmse(labels: Floats, predictions: Floats, weights: Floats | None = None) -> float:
    """Return the root of the mean squared error.

    Examples
    --------
    >>> import numpy as np
    >>> rmse(np.array([0.0, 0.0]), np.array([1.0, 7.0]))
    5.0
    """
    return float(np.sqrt(_mean((predictions - labels) ** 2, weights)))


def r2(labels: Floats, predictions: Floats, weights: Floats | None = None) -> float:
    """Return the share of variance explained; below 0 if worse than the mean, NaN if it is 0."""
    around = _mean((labels - _mean(labels, weights)) ** 2, weights)
    return 1.0 - _ratio(_mean((predictions - labels) ** 2, weights), around)


def wape(labels: Floats, predictions: Floats, weights: Floats | None = None) -> float:
    """Return the sum of absolute errors over the sum of absolute labels.

    Examples
    --------
    >>> import numpy as np
    >>> wape(np.array([8.0, 2.0]), np.array([7.0, 3.0]))
    0.2
    """
    return _ratio(_mean(np.abs(predictions - labels), weights), _mean(np.abs(labels), weights))


def bias(labels: Floats, predictions: Floats, weights: Floats | None = None) -> float:
    """Return the mean of prediction minus label: above 0, the model predicts too much."""
    return _mean(predictions - labels, weights)


def _mean(values: Floats, weights: Floats | None = None) -> float:
    if weights is None:
        return float(values.mean()) if values.size else NAN
    return _ratio(float(weights @ values), float(weights.sum()))


def _ratio(amount: float, whole: float) -> float:
    return amount / whole if whole else NAN
