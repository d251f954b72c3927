"""Permutation importance: the rise of a loss when a column's values change places, with its error.

Every receiver row i gets the column of some donor rows k. The mean rise of its loss, h(i, k), over
all pairs is a U-statistic of the rows: the rows whose loss is measured and the rows whose values
they get are a sample both, and the error counts both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.special import t_quantile

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Increase:
    """Mean rise of the loss, its standard error, and the rows that they rest on.

    NaN with fewer than two rows.
    """

    value: float
    error: float
    n: int

    def interval(self, level: float = 0.95) -> Interval:
        """Return Student's interval with ``n - 1`` degrees of freedom."""
        if math.isnan(self.error):
            return Interval(NAN, NAN)
        reach = t_quantile(self.n - 1, (1.0 + level) / 2.0) * self.error
        return Interval(self.value - reach, self.value + reach)


def draw_donors(rows: int, repeats: int, rng: np.random.Generator) -> Places:
    """Choose for each row whose values it gets: never its own, and no donor twice.

    Parameters
    ----------
    rows : int
    repeats : int
        Donors of each row; there are at most ``rows - 1``.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of intp, shape (min(repeats, rows - 1), rows)
        Each row of it is a permutation: every row also gives its values once a repeat.

    Notes
    -----
    The rows are put into random order and the order is turned by different steps: no pair comes
    twice, so that repeats add as much as they can, and all pairs are used once there are enough.

    Examples
    --------
    >>> donors = draw_donors(3, 9, np.random.default_rng(0))
    >>> donors.shape, bool((donors == np.arange(3)).any())
    ((2, 3), False)
    """
    if rows < 2:
        return np.empty((0, rows), dtype=np.intp)
    order = rng.permutation(rows)
    turns = 1 + rng.choice(rows - 1, size=min(repeats, rows - 1), replace=False)
    donors = np.empty((turns.size, rows), dtype=np.intp)
    donors[:, order] = order[(np.arange(rows) + turns[:, None]) % rows]
    return donors


def increase(
    before: Floats, after: Floats, donors: Places, weights: Floats | None = None
) -> Increase:
    """Return the mean rise of the loss.

    Parameters
    ----------
    before : float64 array of shape (n,)
        Losses of the rows as they are.
    after : float64 array of shape (repeats, n)
        Losses with the values of the donors.
    donors : intp array of shape (repeats, n)
        From `draw_donors`.
    weights : float64 array of shape (n,), optional
        At least 0 with a positive sum; a pair counts by the product of its weights.

    Notes
    -----
    With the means of a row's pairs as receiver (a) and as donor (b), the variance of the mean is
    ``(var(a + b) - s / repeats) / n``: the noise ``s`` of single pairs, which a two-way analysis of
    variance tells apart, is in both a and b but in the mean only once (Hoeffding, "A class of
    statistics with asymptotically normal distribution", 1948). For a fixed model: what another
    training would change is not in it. Intervals cover with about ten rows of a column's rarest
    value that matters, less well with fewer.

    Examples
    --------
    >>> donors = draw_donors(4, 3, np.random.default_rng(0))
    >>> x = np.array([0.0, 0.0, 1.0, 1.0])
    >>> round(increase(np.zeros(4), np.abs(x[donors] - x), donors).value, 3)
    0.667
    """
    repeats, rows = donors.shape
    if not repeats:
        return Increase(NAN, NAN, rows)
    share = np.ones(donors.shape)
    if weights is not None:
        share = weights * weights[donors]
        if not share.sum() > 0.0:
            return Increase(NAN, NAN, rows)
        share = share / share.mean()
    rise = after - before
    value = float((share * rise).mean())
    moved = share * (rise - value)
    given = np.empty_like(moved)
    np.put_along_axis(given, donors, moved, axis=1)
    both = float((moved.mean(axis=0) + given.mean(axis=0)).var(ddof=1))
    noise = 0.0
    if repeats > 1:
        within = moved.var(axis=0, ddof=1).mean() + given.var(axis=0, ddof=1).mean()
        noise = max(float(within - moved.var()), 0.0)
    return Increase(value, math.sqrt(max(both - noise / repeats, both / 2.0) / rows), rows)


def rank_bounds(lower: Floats, upper: Floats) -> tuple[Places, Places]:
    """Return the ranks (1: the largest) that simultaneous intervals leave possible.

    Where all intervals hold at once, so do all ranks (Klein, Wright & Wieczorek, "A joint
    confidence region for an overall ranking of populations", JRSS C 2020).

    Parameters
    ----------
    lower, upper : float64 arrays of shape (m,)

    Returns
    -------
    best, worst : intp arrays of shape (m,)

    Examples
    --------
    >>> best, worst = rank_bounds(np.array([5.0, 1.0, 1.5]), np.array([6.0, 2.0, 3.0]))
    >>> best.tolist(), worst.tolist()
    ([1, 2, 2], [1, 3, 3])
    """
    above = (lower[None, :] > upper[:, None]).sum(axis=1)
    below = (upper[None, :] < lower[:, None]).sum(axis=1)
    return 1 + above, lower.size - below


def linked(strength: Floats, limit: float) -> tuple[tuple[int, ...], ...]:
    """Put columns that are linked, directly or through others, into one group.

    Parameters
    ----------
    strength : float64 array of shape (m, m)
        Symmetric; NaN is no link.
    limit : float
        Absolute strength from which two columns are linked.

    Examples
    --------
    >>> r = np.array([[1.0, -0.9, 0.1], [-0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
    >>> linked(r, 0.8)
    ((0, 1), (2,))
    """
    with np.errstate(invalid="ignore"):
        joined = np.abs(strength) >= limit
    left = dict.fromkeys(range(len(strength)))
    groups = []
    while left:
        first = next(iter(left))
        group, fresh = {first}, [first]
        while fresh:
            near = set(np.flatnonzero(joined[fresh.pop()]).tolist()) - group
            group |= near
            fresh += near
        for column in group:
            del left[column]
        groups.append(tuple(sorted(group)))
    return tuple(groups)
