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


def brier(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Return the mean squared error of probabilities, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> brier(np.array([1.0, 0.0]), np.array([0.5, 0.0]))
    0.125
    """
    return _mean((scores - labels) ** 2, weights)


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


def _mean(values: Floats, weights: Floats | None = None) -> float:
    if weights is None:
        return float(values.mean()) if values.size else NAN
    return _ratio(float(weights @ values), float(weights.sum()))


def _ratio(amount: float, whole: float) -> float:
    return amount / whole if whole else NAN
