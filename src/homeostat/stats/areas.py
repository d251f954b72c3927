"""Whether one model ranks better than another on the same rows (DeLong)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.intervals import NAN, Interval, normal
from homeostat.stats.ranks import midranks
from homeostat.stats.special import normal_sf

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AreaDifference:
    """Areas under the ROC curve of two models, and their difference.

    Attributes
    ----------
    first, second : float
        NaN with one class only.
    error : float
        Standard error of the difference; NaN with fewer than two rows of a class.
    z, p_value : float
        Two-sided; NaN where the difference has no variance.
    interval : Interval
        Of first minus second.
    """

    first: float
    second: float
    error: float
    z: float
    p_value: float
    interval: Interval


def compare_areas(
    labels: Floats, first: Floats, second: Floats, level: float = 0.95
) -> AreaDifference:
    """Compare two areas under the ROC curve on the same, independent rows.

    DeLong, DeLong & Clarke-Pearson (1988), by midranks (Sun & Xu, "Fast implementation of DeLong's
    algorithm", IEEE Signal Processing Letters 2014). Ties count a half. A limit: with fewer than
    some ten rows of a class, or areas near 1, it promises too much.

    Parameters
    ----------
    labels : ndarray of float64, shape (n,)
        0 or 1.
    first, second : ndarray of float64, shape (n,)
        Scores, no NaN.

    Examples
    --------
    >>> labels = np.repeat([0.0, 1.0], 4)
    >>> first = np.array([1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 7.0, 8.0])
    >>> second = np.array([1.0, 6.0, 3.0, 5.0, 4.0, 2.0, 7.0, 8.0])
    >>> found = compare_areas(labels, first, second)
    >>> found.first, found.second, round(found.z, 3)
    (0.9375, 0.6875, 1.225)
    """
    positive = labels == 1.0
    n, m = int(np.count_nonzero(positive)), int(np.count_nonzero(~positive))
    if not (n and m):
        return AreaDifference(NAN, NAN, NAN, NAN, NAN, Interval(NAN, NAN))
    parts = [_components(scores[positive], scores[~positive]) for scores in (first, second)]
    one, two = (float(hits.mean()) for hits, _ in parts)
    if min(n, m) < 2:
        return AreaDifference(one, two, NAN, NAN, NAN, Interval(NAN, NAN))
    hits, misses = parts[0][0] - parts[1][0], parts[0][1] - parts[1][1]
    error = math.sqrt(float(hits.var(ddof=1)) / n + float(misses.var(ddof=1)) / m)
    gap = one - two
    z = gap / error if error > 1e-12 else NAN
    p_value = 2.0 * normal_sf(abs(z))
    return AreaDifference(one, two, error, z, p_value, normal(gap, error, level))


def _components(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Return, of each row, the share of the other class that it is ranked rightly against."""
    n, m = positive.size, negative.size
    pooled = midranks(np.concatenate((positive, negative)))
    hits: Floats = (pooled[:n] - midranks(positive)) / m
    misses: Floats = 1.0 - (pooled[n:] - midranks(negative)) / n
    return hits, misses
