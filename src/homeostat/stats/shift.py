"""By how much one sample lies above another, whatever the distribution (Hodges-Lehmann)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from homeostat.stats.exact_null import countable, mann_whitney_exact_sf
from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.significance import present
from homeostat.stats.special import normal_quantile

LARGEST = 4_000_000
"""Pairs of rows that are held at once; a few dozen MB."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The median of all differences between rows of two samples, and the test's interval."""

    value: float
    interval: Interval


def hodges_lehmann(control: ArrayLike, treated: ArrayLike, level: float = 0.95) -> Shift:
    """Estimate the shift of the treated rows against the control's (Hodges & Lehmann 1963).

    The interval holds all shifts that the Mann-Whitney test does not refute: order statistics of
    the differences, exact while the orders can be counted and by the normal limit beyond. It is of
    the shift if both distributions have the same shape, and of the median difference anyhow. NaN is
    dropped; ties make it a little wide.

    Parameters
    ----------
    control, treated : array_like, shape (n,) and (m,)
        ``n * m`` at most `LARGEST`.
    level : float
        Kept at least; 4 against 4 rows have no interval of more than 97 %.

    Returns
    -------
    Shift
        NaN with an empty side; bounds from the smallest to the largest difference where there are
        too few rows for the level.

    Raises
    ------
    ValueError
        If there are too many pairs, or a row is infinite.

    Examples
    --------
    >>> hodges_lehmann([1, 2, 3, 4], [10, 20, 30, 40])
    Shift(value=22.5, interval=Interval(lower=6.0, upper=39.0))
    """
    x, y = present(control), present(treated)
    n, m = x.size, y.size
    if not (n and m):
        return Shift(NAN, Interval(NAN, NAN))
    if n * m > LARGEST:
        raise ValueError(f"{n} times {m} differences are more than {LARGEST}; take a sample")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("an infinite row has no difference from another")
    gaps = np.sort((y[:, None] - x[None, :]).ravel())
    cut = _cut(n, m, (1.0 - level) / 2.0)
    interval = Interval(float(gaps[cut]), float(gaps[-1 - cut]))
    return Shift(float(np.median(gaps)), interval)


def _cut(n: int, m: int, tail: float) -> int:
    """Return how many differences lie outside on each side."""
    if not countable(n, m):
        spread = math.sqrt(n * m * (n + m + 1.0) / 12.0)
        reach = normal_quantile(1.0 - tail) * spread
        return max(0, math.floor(n * m / 2.0 - reach - 0.5))
    # The largest c with P(U <= c) <= tail; U is symmetric.
    low, high = 0, n * m // 2
    while low < high:
        middle = (low + high + 1) // 2
        if mann_whitney_exact_sf(n * m - middle, n, m) <= tail:
            low = middle
        else:
            high = middle - 1
    return low
