"""Tails of the Kolmogorov-Smirnov statistics at any size: two samples, and one sample.

Exact where exactness can be had: by a recursion over lattice paths for two samples, by Durbin's
matrix for one of up to 140 rows. Beyond, one sample has the series of Pelz and Good.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DURBIN_ROWS = 140
"""Rows up to which one sample's distribution is exact."""


def two_sample_sf(statistic: float, n: int, m: int) -> float:
    """Return the probability that two samples of one continuous law are so far apart, or further.

    Parameters
    ----------
    statistic : float
        Largest gap of the two distribution functions.
    n, m : int
        Rows, at least 1 each. Takes ``n + m`` steps on vectors as long as the band is wide: 0.2 s
        for 10,000 rows each.

    Notes
    -----
    Exact, by the recursion of Viehmann (2021, arXiv:2102.08037): of the paths from (0, 0) to
    (i, j), the share that ever left the band is the mean of the shares at its two predecessors,
    weighted i : j. No number ever leaves [0, 1]. Ties make it conservative.

    Examples
    --------
    >>> round(two_sample_sf(1.0, 3, 3), 12)
    0.1
    """
    divisor = math.gcd(n, m)
    up, right = n // divisor, m // divisor
    height = round(statistic * n * right)  # outside is |i * right - j * up| >= height
    if height <= 0:
        return 1.0
    share, first = np.zeros(1), 0  # shares at i = first, first + 1, ... of one antidiagonal
    for steps in range(1, n + m + 1):
        low = max(0, steps - m, (steps * up - height) // (right + up) + 1)
        high = min(n, steps, -((-steps * up - height) // (right + up)) - 1)
        i = np.arange(low, high + 1)
        # All that is not listed lies outside the band, where the share is one.
        known = np.ones(high - low + 2)
        start = first - (low - 1)
        known[max(0, start) : start + share.size] = share[max(0, -start) :][: known.size - start]
        share, first = (i * known[:-1] + (steps - i) * known[1:]) / steps, low
    return float(share[0])


def one_sample_sf(statistic: float, n: int) -> float:
    """Return the probability that one sample is so far from its continuous law, or further.

    Parameters
    ----------
    statistic : float
        Largest gap between the sample's distribution function and the law's.
    n : int
        Rows, at least 1.

    Notes
    -----
    Exact to 1e-12 up to `DURBIN_ROWS` rows (Durbin 1973, as arranged by Marsaglia, Tsang & Wang
    2003); above, Pelz & Good (1976), within 2e-6.

    Examples
    --------
    >>> round(one_sample_sf(0.242, 30), 3)
    0.05
    """
    if statistic * n <= 0.5:
        return 1.0
    if statistic >= 1.0:
        return 0.0
    below = _durbin(statistic, n) if n <= DURBIN_ROWS else _pelz_good(statistic * math.sqrt(n), n)
    return min(1.0, max(0.0, 1.0 - below))


def _durbin(statistic: float, n: int) -> float:
    """Return n! / n^n times the middle of the n-th power of a matrix of 2 ceil(n d) - 1 rows."""
    cell = math.floor(n * statistic) + 1
    rest = cell - n * statistic
    size = 2 * cell - 1
    inverse_factorial = np.exp(-np.cumsum(np.log(np.arange(1.0, size + 1.0))))
    i, j = np.indices((size, size))
    order = i - j + 1
    base = np.where(order >= 0, 1.0, 0.0)
    edge = rest ** np.arange(1.0, size + 1.0)
    base[:, 0] -= edge
    base[-1, :] -= edge[::-1]
    base[-1, 0] += max(0.0, 2.0 * rest - 1.0) ** size
    base = np.where(order > 0, base * inverse_factorial[np.maximum(order, 1) - 1], base)
    # Up to DURBIN_ROWS the power is below e^n and the factor above e^-n: neither leaves float64.
    middle = float(np.linalg.matrix_power(base, n)[cell - 1, cell - 1])
    return middle * math.exp(math.lgamma(n + 1.0) - n * math.log(n))


def _pelz_good(z: float, n: int) -> float:
    """Return the limit of Kolmogorov and its corrections in n^(-1/2), n^(-1) and n^(-3/2)."""
    terms = max(20, math.ceil(2.0 * z * z) + 5)
    odd = (math.pi * (np.arange(float(terms)) + 0.5)) ** 2
    even = (math.pi * np.arange(1.0, terms)) ** 2
    at_odd, at_even = np.exp(-odd / (2.0 * z * z)), np.exp(-even / (2.0 * z * z))
    z2 = z * z
    first = at_odd.sum() / z
    second = _sum(at_odd, odd, (-z2, 1.0)) / (6.0 * z**4)
    third = _sum(
        at_odd, odd, (6.0 * z2**3 + 2.0 * z2**2, 2.0 * z2**2 - 5.0 * z2, 1.0 - 2.0 * z2)
    ) / (72.0 * z**7) - _sum(at_even, even, (0.0, 1.0)) / (36.0 * z**3)
    fourth = _sum(
        at_odd,
        odd,
        (
            -30.0 * z2**3 - 90.0 * z2**4,
            135.0 * z2**2 - 96.0 * z2**3,
            -60.0 * z2 + 212.0 * z2**2,
            5.0 - 30.0 * z2,
        ),
    ) / (6480.0 * z**10) + _sum(at_even, even, (0.0, 3.0 * z2, -1.0)) / (216.0 * z2**3)
    series = first + second / math.sqrt(n) + third / n + fourth / n**1.5
    return float(series) * math.sqrt(2.0 * math.pi)


def _sum(
    weights: NDArray[np.floating], at: NDArray[np.floating], coefficients: tuple[float, ...]
) -> float:
    """Return the weighted sum of a polynomial, lowest power first."""
    return float(weights @ np.polynomial.polynomial.polyval(at, np.array(coefficients)))
