"""Values with 95 % intervals, and the ways of getting such an interval.

Losses and money are skewed, and few rows make most of a sum: Student's interval of a mean then
misses the truth on one side, up to a quarter of the time. Hall's transformation takes the skewness
out in closed form, as well as the bootstrap-t does by resampling, and the interval is whichever of
the two reaches further on each side (Hall, "On the removal of skewness by transformation", JRSS-B
1992).

Where rows have weights, the interval rests on the variance of the weighted statistic, not on the
sum of the weights: multiplying all weights by the same number changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import intervals, special
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]

NAN = float("nan")
LEVEL = 0.95
FARTHEST = 16.0  # logarithms: a bound ten million times the value says nothing
NO_ROWS = "no labelled rows"
ONE_ROW = "one row has no spread to tell an interval from"
TOO_LARGE = "too large or too odd for a number: look at the rows"
ANY_RATIO = "what it is divided by adds up to next to nothing"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its interval and the number of rows they rest on.

    The bounds are NaN where there is no interval, and the value too if there is none; ``problem``
    then says why.
    """

    value: float
    lower: float = NAN
    upper: float = NAN
    n: int = 0
    problem: str = ""

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)

    @property
    def interval(self) -> Interval:
        """The interval."""
        return Interval(self.lower, self.upper)


def missing(problem: str, n: int = 0, value: float = NAN) -> Estimate:
    """Return an estimate without an interval, and why.

    Examples
    --------
    >>> missing("one class only").bounded
    False
    """
    return Estimate(value, n=n, problem=problem)


def within(value: float, interval: Interval, n: int) -> Estimate:
    """Return a value with its interval, if both are finite numbers."""
    bounds = (value, interval.lower, interval.upper)
    if not all(map(math.isfinite, bounds)):
        return missing(TOO_LARGE, n)
    return Estimate(value, min(value, interval.lower), max(value, interval.upper), n)


def effective(weights: Floats) -> float:
    """Return how many equally weighted rows say as much (Kish 1965): ``sum(w)^2 / sum(w^2)``.

    Examples
    --------
    >>> effective(np.array([2.0, 2.0])), effective(np.array([1.0, 0.0]))
    (2.0, 1.0)
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def mean(values: Floats, weights: Floats | None = None) -> Estimate:
    """Estimate the mean of independent numbers.

    Of weighted rows the mean is the ratio of two sums, whose error is linearised (Cochran 1977,
    section 6.3), with ``effective(weights) - 1`` degrees of freedom.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite.
    weights : ndarray, shape (n,), optional
        At least 0.

    Examples
    --------
    >>> found = mean(np.array([1.0, 2.0, 3.0]))
    >>> found.value, round(found.lower, 3), round(found.upper, 3)
    (2.0, -0.484, 4.484)
    >>> mean(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0])) == found
    True
    >>> amounts = mean(np.exp(np.random.default_rng(0).normal(0.0, 1.0, 200)))
    >>> amounts.value - amounts.lower < amounts.upper - amounts.value
    True
    """
    value, error, rows = mean_and_error(values, weights)
    if not rows > 1.0:
        return missing(ONE_ROW if rows else NO_ROWS, values.size, value)
    moved = values - value if weights is None else weights * (values - value)
    return within(value, skewed(value, error, _skewness(moved), rows), values.size)


def total(values: Floats) -> Estimate:
    """Estimate the sum that windows like this one have, whose number of rows varies too.

    The sum of a Poisson number of rows has the variance ``sum x^2`` (compound Poisson).

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite.

    Examples
    --------
    >>> found = total(np.ones(100))
    >>> found.value, round(found.lower), round(found.upper)
    (100.0, 80, 122)
    """
    n = values.size
    if n < 2:
        return missing(ONE_ROW if n else NO_ROWS, n, float(values.sum()) if n else NAN)
    whole, error = float(values.sum()), math.sqrt(_square(values) * n / (n - 1))
    return within(whole, skewed(whole, error, _skewness(values), float(n)), n)


def ratio(numerator: Floats, denominator: Floats) -> Estimate:
    """Estimate the ratio of two sums over the same rows, by the delta method.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (n,)
        Finite.

    Returns
    -------
    Estimate
        NaN if the denominators add up to nothing; without bounds where their sum is within three
        standard errors of it: any ratio is possible then.

    Examples
    --------
    >>> found = ratio(np.array([1.0, 2.0, 3.0, 2.0]), np.array([2.0, 4.0, 6.0, 4.1]))
    >>> round(found.value, 3), found.lower < found.value < found.upper
    (0.497, True)
    """
    n = numerator.size
    if not n:
        return missing(NO_ROWS)
    below = float(denominator.mean())
    if below == 0.0:
        return missing(ANY_RATIO, n)
    value = float(numerator.mean()) / below
    if n < 2 or abs(below) < 3.0 * float(denominator.std()) / math.sqrt(n):
        return missing(ONE_ROW if n < 2 else ANY_RATIO, n, value)
    around = mean((numerator - value * denominator) / below)
    return within(value, Interval(value + around.lower, value + around.upper), n)


def rate(hits: int, n: int) -> Estimate:
    """Return the share of `n` rows that hit, with Wilson's interval.

    Examples
    --------
    >>> found = rate(15, 50)
    >>> found.value, round(found.lower, 4), round(found.upper, 4)
    (0.3, 0.191, 0.4375)
    """
    return within(hits / n, intervals.wilson(hits, n, LEVEL), n) if n else missing(NO_ROWS)


def share(value: float, error: float, n: int, rows: float) -> Estimate:
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
    >>> plain = share(0.3, (0.3 * 0.7 / 50) ** 0.5, 50, 50.0)
    >>> round(plain.lower, 4), round(plain.upper, 4)
    (0.191, 0.4375)
    """
    size = value * (1.0 - value) / error**2 if error > 0.0 and 0.0 < value < 1.0 else rows
    return within(value, intervals.wilson(value * size, size, LEVEL), n)


def positive(value: float, moved: Floats, n: int, rows: float) -> Estimate:
    """Return Hall's interval on the logarithm, for what cannot be negative.

    Squares of skewed errors are so skewed that few samples hold one of the rows that make most of
    their mean; the logarithm takes away half of that, and Hall's transformation most of the rest.

    Parameters
    ----------
    value : float
        Where it is 0 there is no logarithm, nor any spread: the interval is that point.
    moved : ndarray of float64, shape (n,)
        How far each row moves the logarithm, from where it would be without: for a mean of ``x``
        the part ``(x - mean) / (n mean)``.
    n : int
        Rows, for the record.
    rows : float
        Effective rows, above 1.

    Examples
    --------
    >>> x = np.exp(np.random.default_rng(0).normal(size=50))
    >>> found = positive(float(x.mean()), (x / x.mean() - 1.0) / 50, 50, 50.0)
    >>> round(found.lower, 2), round(found.value, 2), round(found.upper, 2)
    (1.29, 1.69, 2.35)
    """
    error = math.sqrt(_square(moved) * rows / (rows - 1.0))
    if value <= 0.0 or not error > 0.0:
        return within(value, Interval(value, value), n)
    around = skewed(0.0, error, _skewness(moved), rows)
    if max(-around.lower, around.upper) > FARTHEST:
        return missing("its error is too large for an interval", n)
    return within(
        value, Interval(value * math.exp(around.lower), value * math.exp(around.upper)), n
    )


def at_least(found: Estimate, rows: int, needed: int, what: str = "labelled rows") -> Estimate:
    """Return the estimate, or that it rests on too few rows for an interval.

    Examples
    --------
    >>> at_least(Estimate(0.5, 0.1, 0.9, 12), 12, 30).problem
    '12 labelled rows, 30 are needed'
    """
    if found.problem or rows >= needed:
        return found
    return missing(f"{rows:,} {what}, {needed:,} are needed", found.n, found.value)


def pool(parts: Sequence[tuple[Estimate, float]]) -> Estimate:
    """Average independent estimates by weight, such as those of successive windows by rows.

    Distances to the bounds add up as standard errors do, on either side by itself (Zou & Donner,
    "Construction of confidence limits about effect measures", Statistics in Medicine 2008).

    Parameters
    ----------
    parts : sequence of (Estimate, float)
        Each with its weight, above 0; those without bounds are passed over.

    Examples
    --------
    >>> pool([(Estimate(1.0, 0.0, 2.0), 1.0), (Estimate(3.0, 2.0, 4.0), 1.0)]).value
    2.0
    """
    used = [(part, weight) for part, weight in parts if part.bounded]
    if not used:
        return missing("none has an interval")
    whole = math.fsum(weight for _, weight in used)
    value = math.fsum(part.value * weight for part, weight in used) / whole
    down = math.hypot(*((part.value - part.lower) * weight for part, weight in used)) / whole
    up = math.hypot(*((part.upper - part.value) * weight for part, weight in used)) / whole
    return Estimate(value, value - down, value + up, sum(part.n for part, _ in used))


def difference(now: Estimate, before: Estimate) -> Estimate:
    """Return how much an independent estimate lies above another.

    The interval recovers each side's variance from its own interval, as that of `pool` does.

    Examples
    --------
    >>> found = difference(Estimate(5.0, 4.0, 6.0), Estimate(1.0, 0.0, 2.0))
    >>> found.value, round(found.lower, 2), round(found.upper, 2)
    (4.0, 2.59, 5.41)
    """
    value = now.value - before.value
    if now.problem or before.problem:
        return missing(now.problem or before.problem, value=value)
    down = math.hypot(now.value - now.lower, before.upper - before.value)
    up = math.hypot(now.upper - now.value, before.value - before.lower)
    return Estimate(value, value - down, value + up)


def skewed(value: float, error: float, skewness: float, rows: float) -> Interval:
    """Return Hall's interval of a mean, or Student's on the side where that reaches further.

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
    (-1.98, 2.37)
    """
    z = special.t_quantile(rows - 1.0, (1.0 + LEVEL) / 2.0)
    reaches = [-z, z]
    if abs(skewness) > 1e-9:
        reaches += [
            3.0 / skewness * (float(np.cbrt(1.0 + skewness * (side - skewness / 6.0))) - 1.0)
            for side in (-z, z)
        ]
    return Interval(value - error * max(reaches), value - error * min(reaches))


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


def _skewness(moved: Floats) -> float:
    """Return the skewness of rows over the root of their number, from how far each moves a sum."""
    largest = float(np.abs(moved).max())
    if not 0.0 < largest < math.inf:
        return 0.0
    scaled = moved / largest
    return float((scaled * scaled) @ scaled) / float(_square(scaled) ** 1.5)


def _square(values: Floats) -> float:
    return float(values @ values)
