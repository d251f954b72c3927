"""One window's mean beside those of reference windows, which vary more than their rows explain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.special import t_sf

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WindowShift:
    """How unusual a window's mean is.

    Attributes
    ----------
    statistic : float
        Student's t with ``freedom`` degrees of freedom if the window is like the others.
    p_value : float
        Two-sided.
    freedom : int
        Reference windows minus one.
    expected : float
        Mean over the reference windows.
    between : float
        Standard deviation between windows that their rows do not explain.
    """

    statistic: float
    p_value: float
    freedom: int
    expected: float
    between: float


def compare_window(
    mean: float, rows: float, means: ArrayLike, sizes: ArrayLike, row_variance: float
) -> WindowShift:
    """Test whether a window's mean is drawn as the reference windows' means were.

    Parameters
    ----------
    mean, rows : float
        Of the window in question; `rows` at least 1.
    means, sizes : array_like
        Shape (windows,): the reference windows' means and rows, each at least 1.
    row_variance : float
        Variance of a single row within a window, ≥ 0.

    Returns
    -------
    WindowShift
        All NaN with fewer than two reference windows, or if nothing varies at all.

    Notes
    -----
    A mean of n rows varies by ``tau^2 + row_variance / n``; tau^2 is DerSimonian & Laird's (1986)
    moment estimate. As in Hartung & Knapp's interval (2001) the variance is then rescaled by what
    the reference windows really show, with Student's t for their small number, and has the window's
    own part added (the prediction interval of Higgins, Thompson & Spiegelhalter 2009). Exact for
    normal means of equally many rows, whatever tau.

    Examples
    --------
    >>> usual = [1.0, 1.2, 0.8, 1.1, 0.9, 1.0]
    >>> found = compare_window(1.3, 100, usual, [100] * 6, row_variance=1.0)
    >>> round(found.statistic, 2), round(found.p_value, 3), found.freedom
    (1.96, 0.107, 5)
    """
    centres = np.asarray(means, dtype=np.float64)
    noise = row_variance / np.asarray(sizes, dtype=np.float64)
    freedom = centres.size - 1
    if freedom < 1:
        return WindowShift(math.nan, math.nan, 0, math.nan, math.nan)
    between = _between(centres, noise, freedom)
    variances = between + noise
    if not variances.all():
        return WindowShift(math.nan, math.nan, freedom, float(centres.mean()), 0.0)
    weights = 1.0 / variances
    expected = float(weights @ centres / weights.sum())
    scale = float(weights @ (centres - expected) ** 2) / freedom
    own = between + row_variance / rows + 1.0 / float(weights.sum())
    error = math.sqrt(scale * own)
    if error == 0.0:
        return WindowShift(math.nan, math.nan, freedom, expected, math.sqrt(between))
    t = (mean - expected) / error
    return WindowShift(t, 2.0 * t_sf(freedom, abs(t)), freedom, expected, math.sqrt(between))


def _between(means: Floats, noise: Floats, freedom: int) -> float:
    """Return the variance between windows beyond the noise of their rows (DerSimonian & Laird)."""
    if not noise.all():
        return float(means.var(ddof=1))
    weights = 1.0 / noise
    total = float(weights.sum())
    excess = float(weights @ (means - float(weights @ means) / total) ** 2) - freedom
    return max(0.0, excess / (total - float(weights @ weights) / total))
