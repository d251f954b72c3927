"""Distances between two distributions: over the same cells, or between raw samples.

On cells each takes two arrays of shape (cells,), counts or weights ≥ 0. On samples NaN and rows
without weight are dropped. Either way the distance is NaN when a side is empty: no data is never a
distance of zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.pooled import Pooled, pool

Counts = NDArray[np.int64] | NDArray[np.floating]


def shares(counts: Counts) -> NDArray[np.float64]:
    """Return counts as shares of their sum; all NaN if the sum is zero.

    Examples
    --------
    >>> import numpy as np
    >>> shares(np.array([1, 3])).tolist()
    [0.25, 0.75]
    """
    if not counts.size:
        raise ValueError("there are no cells; give at least one count")
    total = float(counts.sum())
    return counts / np.float64(total) if total > 0 else np.full(counts.shape, np.nan)


def psi(reference: Counts, current: Counts, pseudo: float = 0.5) -> float:
    """Return the population stability index, sum((q - p) * log(q / p)), ≥ 0, in nats.

    Cells that are empty on both sides are left out. `pseudo` is added to each count, half a row by
    default (Jeffreys' prior), so that one empty cell does not make it infinite and the correction
    fades as rows grow. Unrelated to drift, it is about ``(cells - 1) * (1/n + 1/m)`` by chance.

    Examples
    --------
    >>> import numpy as np
    >>> round(psi(np.array([50, 50]), np.array([80, 20]), pseudo=0.0), 4)
    0.4159
    """
    if not (reference.any() and current.any()):
        return float("nan")
    used = (reference > 0) | (current > 0)
    p, q = shares(reference[used] + pseudo), shares(current[used] + pseudo)
    with np.errstate(divide="ignore"):
        return float(np.sum((q - p) * (np.log(q) - np.log(p))))


def kl_divergence(reference: Counts, current: Counts, pseudo: float = 0.5) -> float:
    """Return the Kullback-Leibler divergence sum(q * log(q / p)), ≥ 0, in nats.

    Of current (q) from reference (p): it weighs by what is there now. Cells that are empty on both
    sides are left out; `pseudo` is added to each count, as in `psi`; without it the divergence is
    infinite where the current side has rows and the reference none.

    Examples
    --------
    >>> import numpy as np
    >>> round(kl_divergence(np.array([50, 50]), np.array([80, 20]), pseudo=0.0), 4)
    0.1927
    """
    if not (reference.any() and current.any()):
        return float("nan")
    used = (reference > 0) | (current > 0)
    p, q = shares(reference[used] + pseudo), shares(current[used] + pseudo)
    with np.errstate(divide="ignore"):
        return max(0.0, float(np.sum(q[q > 0] * (np.log(q[q > 0]) - np.log(p[q > 0])))))


def js_distance(reference: Counts, current: Counts) -> float:
    """Return the Jensen-Shannon distance to base 2, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> js_distance(np.array([1, 0]), np.array([0, 1]))
    1.0
    """
    p, q = shares(reference), shares(current)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(np.maximum(divergence, 0.0)))


def hellinger(reference: Counts, current: Counts) -> float:
    """Return the Hellinger distance, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> round(hellinger(np.array([1, 1]), np.array([1, 3])), 4)
    0.1846
    """
    gap = np.sqrt(shares(reference)) - np.sqrt(shares(current))
    return float(np.sqrt(np.sum(gap * gap) / 2))


def total_variation(reference: Counts, current: Counts) -> float:
    """Return the total variation distance: the share of rows that moved, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> total_variation(np.array([1, 1]), np.array([1, 3]))
    0.25
    """
    return float(np.abs(shares(reference) - shares(current)).sum() / 2)


def l_infinity(reference: Counts, current: Counts) -> float:
    """Return the largest change of any cell's share, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> l_infinity(np.array([1, 1, 2]), np.array([2, 1, 1]))
    0.25
    """
    return float(np.abs(shares(reference) - shares(current)).max())


def wasserstein(points: NDArray[np.float64], reference: Counts, current: Counts) -> float:
    """Return the first Wasserstein (earth mover's) distance, in the unit of `points`.

    Parameters
    ----------
    points : ndarray of float64, shape (cells,)
        Where each cell's mass lies, ascending.
    reference, current : ndarray, shape (cells,)

    Examples
    --------
    >>> import numpy as np
    >>> wasserstein(np.array([0.0, 1.0, 3.0]), np.array([1, 0, 1]), np.array([0, 1, 1]))
    0.5
    """
    gap = np.abs(np.cumsum(shares(reference) - shares(current)))[:-1]
    # Steps are taken at half scale: the whole range of float64 does not fit into a float64.
    step = np.diff(points / 2)
    with np.errstate(over="ignore"):
        return float(np.sum(gap * step) * 2)


def wasserstein_samples(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> float:
    """Return the first Wasserstein distance of two samples, in their unit.

    Infinite if the sides differ in how much lies at an infinity; equal shares there cost nothing.

    Examples
    --------
    >>> wasserstein_samples([0.0, 1.0, 3.0], [5.0, 6.0, 8.0])
    5.0
    """
    return _moved(pool(reference, current, reference_weights, current_weights))


def normed_wasserstein(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> float:
    """Return the Wasserstein distance in standard deviations of the reference.

    Of a constant reference the distance is 0 to an equal constant and infinite otherwise; it is NaN
    if the reference has infinities.

    Examples
    --------
    >>> normed_wasserstein([-1.0, 1.0], [1.0, 3.0])
    2.0
    """
    both = pool(reference, current, reference_weights, current_weights)
    distance = _moved(both)
    if np.isnan(distance) or distance == 0.0:
        return distance
    sd = _standard_deviation(both)
    if np.isnan(sd):
        return sd
    return distance / sd if sd > 0.0 else float("inf")


def _moved(both: Pooled) -> float:
    if not (both.n and both.m):
        return float("nan")
    gap = np.abs(both.gaps()[:-1])
    used = gap > 1e-15  # rounding of weights must not meet an infinite step
    step = np.diff(both.points / 2.0)[used]
    with np.errstate(over="ignore"):
        return float(np.sum(gap[used] * step) * 2.0)


def _standard_deviation(both: Pooled) -> float:
    """Return that of the reference."""
    weights = np.diff(both.reference, prepend=0.0) / both.n
    points, weights = both.points[weights > 0.0], weights[weights > 0.0]
    largest = float(np.abs(points).max())
    if np.isinf(largest):
        return float("nan")
    if points.size < 2:
        return 0.0
    scaled = points / largest
    centred = scaled - weights @ scaled
    return largest * float(np.sqrt(weights @ centred**2))


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return the Kullback-Leibler divergence in bits; `q` is positive wherever `p` is."""
    used = ~(p <= 0)  # keeps NaN, which stands for no data
    return float(np.sum(p[used] * np.log2(p[used] / q[used])))
