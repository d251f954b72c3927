"""Estimates from how often each number occurs, where the rows themselves are elsewhere.

The same as those of `homeostat.stats.estimates`, `residuals` and `outcomes` on the rows, but for
the order in which sums are taken.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import special
from homeostat.stats.estimates import (
    LEVEL,
    NO_ROWS,
    ONE_ROW,
    Estimate,
    missing,
    skewed,
    within,
)
from homeostat.stats.intervals import Interval
from homeostat.stats.outcomes import EDGE, FEW

Floats = NDArray[np.float64]


def mean(values: Floats, counts: Floats) -> Estimate:
    """Estimate the mean of numbers of which each occurs so often.

    Parameters
    ----------
    values : ndarray, shape (m,)
        Finite.
    counts : ndarray, shape (m,)
        Whole numbers, above 0.

    Examples
    --------
    >>> from homeostat.stats import estimates
    >>> rows, values, counts = np.array([1.0, 1.0, 4.0]), np.array([1.0, 4.0]), np.array([2.0, 1.0])
    >>> mean(values, counts) == estimates.mean(rows)
    True
    """
    n = int(counts.sum())
    if n < 2:
        return missing(ONE_ROW if n else NO_ROWS, n, float(values[0]) if n else math.nan)
    value = float(values @ counts) / n
    moved = values - value
    error = math.sqrt(float((moved * moved) @ counts) / (n * (n - 1.0)))
    return within(value, skewed(value, error, _skewness(moved, counts), float(n)), n)


def mean_loss(
    scores: Floats, negative: Floats, positive: Floats, if_negative: Floats, if_positive: Floats
) -> Estimate:
    """Estimate the mean of a loss, as `homeostat.stats.outcomes.mean_loss` does.

    Parameters
    ----------
    scores : ndarray, shape (m,)
        In [0, 1].
    negative, positive : ndarray, shape (m,)
        Rows of either class with each score.
    if_negative, if_positive : ndarray, shape (m,)
        Loss of such a row of either class; finite.

    Examples
    --------
    >>> few, many, scores = np.array([0.0]), np.array([100.0]), np.array([0.02])
    >>> found = mean_loss(scores, many, few, scores, scores - 1.0)
    >>> round(found.value, 3), round(found.lower, 3), round(found.upper, 3)
    (0.02, -0.025, 0.028)
    """
    losses, counts = (
        np.concatenate((if_negative, if_positive)),
        np.concatenate((negative, positive)),
    )
    some = counts > 0.0
    found = mean(losses[some], counts[some])
    rows = float(counts.sum())
    if not found.bounded or min(float(negative.sum()), float(positive.sum())) >= FEW:
        return found
    held = np.clip(scores, EDGE, 1.0 - EDGE)
    whole = negative + positive
    added = special.normal_quantile((1.0 + LEVEL) / 2.0) ** 2 / 2.0
    shares = counts + np.concatenate(
        (
            whole * (1.0 - held) * (added / float(whole @ (1.0 - held))),
            whole * held * (added / float(whole @ held)),
        )
    )
    size = rows + 2.0 * added
    middle = float(shares @ losses) / size
    error = math.sqrt(float(shares @ (losses - middle) ** 2)) / size
    reach = special.t_quantile(rows - 1.0, (1.0 + LEVEL) / 2.0) * error
    return within(found.value, Interval(middle - reach, middle + reach), found.n)


def root_mean_square(values: Floats, counts: Floats) -> Estimate:
    """Estimate the root of the mean square, as `homeostat.stats.residuals.rmse` does of errors.

    Examples
    --------
    >>> root_mean_square(np.array([1.0, 7.0]), np.array([3.0, 3.0])).value
    5.0
    """
    n = int(counts.sum())
    if n < 2:
        return missing(ONE_ROW if n else NO_ROWS, n)
    squares = values * values
    square = float(squares @ counts) / n
    if not 0.0 < square < math.inf:
        return within(math.sqrt(square), Interval(math.sqrt(square), math.sqrt(square)), n)
    moved = (squares / square - 1.0) / n
    error = math.sqrt(float((moved * moved) @ counts) * n / (n - 1.0))
    around = skewed(0.0, error, _skewness(moved, counts), float(n))
    bounds = (square * math.exp(around.lower), square * math.exp(around.upper))
    return within(math.sqrt(square), Interval(*map(math.sqrt, bounds)), n)


def _skewness(moved: Floats, counts: Floats) -> float:
    largest = float(np.abs(moved).max())
    if not 0.0 < largest < math.inf:
        return 0.0
    scaled = moved / largest
    squares = scaled * scaled
    return float((squares * scaled) @ counts) / math.pow(float(squares @ counts), 1.5)
