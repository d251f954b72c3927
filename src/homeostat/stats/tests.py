"""Two-sample tests. A p-value is NaN where there is nothing to test: no rows, or a single cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.distances import Counts, shares
from homeostat.stats.special import chi2_sf, kolmogorov_sf, normal_sf


@dataclass(frozen=True, slots=True)
class Significance:
    """A statistic and its p-value; ``dof`` is 0 for tests without degrees of freedom."""

    statistic: float
    p_value: float
    dof: int = 0


_NOTHING = Significance(float("nan"), float("nan"))


def ks_p_value(statistic: float, n: int, m: int) -> float:
    """Return the p-value of a two-sample Kolmogorov-Smirnov statistic.

    Kolmogorov's limit with Stephens' (1970) correction for small samples; conservative for ties.

    Examples
    --------
    >>> round(ks_p_value(0.2, 100, 100), 3)
    0.031
    """
    root = float(np.sqrt(n * m / (n + m)))
    return kolmogorov_sf((root + 0.12 + 0.11 / root) * statistic)


def ks_2samp(x: NDArray[np.float64], y: NDArray[np.float64]) -> Significance:
    """Test whether two samples come from one distribution (Kolmogorov-Smirnov, two-sided).

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,) and (m,)
        Without NaN.

    Examples
    --------
    >>> import numpy as np
    >>> ks_2samp(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 9.0])).statistic.__round__(4)
    0.3333
    """
    if not (x.size and y.size):
        return _NOTHING
    x, y = np.sort(x), np.sort(y)
    both = np.concatenate((x, y))
    gap = np.searchsorted(x, both, "right") / x.size - np.searchsorted(y, both, "right") / y.size
    statistic = float(np.abs(gap).max())
    return Significance(statistic, ks_p_value(statistic, x.size, y.size))


def ks_counts(reference: Counts, current: Counts) -> Significance:
    """Like `ks_2samp`, on counts over the same ordered cells.

    Examples
    --------
    >>> import numpy as np
    >>> ks_counts(np.array([10, 0]), np.array([5, 5])).statistic
    0.5
    """
    n, m = int(reference.sum()), int(current.sum())
    if not (n and m):
        return _NOTHING
    statistic = float(np.abs(np.cumsum(shares(reference) - shares(current))).max())
    return Significance(statistic, ks_p_value(statistic, n, m))


def chi2_counts(reference: Counts, current: Counts, dispersion: float = 1.0) -> Significance:
    """Test two rows of counts for homogeneity (Pearson's chi-squared, no continuity correction).

    Cells empty on both sides are left out. `dispersion` (≥ 1) divides the statistic: how much more
    windows vary than independent rows would.

    Examples
    --------
    >>> import numpy as np
    >>> result = chi2_counts(np.array([10, 20, 30]), np.array([6, 9, 17]))
    >>> round(result.statistic, 4), round(result.p_value, 4), result.dof
    (0.2716, 0.873, 2)
    """
    used = (reference > 0) | (current > 0)
    table = np.stack((reference[used], current[used])).astype(np.float64)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    if table.shape[1] < 2 or not rows.all():
        return _NOTHING
    expected = np.outer(rows, columns) / rows.sum()
    statistic = float(((table - expected) ** 2 / expected).sum()) / dispersion
    dof = table.shape[1] - 1
    return Significance(statistic, chi2_sf(dof, statistic), dof)


def proportion_test(x: int, n: int, y: int, m: int) -> Significance:
    """Test whether two shares ``x / n`` and ``y / m`` are equal (pooled z-test, two-sided).

    Examples
    --------
    >>> round(proportion_test(15, 100, 30, 100).p_value, 4)
    0.0111
    """
    if not (n and m) or x + y in {0, n + m}:
        return _NOTHING
    pooled = (x + y) / (n + m)
    z = (x / n - y / m) / float(np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))
    return Significance(z, 2.0 * normal_sf(abs(z)))
