"""Means, ratios and adjusted means from sums alone, with the variance that their rows have.

Sums add up over parts, days and machines, so nothing here needs the rows again. What is compared
afterwards is always a `Moments`: how many rows, their mean, and the variance of one row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS = 1e-13
"""A variance below this share of the mean square is what rounding leaves of no variance at all."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Size, mean and variance of rows.

    Attributes
    ----------
    n : float
    mean : float
        NaN without rows.
    variance : float
        Of one row (divisor ``n - 1``); NaN with fewer than two rows, 0 if they are all the same.
    """

    n: float
    mean: float
    variance: float

    @property
    def error(self) -> float:
        """The standard error of the mean; NaN with fewer than two rows."""
        return math.sqrt(self.variance / self.n) if self.n >= 2.0 else math.nan


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over rows of a value y and a companion x: a denominator, or a covariate.

    Attributes
    ----------
    n : float
    y, x : float
        Sums.
    yy, xx, xy : float
        Sums of squares and of products.
    """

    n: float = 0.0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def __add__(self, other: PairSums) -> PairSums:
        """Put the rows of both together."""
        return PairSums(
            self.n + other.n,
            self.y + other.y,
            self.yy + other.yy,
            self.x + other.x,
            self.xx + other.xx,
            self.xy + other.xy,
        )


def mean(sums: PairSums) -> Moments:
    """Return the moments of y.

    Sums of squares lose digits where the mean is millions of times the spread: what rounding leaves
    then is taken for no variance.

    Examples
    --------
    >>> mean(PairSums(n=4.0, y=10.0, yy=30.0))  # 1, 2, 3, 4
    Moments(n=4.0, mean=2.5, variance=1.6666666666666667)
    """
    if not sums.n > 0.0:
        return Moments(0.0, math.nan, math.nan)
    return Moments(sums.n, sums.y / sums.n, _spread(sums.n, sums.yy, sums.y, sums.y))


def ratio(sums: PairSums) -> Moments:
    """Return the ratio of the sums of y and x as if it were a mean, by the delta method.

    ``R = sum y / sum x`` with the variance of ``(y - R x) / mean(x)``: right where rows (entities)
    are independent, though what they count (clicks, views) is not (Deng, Knoblich & Lu, "Applying
    the delta method in metric analytics", KDD 2018). NaN where the sum of x is not positive.

    Examples
    --------
    >>> found = ratio(PairSums(n=3.0, y=3.0, yy=5.0, x=6.0, xx=14.0, xy=8.0))
    >>> found.mean, found.variance  # clicks 0, 1, 2 of 1, 2, 3 views
    (0.5, 0.0625)
    """
    if not (sums.n > 0.0 and sums.x > 0.0):
        return Moments(sums.n, math.nan, math.nan)
    quotient = sums.y / sums.x
    yy = _spread(sums.n, sums.yy, sums.y, sums.y)
    xx = _spread(sums.n, sums.xx, sums.x, sums.x)
    xy = _spread(sums.n, sums.xy, sums.x, sums.y)
    variance = yy - 2.0 * quotient * xy + quotient * quotient * xx
    if variance < _DIGITS * yy:
        variance = 0.0
    scale = sums.n / sums.x
    return Moments(sums.n, quotient, variance * scale * scale)


def adjusted(arms: Sequence[PairSums]) -> tuple[Moments, ...]:
    """Return means of y from which what x explains is taken out (CUPED).

    ``mean(y) - theta (mean(x) - mean of x over all arms)``, with one theta, the pooled regression
    slope, for all arms (Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data", WSDM 2013). The variance falls by the squared
    correlation. Valid only if x was known before the entity got its arm.

    Examples
    --------
    >>> arm = PairSums(n=4.0, y=10.0, yy=30.0, x=20.0, xx=120.0, xy=60.0)  # x = 2 y
    >>> [found.variance for found in adjusted((arm, arm))]
    [0.0, 0.0]
    """
    used = [sums for sums in arms if sums.n >= 2.0]
    within = sum(_spread(s.n, s.xx, s.x, s.x) * (s.n - 1.0) for s in used)
    shared = sum(_spread(s.n, s.xy, s.x, s.y) * (s.n - 1.0) for s in used)
    theta = shared / within if within > 0.0 else 0.0
    rows = sum(sums.n for sums in arms)
    centre = sum(sums.x for sums in arms) / rows if rows else 0.0
    return tuple(_without(sums, theta, centre) for sums in arms)


def _without(sums: PairSums, theta: float, centre: float) -> Moments:
    plain = mean(sums)
    if not plain.n or not theta:
        return plain
    xx = _spread(sums.n, sums.xx, sums.x, sums.x)
    xy = _spread(sums.n, sums.xy, sums.x, sums.y)
    variance = plain.variance - 2.0 * theta * xy + theta * theta * xx
    if variance < _DIGITS * plain.variance:
        variance = 0.0
    return Moments(sums.n, plain.mean - theta * (sums.x / sums.n - centre), variance)


def _spread(n: float, products: float, x: float, y: float) -> float:
    """Return the covariance of rows from their sums."""
    if n < 2.0:
        return math.nan
    centred = products - x * y / n
    return 0.0 if abs(centred) <= _DIGITS * abs(products) else centred / (n - 1.0)
