"""Values with 95 % intervals, and the ways of getting such an interval.

Where rows have weights, the interval rests on the variance of the weighted statistic, not on the
sum of the weights: multiplying all weights by the same number changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import intervals, special
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]

NAN = float("nan")
LEVEL = 0.95
NO_ROWS = "no labelled rows"
ONE_ROW = "one row has no spread to tell an interval from"


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, its interval and the number of rows they rest on.

    All three are NaN where there is no such value; ``problem`` then says why.
    """

    value: float
    lower: float
    upper: float
    n: int
    problem: str = ""

    @property
    def available(self) -> bool:
        """Whether there is a value."""
        return not self.problem

    @property
    def interval(self) -> Interval:
        """The interval."""
        return Interval(self.lower, self.upper)


def missing(problem: str, n: int = 0) -> Measured:
    """Return an estimate that is not available, and why.

    Examples
    --------
    >>> missing("one class only").available
    False
    """
    return Measured(NAN, NAN, NAN, n, problem)


def within(value: float, interval: Interval, n: int) -> Measured:
    """Return a value with its interval, if both are finite numbers."""
    bounds = (value, interval.lower, interval.upper)
    if not all(map(math.isfinite, bounds)):
        return missing("too large or too odd for a number: look at the rows", n)
    return Measured(value, min(value, interval.lower), max(value, interval.upper), n)


def effective(weights: Floats) -> float:
    """Return how many equally weighted rows say as much (Kish 1965): ``sum(w)^2 / sum(w^2)``.

    Examples
    --------
    >>> effective(np.array([2.0, 2.0])), effective(np.array([1.0, 0.0]))
    (2.0, 1.0)
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def of_mean(values: Floats, weights: Floats | None = None) -> Measured:
    """Return the mean of finite values, with Student's interval mended for their skewness.

    Losses are skewed, and few rows of a rare class make most of one: plain bounds lie too low. The
    cubic transformation of Hall, "On the removal of skewness by transformation" (JRSS-B 1992),
    moves both up. Of weighted rows the mean is the ratio of two sums, whose error is linearised
    (Cochran 1977, section 6.3), with ``effective(weights) - 1`` degrees of freedom.

    Examples
    --------
    >>> found = of_mean(np.array([1.0, 2.0, 3.0]))
    >>> found.value, round(found.lower, 3), round(found.upper, 3)
    (2.0, -0.484, 4.484)
    >>> of_mean(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0])) == found
    True
    """
    value, error, rows = mean_and_error(values, weights)
    if not rows > 1.0:
        return missing(ONE_ROW if rows else NO_ROWS, values.size)
    moved = values - value if weights is None else weights * (values - value)
    squares = _square(moved)
    skewness = float(np.dot(moved * moved, moved)) / squares**1.5 if squares > 0.0 else 0.0
    return within(value, skewed(value, error, skewness, rows), values.size)


def skewed(value: float, error: float, skewness: float, rows: float) -> Interval:
    """Return Hall's interval of a mean.

    Parameters
    ----------
    value, error : float
        The mean and its standard error.
    skewness : float
        Of the rows, over the root of their number; 0 gives Student's interval.
    rows : float
        Effective rows, above 1.

    Examples
    --------
    >>> found = skewed(0.0, 1.0, 0.2, 100.0)
    >>> round(found.lower, 2), round(found.upper, 2)
    (-1.74, 2.37)
    """
    z = special.t_quantile(rows - 1.0, (1.0 + LEVEL) / 2.0)
    if abs(skewness) < 1e-9:
        return Interval(value - z * error, value + z * error)
    lower, upper = (
        3.0 / skewness * (float(np.cbrt(1.0 + skewness * (side * z - skewness / 6.0))) - 1.0)
        for side in (1.0, -1.0)
    )
    return Interval(value - lower * error, value - upper * error)


def mean_and_error(values: Floats, weights: Floats | None = None) -> tuple[float, float, float]:
    """Return the mean, its standard error, and the effective number of rows.

    NaN where there are too few; the error of rows that are all alike is 0.
    """
    if weights is None:
        rows = float(values.size)
        if rows < 2.0:
            return (float(values.mean()) if rows else NAN), NAN, rows
        value = float(values.mean())
        return value, math.sqrt(_square(values - value) / (rows * (rows - 1.0))), rows
    rows = effective(weights)
    if not rows:
        return NAN, NAN, 0.0
    total = float(weights.sum())
    value = float(weights @ values) / total
    if not rows > 1.0:
        return value, NAN, rows
    spread = _square(weights * (values - value)) / total**2
    return value, math.sqrt(spread * rows / (rows - 1.0)), rows


def of_share(value: float, error: float, n: int, rows: float) -> Measured:
    """Return Wilson's interval of a share, or of anything else in [0, 1] that behaves as one.

    Its sample is as large as that of a plain share with this standard error, or `rows` where the
    share is 0 or 1 and the error says nothing.

    Parameters
    ----------
    value, error : float
        In [0, 1], and its standard error.
    n : int
        Rows, for the record.
    rows : float
        Effective rows, above 0.

    Examples
    --------
    >>> plain = of_share(0.3, (0.3 * 0.7 / 50) ** 0.5, 50, 50.0)
    >>> round(plain.lower, 4), round(plain.upper, 4)
    (0.191, 0.4375)
    """
    size = value * (1.0 - value) / error**2 if error > 0.0 and 0.0 < value < 1.0 else rows
    return within(value, intervals.wilson(value * size, size, LEVEL), n)


def of_positive(value: float, error: float, n: int, rows: float) -> Measured:
    """Return an interval that is symmetric in the logarithm, for what cannot be negative.

    Where the value is 0 there is no logarithm, nor any spread: the interval is that point.
    """
    if value <= 0.0 or not error > 0.0:
        return within(value, Interval(value, value), n)
    reach = special.t_quantile(max(rows - 1.0, 1.0), (1.0 + LEVEL) / 2.0) * error / value
    if reach > 500.0:
        return missing("its error is too large for an interval", n)
    return within(value, Interval(value * math.exp(-reach), value * math.exp(reach)), n)


def at_least(estimate: Measured, rows: int, needed: int, what: str = "labelled rows") -> Measured:
    """Return the estimate, or that it rests on too few rows.

    Examples
    --------
    >>> at_least(Measured(0.5, 0.1, 0.9, 12), 12, 30).problem
    '12 labelled rows, 30 are needed'
    """
    if estimate.problem or rows >= needed:
        return estimate
    return replace(missing(f"{rows:,} {what}, {needed:,} are needed"), n=estimate.n)


def _square(values: Floats) -> float:
    return float(values @ values)
