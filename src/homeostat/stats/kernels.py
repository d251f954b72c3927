"""Two-sample distances and tests for points of several dimensions: energy and kernels.

Samples are matrices of shape (rows, dimensions), or vectors for one dimension. Rows that hold a
number that is not finite are dropped. Nothing is rescaled: a column with a large unit counts most,
so standardise columns by the reference first if they do not share one unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.pooled import pool
from homeostat.stats.quadratic import chi2_mixture_sf
from homeostat.stats.significance import NOTHING, Significance
from homeostat.stats.special import normal_sf

FloatArray = NDArray[np.float64]

_BLOCK = 1 << 22  # numbers of a matrix of distances that are held at once


def energy_distance(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> float:
    """Return the energy distance of two one-dimensional samples, ``sqrt(2 * integral (F - G)**2)``.

    Székely & Rizzo (2013), by sorting. NaN if a side is empty; infinite if the sides differ in how
    much lies at an infinity.

    Examples
    --------
    >>> round(energy_distance([0.0, 8.0], [0.0, 8.0, 8.0]), 4)
    0.6667
    """
    both = pool(reference, current, reference_weights, current_weights)
    if not (both.n and both.m):
        return float("nan")
    gaps = both.gaps()[:-1]
    used = np.abs(gaps) > 1e-15  # rounding of weights must not meet an infinite step
    with np.errstate(over="ignore"):
        half = np.diff(both.points / 2.0)[used]
        return float(np.sqrt(4.0 * np.sum(gaps[used] ** 2 * half)))


def energy_distance_nd(reference: ArrayLike, current: ArrayLike) -> float:
    """Return ``sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|)`` of two samples of points.

    Zero only for equal distributions (Székely & Rizzo 2013); equals `energy_distance` in one
    dimension. Takes time for all pairs, memory for a block of them.

    Examples
    --------
    >>> round(energy_distance_nd([[0.0, 0.0]], [[3.0, 4.0]]), 4)
    3.1623
    """
    x, y = _points(reference, current)
    if not (len(x) and len(y)):
        return float("nan")
    apart = 2.0 * _mean_distance(x, y) - _mean_distance(x, x) - _mean_distance(y, y)
    return math.sqrt(max(0.0, apart))


def energy_test(
    reference: ArrayLike, current: ArrayLike, rng: np.random.Generator, permutations: int = 199
) -> Significance:
    """Test whether two samples of points come from one distribution, by permutations.

    Parameters
    ----------
    reference, current : array_like of float, shape (n, d) and (m, d)
        Up to some thousand rows together: all their distances are held.
    rng : numpy.random.Generator
    permutations : int
        The p-value is ``(1 + as_large) / (1 + permutations)``, never 0.

    Returns
    -------
    Significance
        The statistic is the square of `energy_distance_nd`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(60, 3)), rng.normal(1.0, 1.0, size=(60, 3))
    >>> energy_test(x, y, rng).p_value
    0.005
    """
    x, y = _points(reference, current)
    n, m = len(x), len(y)
    if not (n and m):
        return NOTHING
    both = np.concatenate((x, y))
    distances = _distances(both, both)
    if not distances.any():
        return NOTHING
    drawn = [-(s * (distances @ s)).sum(axis=0) for s in _sides(n, m, permutations, rng)]
    return _permuted(np.concatenate(drawn))


def median_distance(
    reference: ArrayLike, current: ArrayLike, rng: np.random.Generator, rows: int = 500
) -> float:
    """Return the median distance between pooled points: the usual bandwidth of a Gaussian kernel.

    Of at most `rows` rows drawn without replacement (Gretton et al. 2012, section 8). If half of
    the pairs coincide, the mean of the distances that are not zero; NaN if all are.

    Examples
    --------
    >>> import numpy as np
    >>> median_distance([0.0, 1.0], [3.0], np.random.default_rng(0))
    2.0
    """
    both = np.concatenate(_points(reference, current))
    if len(both) > rows:
        both = both[rng.choice(len(both), rows, replace=False)]
    distances = _distances(both, both)[np.triu_indices(len(both), 1)]
    if not distances.any():
        return float("nan")
    return float(np.median(distances)) or float(distances[distances > 0.0].mean())


def mmd_linear(reference: ArrayLike, current: ArrayLike, bandwidth: float) -> Significance:
    """Test by the linear-time maximum mean discrepancy (Gretton et al. 2012, section 6).

    Each pair of rows is used once, so time is linear and the null normal, at the price of power:
    rows of the longer side beyond twice the shorter one's pairs are not looked at. Rows must be in
    no order that matters; one-sided.

    Parameters
    ----------
    reference, current : array_like of float, shape (n, d) and (m, d)
    bandwidth : float
        Of the Gaussian kernel ``exp(-|x - y|**2 / (2 bandwidth**2))``; see `median_distance`. Fixed
        beforehand or found on the reference alone, lest it be fitted to the test.

    Returns
    -------
    Significance
        The statistic estimates the squared discrepancy without bias; it may be negative.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2000, 2)), rng.normal(0.5, 1.0, size=(2000, 2))
    >>> mmd_linear(x, y, bandwidth=1.5).p_value < 1e-4
    True
    """
    x, y = _points(reference, current)
    pairs = min(len(x), len(y)) // 2
    if pairs < 2 or not bandwidth > 0.0:
        return NOTHING
    x, y = x[: 2 * pairs], y[: 2 * pairs]

    def kernel(a: FloatArray, b: FloatArray) -> FloatArray:
        found: FloatArray = np.exp(-0.5 * (((a - b) / bandwidth) ** 2).sum(axis=1))
        return found

    terms = kernel(x[::2], x[1::2]) + kernel(y[::2], y[1::2])
    terms -= kernel(x[::2], y[1::2]) + kernel(x[1::2], y[::2])
    error = float(terms.std(ddof=1)) / math.sqrt(pairs)
    if not error > 0.0:
        return NOTHING
    squared = float(terms.mean())
    return Significance(squared, normal_sf(squared / error))


def mmd_features(
    reference: ArrayLike,
    current: ArrayLike,
    rng: np.random.Generator,
    bandwidth: float | None = None,
    features: int = 100,
    permutations: int = 199,
) -> Significance:
    """Test by maximum mean discrepancy in random Fourier features (Zhao & Meng 2015).

    The Gaussian kernel is replaced by `features` random cosines and sines (Rahimi & Recht 2007):
    time is linear in the rows and all of them are used.

    Parameters
    ----------
    reference, current : array_like of float, shape (n, d) and (m, d)
    rng : numpy.random.Generator
    bandwidth : float, optional
        Of the kernel; `median_distance` of both sides, which permutations do not change, if not
        given.
    features : int
        Frequencies.
    permutations : int
        The p-value is ``(1 + as_large) / (1 + permutations)``, never 0. With 0 it is that of the
        limit for many rows, a sum of chi-squares weighted by the eigenvalues of the features'
        pooled covariance, and can be as small as it is.

    Returns
    -------
    Significance
        The statistic is the squared discrepancy of the feature means, in [0, 4].

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(300, 2)), rng.normal(0.5, 1.0, size=(300, 2))
    >>> mmd_features(x, y, rng).p_value, mmd_features(x, y, rng, permutations=0).p_value < 1e-6
    (0.005, True)
    """
    x, y = _points(reference, current)
    n, m = len(x), len(y)
    width = median_distance(x, y, rng) if bandwidth is None else bandwidth
    if not (n and m and width > 0.0):
        return NOTHING
    frequencies = rng.normal(0.0, 1.0 / width, (x.shape[1], features))
    angles = np.concatenate((x, y)) @ frequencies
    mapped = np.concatenate((np.cos(angles), np.sin(angles)), axis=1) / math.sqrt(features)
    if permutations:
        drawn = [((mapped.T @ s) ** 2).sum(axis=0) for s in _sides(n, m, permutations, rng)]
        return _permuted(np.concatenate(drawn))
    apart = mapped[:n].mean(axis=0) - mapped[n:].mean(axis=0)
    found = float(apart @ apart)
    mapped -= mapped.mean(axis=0)
    weights = np.linalg.eigvalsh(mapped.T @ mapped) / (n + m - 1.0)
    scale = n * m / (n + m)
    return Significance(found, chi2_mixture_sf(np.maximum(weights, 0.0), found * scale))


def _points(reference: ArrayLike, current: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both sides as matrices of finite rows.

    Raises
    ------
    ValueError
        If the sides differ in dimensions or are no matrices.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (reference, current))
    x, y = (side[:, None] if side.ndim == 1 else side for side in (x, y))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"points of shapes {x.shape} and {y.shape} cannot be compared; "
            "give (rows, dimensions) with equal dimensions"
        )
    return x[np.isfinite(x).all(axis=1)], y[np.isfinite(y).all(axis=1)]


def _distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the distance of each pair, one dimension at a time to stay exact and small."""
    squared = np.zeros((len(x), len(y)))
    for a, b in zip(x.T, y.T, strict=True):
        squared += np.subtract.outer(a, b) ** 2
    return np.sqrt(squared)


def _mean_distance(x: FloatArray, y: FloatArray) -> float:
    rows = max(1, _BLOCK // len(y))
    parts = (x[start : start + rows] for start in range(0, len(x), rows))
    return sum(float(_distances(part, y).sum()) for part in parts) / (len(x) * len(y))


def _sides(n: int, m: int, permutations: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Yield columns of ``1 / n`` for one side, ``-1 / m`` for the other; first the sides seen."""
    seen = np.repeat([1.0 / n, -1.0 / m], [n, m])
    yield seen[:, None]
    width = max(1, _BLOCK // (n + m))
    for start in range(0, permutations, width):
        count = min(width, permutations - start)
        yield rng.permuted(np.tile(seen, (count, 1)), axis=1).T


def _permuted(drawn: FloatArray) -> Significance:
    """Return the first statistic and its rank; equal ones must not be lost to rounding."""
    as_large = int((drawn >= drawn[0] * (1.0 - 1e-12)).sum())
    return Significance(max(0.0, float(drawn[0])), as_large / drawn.size)
