"""Two-sample tests on counts of categories; both sides are random, none is taken for the truth.

A p-value is NaN where there is nothing to test: no rows on a side, or a single category.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.distances import Counts
from homeostat.stats.exact_null import hypergeometric
from homeostat.stats.significance import NOTHING, Significance
from homeostat.stats.special import chi2_sf, normal_sf


def chi2_counts(reference: Counts, current: Counts, dispersion: float = 1.0) -> Significance:
    """Test two rows of counts for homogeneity (Pearson's chi-squared, no continuity correction).

    Cells empty on both sides are left out. Under the null the mean is right however rare the cells
    are, but the tail is too light when many expect less than about one row: put these together.
    `dispersion` (≥ 1) divides the statistic: how much more windows vary than independent rows
    would.

    Parameters
    ----------
    reference, current : ndarray, shape (cells,)
        Rows, or weights that sum to effective rows.
    dispersion : float

    Examples
    --------
    >>> import numpy as np
    >>> result = chi2_counts(np.array([10, 20, 30]), np.array([6, 9, 17]))
    >>> round(result.statistic, 4), round(result.p_value, 4), result.dof
    (0.2716, 0.873, 2)
    """
    table = _used(reference, current)
    if table is None:
        return NOTHING
    expected = _expected(table)
    statistic = float(((table - expected) ** 2 / expected).sum()) / dispersion
    dof = table.shape[1] - 1
    return Significance(statistic, chi2_sf(dof, statistic), dof)


def g_counts(reference: Counts, current: Counts, dispersion: float = 1.0) -> Significance:
    """Test two rows of counts for homogeneity by their likelihood ratio (G-test; Wilks 1938).

    As `chi2_counts`; rare cells make it too large rather than too light in the tail.

    Examples
    --------
    >>> import numpy as np
    >>> result = g_counts(np.array([10, 20, 30]), np.array([6, 9, 17]))
    >>> round(result.statistic, 4), round(result.p_value, 4), result.dof
    (0.274, 0.872, 2)
    """
    table = _used(reference, current)
    if table is None:
        return NOTHING
    ratio = np.divide(table, _expected(table), out=np.ones_like(table), where=table > 0.0)
    statistic = max(0.0, 2.0 * float((table * np.log(ratio)).sum())) / dispersion
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
        return NOTHING
    pooled = (x + y) / (n + m)
    z = (x / n - y / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return Significance(z, 2.0 * normal_sf(abs(z)))


def fisher_exact(x: int, n: int, y: int, m: int) -> Significance:
    """Test whether two shares ``x / n`` and ``y / m`` are equal (Fisher 1935, two-sided).

    Exact at any size, and conservative: given the margins, the p-value sums all tables that are no
    more probable than the one seen. The statistic is the sample odds ratio, 0 to infinity.

    Examples
    --------
    >>> found = fisher_exact(8, 10, 1, 6)
    >>> found.statistic, round(found.p_value, 4)
    (20.0, 0.035)
    """
    if not (n and m) or x + y in {0, n + m}:
        return NOTHING
    against = (n - x) * y
    odds = x * (m - y) / against if against else math.inf
    return Significance(odds, _fisher_p(x, n, y, m))


def missing_test(missing: int, rows: int, missing_now: int, rows_now: int) -> Significance:
    """Test whether the share of missing rows has changed (Fisher's exact test, two-sided).

    Parameters
    ----------
    missing, rows : int
        Missing rows and all rows of the reference.
    missing_now, rows_now : int
        Those of the current side.

    Returns
    -------
    Significance
        The statistic is the change of the share, current minus reference, in [-1, 1].

    Examples
    --------
    >>> found = missing_test(10, 1000, 50, 1000)
    >>> round(found.statistic, 3), found.p_value < 1e-6
    (0.04, True)
    """
    if not (rows and rows_now) or missing + missing_now in {0, rows + rows_now}:
        return NOTHING
    change = missing_now / rows_now - missing / rows
    return Significance(change, _fisher_p(missing, rows, missing_now, rows_now))


def _fisher_p(x: int, n: int, y: int, m: int) -> float:
    lowest, probabilities = hypergeometric(n + m, x + y, n)
    place = x - lowest
    if not 0 <= place < probabilities.size:
        return 0.0  # beyond what float64 can hold
    # Tables just as probable must not be lost to rounding.
    as_rare = probabilities <= probabilities[place] * (1.0 + 1e-7)
    return min(1.0, float(probabilities[as_rare].sum()))


def _used(reference: Counts, current: Counts) -> NDArray[np.float64] | None:
    used = (reference > 0) | (current > 0)
    table = np.stack((reference[used], current[used])).astype(np.float64)
    return table if table.shape[1] > 1 and table.sum(axis=1).all() else None


def _expected(table: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    return np.outer(rows / rows.sum(), columns)
