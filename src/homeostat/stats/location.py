"""Two-sample tests of location: ranks (Mann-Whitney) and means (Student, Welch, z).

NaN is dropped. Ranks take infinities as extremes; a mean with one among its values is not a number,
and neither is the p-value. All are two-sided; a statistic is positive if the reference is larger.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.exact_null import countable, mann_whitney_exact_sf
from homeostat.stats.pooled import pool
from homeostat.stats.significance import NOTHING, Significance, present, present_weighted
from homeostat.stats.special import normal_sf, t_sf


def mann_whitney(reference: ArrayLike, current: ArrayLike) -> Significance:
    """Test whether rows of one side tend to exceed those of the other (Mann & Whitney 1947).

    Exact without ties as long as the orders can be counted in 64 bits (30 against 30 rows, 8
    against 600); the normal limit with tie and continuity corrections otherwise.

    Returns
    -------
    Significance
        The statistic is U of the reference: pairs in which it is larger, ties counting a half.

    Examples
    --------
    >>> found = mann_whitney([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    >>> found.statistic, round(found.p_value, 4)
    (0.0, 0.1)
    """
    both = pool(reference, current)
    if not both.testable:
        return NOTHING
    n, m = both.n, both.m
    won = np.diff(both.reference, prepend=0.0)
    below = both.current - np.diff(both.current, prepend=0.0) / 2.0
    u = float(won @ below)
    larger = max(u, n * m - u)
    if both.points.size == n + m and countable(int(n), int(m)):
        return Significance(u, min(1.0, 2.0 * mann_whitney_exact_sf(larger, int(n), int(m))))
    total = n + m
    ties = both.rows()
    tied = float((ties**3 - ties).sum()) / (total * (total - 1.0))
    spread = math.sqrt(n * m / 12.0 * (total + 1.0 - tied))
    z = (larger - n * m / 2.0 - 0.5) / spread
    return Significance(u, min(1.0, 2.0 * normal_sf(z)))


def t_test(
    reference: ArrayLike, current: ArrayLike, *, equal_variance: bool = False
) -> Significance:
    """Test whether two means are equal (Welch 1947; Student 1908 with `equal_variance`).

    NaN unless each side has two rows and one of them varies: without any variance there is nothing
    to hold a difference against.

    Examples
    --------
    >>> found = t_test([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 9.0])
    >>> round(found.statistic, 3), round(found.p_value, 3), round(found.dof, 2)
    (-1.877, 0.128, 4.37)
    """
    x, y = _scaled(present(reference), present(current))
    n, m = x.size, y.size
    if min(n, m) < 2:
        return NOTHING
    (mean_x, var_x), (mean_y, var_y) = _moments(x), _moments(y)
    if equal_variance:
        dof = n + m - 2.0
        pooled = ((n - 1.0) * var_x + (m - 1.0) * var_y) / dof
        error = pooled / n + pooled / m
    else:
        a, b = var_x / n, var_y / m
        error = a + b
        dof = error**2 / (a**2 / (n - 1.0) + b**2 / (m - 1.0)) if error > 0.0 else 0.0
    if not error > 0.0:
        return NOTHING
    t = (mean_x - mean_y) / math.sqrt(error)
    return Significance(t, min(1.0, 2.0 * t_sf(dof, abs(t))), dof)


def z_test(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> Significance:
    """Test whether two means are equal, by the normal limit; for some hundred rows and more.

    Variances are estimated on each side. With weights, the error of a mean is that of a ratio
    estimator, ``sum (w (x - mean))**2 / (sum w)**2``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> z_test(rng.normal(0.0, 1.0, 500), rng.normal(0.5, 1.0, 500)).p_value < 1e-6
    True
    """
    x, w = _weighted(reference, reference_weights)
    y, v = _weighted(current, current_weights)
    x, y = _scaled(x, y)
    if min(x.size, y.size) < 2:
        return NOTHING
    (mean_x, error_x), (mean_y, error_y) = _weighted_mean(x, w), _weighted_mean(y, v)
    if not error_x + error_y > 0.0:
        return NOTHING
    z = (mean_x - mean_y) / math.sqrt(error_x + error_y)
    return Significance(z, min(1.0, 2.0 * normal_sf(abs(z))))


def _scaled(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides in units of the largest number: squares of extremes leave float64."""
    largest = max((float(np.abs(side).max()) for side in (x, y) if side.size), default=0.0)
    if math.isinf(largest):
        return x[:0], y[:0]
    # A power of two costs no precision; half of it keeps differences within range.
    exponent = -math.frexp(largest)[1]
    return np.ldexp(x, exponent), np.ldexp(y, exponent)


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and variance; exactly no variance for a constant, whatever its mean rounds to."""
    if values.min() == values.max():
        return float(values[0]), 0.0
    return float(values.mean()), float(values.var(ddof=1))


def _weighted(
    values: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    return (present(values), None) if weights is None else present_weighted(values, weights)


def _weighted_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[float, float]:
    """Return a mean and its squared standard error."""
    mean, variance = _moments(values)
    if weights is None or variance == 0.0:
        return mean, variance / values.size
    share = weights / weights.sum()
    mean = float(share @ values)
    return mean, float(((share * (values - mean)) ** 2).sum())
