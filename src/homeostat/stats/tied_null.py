"""Cramer-von Mises and Anderson-Darling statistics and, where many rows are tied, their null.

Both are ``|root @ gaps|**2`` of the gaps between two distribution functions at the ends of cells.
When sides are drawn at random the gaps are nearly normal with the covariance of a bridge over the
pooled distribution, so the statistic is a weighted sum of chi-squares whose weights follow from the
cells (Choulakian, Lockhart & Stephens 1994). The limit for untied rows would call a column with
many zeros drifted twice as often as it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.pooled import Pooled
from homeostat.stats.quadratic import chi2_mixture_sf

FloatArray = NDArray[np.float64]

HEAVY_SHARE = 0.05
"""Share of the rows in one cell from which the null is that of the cells."""

_GROUPS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Quadratic:
    """A weighted sum over cells of squared gaps between distribution functions.

    Attributes
    ----------
    weights : ndarray of float64, shape (k,)
        One a cell.
    split : bool
        Whether a cell counts the mean of the squares at its two ends, or the square of the mean.
    """

    weights: FloatArray
    split: bool

    def statistic(self, gaps: FloatArray) -> float:
        """Return its value; `gaps`, shape (k,), are those at the cells' ends, the last being 0."""
        before = np.concatenate(([0.0], gaps[:-1]))
        if self.split:
            return float(self.weights @ (before**2 + gaps**2)) / 2.0
        return float(self.weights @ ((before + gaps) / 2.0) ** 2)

    def mean(self, share: FloatArray, scale: float) -> float:
        """Return its mean for gaps of a bridge at cumulative shares, times `scale`."""
        start = np.concatenate(([0.0], share[:-1]))
        own, other = share * (1.0 - share), start * (1.0 - start)
        if self.split:
            return float(self.weights @ (own + other)) / 2.0 * scale
        return float(self.weights @ (own + other + 2.0 * start * (1.0 - share))) / 4.0 * scale

    def root(self) -> FloatArray:
        """Return the matrix R with statistic ``|R @ gaps[:-1]|**2``."""
        if self.split:
            return np.diag(np.sqrt((self.weights[1:] + self.weights[:-1]) / 2.0))
        k = self.weights.size
        ends = (np.eye(k, k - 1) + np.eye(k, k - 1, k=-1)) / 2.0
        return np.sqrt(self.weights)[:, None] * ends


def cramer_weights(rows: FloatArray, n: float, m: float) -> Quadratic:
    """Return Cramer and von Mises' statistic over cells with these pooled rows."""
    return Quadratic(rows * (n * m / (n + m) ** 2), split=True)


def anderson_weights(rows: FloatArray, n: float, m: float) -> Quadratic:
    """Return Anderson and Darling's statistic over cells, in Scholz & Stephens' midrank form."""
    total = n + m
    middle = np.cumsum(rows) - rows / 2.0
    within = middle * (total - middle) - total * rows / 4.0
    ratio = np.divide(rows, within, out=np.zeros_like(rows), where=within > 1e-9 * total)
    return Quadratic(ratio * (n * m * (total - 1.0) / total), split=False)


def is_tied(both: Pooled) -> bool:
    """Whether a cell holds so many rows that the limit for untied rows does not hold."""
    rows = both.rows()
    return float(rows.max()) >= max(2.0, HEAVY_SHARE * float(rows.sum()))


def tied_sf(
    both: Pooled, quadratic: Callable[[FloatArray, float, float], Quadratic], statistic: float
) -> float:
    """Return the probability of at least this statistic, given the pooled cells.

    Beyond 64 cells the light ones are put together for the large weights; the mean of the statistic
    stays exact.
    """
    n, m = both.n, both.m
    total = n + m
    upto = both.reference + both.current
    scale = total**2 / (n * m * (total - 1.0))
    exact = quadratic(both.rows(), n, m).mean(upto / total, scale)
    upto = upto[_ends(upto)]
    grouped = quadratic(np.diff(upto, prepend=0.0), n, m)
    root, share = grouped.root(), upto[:-1] / total
    bridge = np.minimum.outer(share, share) - np.outer(share, share)
    weights = np.maximum(np.linalg.eigvalsh(root @ bridge @ root.T), 0.0) * scale
    return chi2_mixture_sf(weights, statistic, max(0.0, exact - float(weights.sum())))


def _ends(upto: FloatArray) -> NDArray[np.intp]:
    """Return the last cell of each group: heavy cells alone, light ones by equal shares."""
    if upto.size <= _GROUPS:
        return np.arange(upto.size)
    part = np.floor(upto * (_GROUPS / upto[-1]))
    heavy = np.flatnonzero(np.diff(upto, prepend=0.0) * _GROUPS >= upto[-1])
    ends = np.concatenate(
        (np.flatnonzero(part[1:] != part[:-1]), heavy, heavy - 1, [upto.size - 1])
    )
    return np.unique(ends[ends >= 0])
