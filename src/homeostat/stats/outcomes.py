"""Mean losses of binary outcomes, with intervals that hold where one class is rare.

With few rows of a class, hardly any sample shows what they cost: without positives the losses do
not vary, and an interval from their variance is a point. As Agresti & Coull ("Approximate is better
than 'exact' for interval estimation of binomial proportions", The American Statistician 1998) do
for a share, half of the squared quantile is added to the rows of either class. An added positive
costs what positives should according to the scores, an added negative likewise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import special
from homeostat.stats.estimates import LEVEL, Estimate, effective, mean, within
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]

FEW = 30.0
"""Effective rows of a class below which rows are added."""

EDGE = 1e-6
"""How far scores are kept from 0 and 1, as chances of the added rows."""


def mean_loss(
    labels: Floats,
    scores: Floats,
    if_negative: Floats,
    if_positive: Floats,
    weights: Floats | None = None,
) -> Estimate:
    """Estimate the mean of a loss that depends on the score and the outcome.

    Parameters
    ----------
    labels : ndarray of float64, shape (n,)
        0 or 1.
    scores : ndarray of float64, shape (n,)
        In [0, 1].
    if_negative, if_positive : ndarray of float64, shape (n,)
        Loss of each row, were it negative or positive; finite.
    weights : ndarray of float64, shape (n,), optional
        At least 0.

    Returns
    -------
    Estimate
        With the interval of `homeostat.stats.estimates.mean`, or where a class has fewer than `FEW`
        effective rows, Student's interval with the added rows.

    Examples
    --------
    >>> none, scores = np.zeros(100), np.full(100, 0.02)
    >>> found = mean_loss(none, scores, scores, scores - 1.0)
    >>> round(found.value, 3), round(found.lower, 3), round(found.upper, 3)
    (0.02, -0.025, 0.028)
    """
    positive = labels == 1.0
    found = mean(np.where(positive, if_positive, if_negative), weights)
    by = np.ones(labels.size) if weights is None else weights
    if not found.bounded or min(effective(by[positive]), effective(by[~positive])) >= FEW:
        return found
    held = np.clip(scores, EDGE, 1.0 - EDGE)
    rows, whole = effective(by), float(by.sum())
    added = special.normal_quantile((1.0 + LEVEL) / 2.0) ** 2 / 2.0
    losses = np.concatenate(
        (np.where(positive, if_positive, if_negative), if_positive, if_negative)
    )
    shares = np.concatenate(
        (
            by * (rows / whole),
            by * held * (added / float(by @ held)),
            by * (1.0 - held) * (added / float(by @ (1.0 - held))),
        )
    )
    size = rows + 2.0 * added
    middle = float(shares @ losses) / size
    error = math.sqrt(float(shares @ (losses - middle) ** 2)) / size
    reach = special.t_quantile(rows - 1.0, (1.0 + LEVEL) / 2.0) * error
    return within(found.value, Interval(middle - reach, middle + reach), found.n)
