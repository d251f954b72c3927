"""Two-sample tests on distribution functions: of samples, or of counts over the same ordered cells.

Each is two-sided and takes raw samples with optional weights, or counts. NaN is dropped, infinities
are the extremes they are. With weights, distribution functions are weighted and the null is that of
Kish's effective number of rows, which holds if weights and values are unrelated.

Ties and cells: where a cell holds a twentieth of the rows, Cramer-von Mises and Anderson-Darling
take the null of the very cells (`tied_null`), so that their level holds for whole numbers, many
zeros and binned columns. Kolmogorov-Smirnov and Kuiper are conservative there: with two cells a
level of 5 % comes out as 0.5 % and less.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from homeostat.stats.exact_null import cramer_von_mises_exact_sf
from homeostat.stats.pooled import Pooled, pool, pool_counts
from homeostat.stats.quadratic import anderson_darling_sf, cramer_von_mises_sf
from homeostat.stats.significance import NOTHING, Significance
from homeostat.stats.smirnov import two_sample_sf
from homeostat.stats.special import kolmogorov_sf, kuiper_sf
from homeostat.stats.tied_null import anderson_weights, cramer_weights, is_tied, tied_sf

Method = Literal["auto", "exact", "asymptotic"]

_EXACT_PRODUCT = 10_000  # takes a millisecond
_CVM_AUTO, _CVM_EXACT = 12, 20
_ANDERSON_ROWS = 4
_LIMIT_ROWS = 100_000
_LIMIT_SD = math.sqrt(2.0 * (math.pi**2 - 9.0) / 3.0)


def ks_p_value(statistic: float, n: float, m: float) -> float:
    """Return the p-value of a two-sample Kolmogorov-Smirnov statistic for many rows.

    Kolmogorov's limit with Stephens' (1970) correction for small samples; conservative for ties.

    Examples
    --------
    >>> round(ks_p_value(0.2, 100, 100), 3)
    0.031
    """
    root = math.sqrt(n * m / (n + m))
    return kolmogorov_sf((root + 0.12 + 0.11 / root) * statistic)


def ks(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
    method: Method = "auto",
) -> Significance:
    """Test whether two samples come from one distribution (Kolmogorov-Smirnov, two-sided).

    Parameters
    ----------
    reference, current : array_like of float, shape (n,) and (m,)
    reference_weights, current_weights : array_like of float, optional
        One a value, ≥ 0.
    method : {"auto", "exact", "asymptotic"}
        Exact p-values (`homeostat.stats.smirnov`) are possible without weights and chosen up to
        10,000 pairs; `ks_p_value` otherwise.

    Returns
    -------
    Significance
        The statistic is the largest gap between the distribution functions, in [0, 1].

    Examples
    --------
    >>> found = ks([1.0, 2.0, 3.0], [1.5, 2.5, 9.0])
    >>> round(found.statistic, 4), round(found.p_value, 4)
    (0.3333, 1.0)
    """
    return _ks(pool(reference, current, reference_weights, current_weights), method)


def ks_counts(reference: ArrayLike, current: ArrayLike, method: Method = "auto") -> Significance:
    """Like `ks`, on counts over the same ordered cells.

    Examples
    --------
    >>> ks_counts([10, 0], [5, 5]).statistic
    0.5
    """
    return _ks(pool_counts(reference, current), method)


def kuiper(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> Significance:
    """Test whether two samples come from one distribution (Kuiper 1960).

    As sensitive in the tails as at the median, and indifferent to where a circle (hour of day,
    angle) is cut. The p-value is Kuiper's limit with Stephens' (1970) correction. The statistic is
    the sum of the largest gaps upward and downward.

    Examples
    --------
    >>> round(kuiper([1.0, 2.0, 3.0, 4.0], [2.5, 2.6, 2.7, 2.8]).statistic, 2)
    1.0
    """
    return _kuiper(pool(reference, current, reference_weights, current_weights))


def kuiper_counts(reference: ArrayLike, current: ArrayLike) -> Significance:
    """Like `kuiper`, on counts over the same ordered (or circular) cells.

    Examples
    --------
    >>> kuiper_counts([5, 0, 5], [0, 10, 0]).statistic
    1.0
    """
    return _kuiper(pool_counts(reference, current))


def cramer_von_mises(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
    method: Method = "auto",
) -> Significance:
    """Test whether two samples come from one distribution (Cramer-von Mises; Anderson 1962).

    Parameters
    ----------
    reference, current : array_like of float, shape (n,) and (m,)
    reference_weights, current_weights : array_like of float, optional
        One a value, ≥ 0.
    method : {"auto", "exact", "asymptotic"}
        Exact p-values count lattice paths; possible without weights and ties up to 20 rows a side,
        chosen up to 12. Otherwise the limit, with Anderson's mean and variance.

    Returns
    -------
    Significance
        The statistic is ``n m / (n + m)**2 * sum((F - G)**2)`` over the pooled rows; tied rows
        take the mean of both ends of their step.

    Examples
    --------
    >>> found = cramer_von_mises([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    >>> round(found.statistic, 4), round(found.p_value, 4)
    (0.5278, 0.1)
    """
    return _cramer(pool(reference, current, reference_weights, current_weights), method)


def cramer_von_mises_counts(reference: ArrayLike, current: ArrayLike) -> Significance:
    """Like `cramer_von_mises`, on counts over the same ordered cells.

    Examples
    --------
    >>> round(cramer_von_mises_counts([30, 40, 30], [20, 40, 40]).p_value, 2)
    0.1
    """
    return _cramer(pool_counts(reference, current), "auto")


def anderson_darling(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> Significance:
    """Test whether two samples come from one distribution (Anderson-Darling with midranks).

    Scholz & Stephens (1987), k = 2. The p-value is that of the limit (Pettitt 1976) at the same
    distance from the mean in standard deviations; it is not cut off at 0.001 or 0.25.

    Returns
    -------
    Significance
        The statistic is standardised: ``(A2 - 1) / sd``.

    Examples
    --------
    >>> found = anderson_darling([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0])
    >>> round(found.statistic, 3), round(found.p_value, 3)
    (3.687, 0.011)
    """
    return _anderson(pool(reference, current, reference_weights, current_weights))


def anderson_darling_counts(reference: ArrayLike, current: ArrayLike) -> Significance:
    """Like `anderson_darling`, on counts over the same ordered cells.

    Examples
    --------
    >>> round(anderson_darling_counts([30, 40, 30], [20, 40, 40]).p_value, 2)
    0.08
    """
    return _anderson(pool_counts(reference, current))


def _ks(both: Pooled, method: Method) -> Significance:
    if not (both.n and both.m):
        return NOTHING
    n, m = both.n, both.m
    statistic = float(np.abs(both.gaps()).max())
    few = n * m <= _EXACT_PRODUCT or method == "exact"
    if both.whole and method != "asymptotic" and few:
        return Significance(statistic, two_sample_sf(statistic, int(n), int(m)))
    return Significance(statistic, ks_p_value(statistic, n, m))


def _kuiper(both: Pooled) -> Significance:
    if not (both.n and both.m):
        return NOTHING
    gaps = both.gaps()
    statistic = min(1.0, float(max(0.0, gaps.max()) - min(0.0, gaps.min())))
    root = math.sqrt(both.n * both.m / (both.n + both.m))
    return Significance(statistic, kuiper_sf((root + 0.155 + 0.24 / root) * statistic))


def _cramer(both: Pooled, method: Method) -> Significance:
    if not both.testable:
        return NOTHING
    n, m = both.n, both.m
    total = n + m
    statistic = cramer_weights(both.rows(), n, m).statistic(both.gaps())
    if is_tied(both):
        return Significance(statistic, tied_sf(both, cramer_weights, statistic))
    most = _CVM_EXACT if method == "exact" else _CVM_AUTO
    untied = both.whole and both.points.size == total
    if untied and method != "asymptotic" and max(n, m) <= most:
        return Significance(statistic, cramer_von_mises_exact_sf(statistic, int(n), int(m)))
    mean = (1.0 + 1.0 / total) / 6.0
    spread = (total + 1.0) * (4.0 * total - 3.0 * (n / m + m / n) - 2.0) / (4.0 * total**2)
    if spread <= 0.0:
        return Significance(statistic, float("nan"))
    standard = 1.0 / 6.0 + (statistic - mean) / math.sqrt(spread)
    return Significance(statistic, cramer_von_mises_sf(standard))


def _anderson(both: Pooled) -> Significance:
    n, m = both.n, both.m
    if not both.testable or n + m < _ANDERSON_ROWS:
        return NOTHING
    squared = anderson_weights(both.rows(), n, m).statistic(both.gaps())
    standard = (squared - 1.0) / _anderson_sd(n, m)
    if is_tied(both):
        return Significance(standard, tied_sf(both, anderson_weights, squared))
    return Significance(standard, anderson_darling_sf(1.0 + standard * _LIMIT_SD))


def _anderson_sd(n: float, m: float) -> float:
    """Return the standard deviation of the statistic (Scholz & Stephens 1987, equation 4, k=2)."""
    total = n + m
    if total > _LIMIT_ROWS:
        return _LIMIT_SD
    sides = 1.0 / n + 1.0 / m
    steps = np.arange(1.0, round(total))
    h = float((1.0 / steps).sum())
    g = float((np.cumsum(1.0 / steps[:0:-1]) / steps[1:]).sum())
    a = 4.0 * g - 6.0 + (10.0 - 6.0 * g) * sides
    b = 12.0 * g + 8.0 * h - 22.0 + (2.0 * g - 14.0 * h - 4.0) * sides
    c = 36.0 * h + 4.0 + (2.0 * h - 6.0) * sides
    d = 24.0
    variance = ((a * total + b) * total + c) * total + d
    return math.sqrt(variance / ((total - 1.0) * (total - 2.0) * (total - 3.0)))
