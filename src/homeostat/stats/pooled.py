"""Two samples laid over their pooled distinct values: what every test on order works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.significance import present, present_weighted

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Rows of both sides up to and including each cell, cells being ordered and none empty.

    Attributes
    ----------
    points : ndarray of float64, shape (k,)
        Ascending; where each cell lies.
    reference, current : ndarray of float64, shape (k,)
        Cumulative rows, or effective rows if weighted.
    whole : bool
        Whether those are whole rows, so that null distributions which count rows apply.
    """

    points: FloatArray
    reference: FloatArray
    current: FloatArray
    whole: bool

    @property
    def n(self) -> float:
        """Rows of the reference."""
        return float(self.reference[-1]) if self.reference.size else 0.0

    @property
    def m(self) -> float:
        """Rows of the current side."""
        return float(self.current[-1]) if self.current.size else 0.0

    @property
    def testable(self) -> bool:
        """Whether both sides have rows and there is more than one cell."""
        return self.points.size > 1 and self.n > 0.0 and self.m > 0.0

    def gaps(self) -> FloatArray:
        """Return the difference of the distribution functions, reference minus current."""
        return self.reference / self.n - self.current / self.m

    def rows(self) -> FloatArray:
        """Return the rows of both sides in each cell."""
        return np.diff(self.reference + self.current, prepend=0.0)


def pool(
    reference: ArrayLike,
    current: ArrayLike,
    reference_weights: ArrayLike | None = None,
    current_weights: ArrayLike | None = None,
) -> Pooled:
    """Sort two samples together, each sorted once; NaN and rows without weight are dropped.

    Examples
    --------
    >>> both = pool([1.0, 2.0, 2.0], [2.0, 3.0])
    >>> both.points.tolist(), both.reference.tolist(), both.current.tolist()
    ([1.0, 2.0, 3.0], [1.0, 3.0, 3.0], [0.0, 1.0, 2.0])
    """
    x, upto_x = _sorted(reference, reference_weights)
    y, upto_y = _sorted(current, current_weights)
    both = np.concatenate((x, y))
    both.sort(kind="stable")  # merges two runs in linear time
    last = np.flatnonzero(both[1:] != both[:-1])
    last = np.append(last, both.size - 1) if both.size else last
    points = both[last]
    place = np.searchsorted(x, points, "right")
    whole = reference_weights is None and current_weights is None
    return Pooled(points, upto_x[place], upto_y[last + 1 - place], whole)


def pool_counts(reference: ArrayLike, current: ArrayLike) -> Pooled:
    """Lay counts over the same ordered cells; cells empty on both sides are left out.

    Raises
    ------
    ValueError
        If the sides do not have the same cells.

    Examples
    --------
    >>> both = pool_counts([3, 0, 1], [1, 0, 1])
    >>> both.reference.tolist(), both.current.tolist()
    ([3.0, 4.0], [1.0, 2.0])
    """
    before, after = np.asarray(reference), np.asarray(current)
    if before.shape != after.shape:
        raise ValueError(f"counts over {before.size} and {after.size} cells cannot be compared")
    used = np.flatnonzero((before > 0) | (after > 0))
    before, after = before[used], after[used]
    whole = bool((before == np.rint(before)).all() and (after == np.rint(after)).all())
    upto = [np.cumsum(side).astype(np.float64) for side in (before, after)]
    return Pooled(used.astype(np.float64), upto[0], upto[1], whole)


def _sorted(values: ArrayLike, weights: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    """Return a sample in order and the rows before each place, one more than there are values."""
    if weights is None:
        sample = np.sort(present(values))
        return sample, np.arange(sample.size + 1, dtype=np.float64)
    sample, weight = present_weighted(values, weights)
    order = np.argsort(sample, kind="stable")
    return sample[order], np.concatenate(([0.0], np.cumsum(weight[order])))
