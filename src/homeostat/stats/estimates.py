"""Means, totals and ratios of skewed numbers such as money, with 95 % intervals that hold.

Amounts are skewed, and most rows are worth nothing: Student's interval of a mean then misses the
truth on one side, up to a quarter of the time. Hall's transformation takes the skewness out in
closed form, as well as the bootstrap-t does by resampling, and the interval is whichever of the two
reaches further on each side (Hall, "On the removal of skewness by transformation", JRSS-B 1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.special import t_quantile

Floats = NDArray[np.float64]

_LEVEL = 0.975


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its interval; NaN bounds where there is too little data for any."""

    value: float
    lower: float = math.nan
    upper: float = math.nan

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)


def mean(values: Floats) -> Estimate:
    """Estimate the mean of independent numbers.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite.

    Examples
    --------
    >>> amounts = np.exp(np.random.default_rng(0).normal(0.0, 1.0, 200))
    >>> found = mean(amounts)
    >>> bool(found.value - found.lower < found.upper - found.value)
    True
    """
    if not values.size:
        return Estimate(math.nan)
    centre = float(values.mean())
    return _around(centre, values - centre, values.size)


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
    if not values.size:
        return Estimate(math.nan)
    around = _around(0.0, values, values.size, spread=float(np.mean(values**2)))
    whole = float(values.sum())
    return Estimate(whole, whole + values.size * around.lower, whole + values.size * around.upper)


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
    below = float(denominator.mean()) if n else 0.0
    if below == 0.0:
        return Estimate(math.nan)
    found = float(numerator.mean()) / below
    if n < 2 or abs(below) < 3.0 * float(denominator.std()) / math.sqrt(n):
        return Estimate(found)
    return _around(found, (numerator - found * denominator) / below, n)


def pool(parts: Sequence[tuple[Estimate, float]]) -> Estimate:
    """Average independent estimates by weight, such as those of successive windows by rows.

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
        return Estimate(math.nan)
    whole = math.fsum(weight for _, weight in used)
    value = math.fsum(part.value * weight for part, weight in used) / whole
    down = math.hypot(*((part.value - part.lower) * weight for part, weight in used)) / whole
    up = math.hypot(*((part.upper - part.value) * weight for part, weight in used)) / whole
    return Estimate(value, value - down, value + up)


def difference(now: Estimate, before: Estimate) -> Estimate:
    """Return how much an independent estimate lies above another.

    The interval recovers each side's variance from its own interval (Zou & Donner, "Construction of
    confidence limits about effect measures", Statistics in Medicine 2008).

    Examples
    --------
    >>> found = difference(Estimate(5.0, 4.0, 6.0), Estimate(1.0, 0.0, 2.0))
    >>> found.value, round(found.lower, 2), round(found.upper, 2)
    (4.0, 2.59, 5.41)
    """
    value = now.value - before.value
    down = math.hypot(now.value - now.lower, before.upper - before.value)
    up = math.hypot(now.upper - now.value, before.value - before.lower)
    return Estimate(value, value - down, value + up)


def _around(centre: float, apart: Floats, n: int, spread: float | None = None) -> Estimate:
    """Return the interval of a mean of `n` rows that lie `apart` from it."""
    if n < 2:
        return Estimate(centre)
    variance = float(np.mean(apart**2)) if spread is None else spread
    if not variance > 0.0:
        return Estimate(centre, centre, centre)
    skew = float(np.mean((apart / math.sqrt(variance)) ** 3))
    reach = t_quantile(n - 1, _LEVEL) / math.sqrt(n)
    error = math.sqrt(variance * n / (n - 1))
    low, high = sorted((_unskewed(reach, skew, n), _unskewed(-reach, skew, n)))
    return Estimate(
        centre, centre - error * max(reach, high), centre - error * min(-reach, low)
    )  # fmt: skip


def _unskewed(reach: float, skew: float, n: int) -> float:
    """Return the inverse of Hall's cubic transformation."""
    if abs(skew) < 1e-9:
        return reach
    inside = 1.0 + skew * (reach - skew / (6.0 * n))
    return 3.0 / skew * (math.copysign(abs(inside) ** (1.0 / 3.0), inside) - 1.0)
