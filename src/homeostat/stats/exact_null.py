"""Exact null distributions: what chance does when rows of two samples change sides.

Every order of the pooled rows is as likely as any other, so a p-value is a share of lattice paths
from (0, 0) to (n, m), or of hands drawn from an urn. Ties are broken at random, which makes the
path counts conservative where there are any.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_FAR = 40.0  # standard deviations beyond which probabilities vanish in float64


def cramer_von_mises_exact_sf(statistic: float, n: int, m: int) -> float:
    """Return the share of paths with at least this Cramer-von Mises statistic.

    The statistic of a path is a sum of whole numbers over its points; their distribution is carried
    from point to point (Burr 1963). Meant for up to 20 rows a side.

    Examples
    --------
    >>> round(cramer_von_mises_exact_sf(19 / 36, 3, 3), 6)
    0.1
    """
    divisor = math.gcd(n, m)
    right, up = m // divisor, n // divisor
    column: list[tuple[NDArray[np.int64], FloatArray]] = []
    for i in range(n + 1):
        for j in range(m + 1):
            arriving = [column[j]] if i else []
            arriving += [column[j - 1]] if j else []
            sums = np.concatenate([s for s, _ in arriving] or [np.zeros(1, dtype=np.int64)])
            paths = np.concatenate([p for _, p in arriving] or [np.ones(1)])
            distinct, group = np.unique(sums, return_inverse=True)
            passed = distinct + np.int64((i * right - j * up) ** 2)
            here = (passed.astype(np.int64), np.bincount(group, weights=paths).astype(np.float64))
            column[j : j + 1] = [here]
    sums, paths = column[m]
    # statistic = n m / N^2 * sum of squared gaps, a gap being (i right - j up) / lcm(n, m)
    wanted = statistic * (n + m) ** 2 * n * m / divisor**2
    return float(paths[sums >= wanted * (1.0 - 1e-9)].sum() / paths.sum())


def mann_whitney_exact_sf(u: float, n: int, m: int) -> float:
    """Return the share of orders in which U is at least `u`.

    Counts are the coefficients of a Gaussian binomial (Mann & Whitney 1947), in whole numbers.

    Raises
    ------
    ValueError
        If there are 2**62 orders or more.

    Examples
    --------
    >>> round(mann_whitney_exact_sf(9, 3, 3), 6)
    0.05
    """
    n, m = min(n, m), max(n, m)
    if not countable(n, m):
        raise ValueError(f"there are too many orders of {n} and {m} rows to count them")
    orders = np.zeros(n * m + 1, dtype=np.int64)
    orders[0] = 1
    for i in range(1, n + 1):
        orders[m + i :] -= orders[: -(m + i)].copy()
        padded = np.zeros(-(-orders.size // i) * i, dtype=np.int64)
        padded[: orders.size] = orders
        orders = np.cumsum(padded.reshape(-1, i), axis=0).ravel()[: orders.size]
    above = orders[max(0, math.ceil(u)) :]
    return float(above.sum() / orders.sum())


def countable(n: int, m: int) -> bool:
    """Whether the orders of `n` and `m` rows are so few that they can be counted in 64 bits."""
    few = min(n, m)
    return few <= 31 and math.comb(n + m, few) < 2**62


def hypergeometric(total: int, marked: int, drawn: int) -> tuple[int, FloatArray]:
    """Return the distribution of the marked rows among those drawn without replacement.

    Returns
    -------
    lowest : int
        What the first probability belongs to.
    probabilities : ndarray of float64
        Of `lowest` and each number after it; what is left out is below the range of float64.

    Examples
    --------
    >>> lowest, probabilities = hypergeometric(4, 2, 2)
    >>> lowest, probabilities.round(4).tolist()
    (0, [0.1667, 0.6667, 0.1667])
    """
    bottom, top = max(0, marked + drawn - total), min(marked, drawn)
    share = marked / total
    spread = math.sqrt(drawn * share * (1.0 - share) * (total - drawn) / max(1, total - 1))
    low, high = _window(drawn * share, spread, bottom, top)
    k = np.arange(low, high, dtype=np.float64)
    odds = (marked - k) * (drawn - k) / ((k + 1.0) * (total - marked - drawn + k + 1.0))
    return low, _from_odds(odds)


def binomial(n: int, share: float) -> tuple[int, FloatArray]:
    """Return the distribution of successes in `n` independent trials, as `hypergeometric` does.

    Examples
    --------
    >>> binomial(2, 0.5)[1].tolist()
    [0.25, 0.5, 0.25]
    """
    if share <= 0.0 or share >= 1.0:
        return (n if share >= 1.0 else 0), np.ones(1)
    low, high = _window(n * share, math.sqrt(n * share * (1.0 - share)), 0, n)
    k = np.arange(low, high, dtype=np.float64)
    return low, _from_odds((n - k) / (k + 1.0) * (share / (1.0 - share)))


def _window(mean: float, spread: float, bottom: int, top: int) -> tuple[int, int]:
    reach = _FAR * spread + 200.0
    return max(bottom, math.floor(mean - reach)), min(top, math.ceil(mean + reach))


def _from_odds(odds: FloatArray) -> FloatArray:
    """Return the probabilities of which neighbours have these odds."""
    with np.errstate(divide="ignore"):
        logs = np.concatenate(([0.0], np.cumsum(np.log(odds))))
    found: FloatArray = np.exp(logs - logs.max())
    found /= found.sum()
    return found
