"""Means of rows that come in blocks: days differ by more than their rows' sampling explains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.special import normal_quantile, t_quantile

Floats = NDArray[np.float64]

PRIOR_BLOCKS = 4.0
"""Blocks that what is assumed before any is seen counts for."""

FEW_BLOCKS = 7
"""Fewer do not tell by themselves how blocks differ."""

HOURS = 24


def between_variance(
    values: Floats, blocks: NDArray[np.int64], lost: int = 1, careful: float = 0.0
) -> float:
    """Variance of the blocks' means beyond what rows explain: one-way random effects by moments.

    Parameters
    ----------
    values, blocks : ndarray
        Shape (n,): the rows, and the block of each.
    lost : int
        Degrees of freedom that what was taken out of the values has cost between blocks.
    careful : float
        Standard errors, under "blocks do not differ", to take off.

    Returns
    -------
    float
        At least 0; 0 if there are too few blocks or each has one row.

    Examples
    --------
    >>> days = np.repeat(np.arange(50), 400)
    >>> rng = np.random.default_rng(1)
    >>> rows = rng.normal(size=20_000) + rng.normal(0.0, 0.2, 50)[days]
    >>> round(between_variance(rows, days) ** 0.5, 1)
    0.2
    """
    _, owner, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    size, freedom = counts.size, counts.size - lost
    inside = values.size - size
    if freedom < 1 or inside < 1:
        return 0.0
    means = np.bincount(owner, weights=values) / counts
    within = float(((values - means[owner]) ** 2).sum()) / inside
    among = float((counts * (means - values.mean()) ** 2).sum()) / freedom
    typical = (values.size - float((counts.astype(np.float64) ** 2).sum()) / values.size) / (
        size - 1
    )
    noise = careful * within * math.sqrt(2.0 / freedom)
    return max(0.0, (among - within - noise) / typical)


@dataclass(frozen=True, slots=True)
class BlockEffects:
    """How a mean moves by itself from day to day and from hour to hour.

    Attributes
    ----------
    days : int
        Days seen.
    between : float
        Standard deviation of a day's effect, with what was assumed counted as `PRIOR_BLOCKS` days.
    seen : float
        The same without what was assumed; of fewer than `FEW_BLOCKS` days only what is beyond two
        standard errors, because Student's tails are long then.
    within : float
        Standard deviation of an hour's effect in its day.
    """

    days: int = 0
    between: float = 0.0
    within: float = 0.0
    seen: float = 0.0

    def reach(self, tail: float) -> float:
        """Return the effect that a new day's is above with a chance of `tail`; inf before any day.

        The error of the known days' mean is part of it: ``t * sd * sqrt(1 + 1 / days)`` for the
        day, the larger of what was seen and what was assumed with it; and in quadrature that of
        the largest of 24 hours.

        Examples
        --------
        >>> round(BlockEffects(14, 0.005).reach(0.001), 3)
        0.019
        >>> BlockEffects().reach(0.001)
        inf
        """
        if not self.days:
            return math.inf
        known = self.days - 1.0
        day = t_quantile(known + PRIOR_BLOCKS, 1.0 - tail) * self.between
        if known:
            day = max(day, t_quantile(known, 1.0 - tail) * self.seen)
        day *= math.sqrt(1.0 + 1.0 / self.days)
        return math.hypot(day, normal_quantile(1.0 - tail / HOURS) * self.within)


def fit_effects(
    values: Floats, hours: NDArray[np.int64], assumed: float, lost: int
) -> BlockEffects:
    """Learn from rows how days and hours differ.

    Parameters
    ----------
    values : ndarray
        Shape (n,): what is left of each row once a rhythm of the day is taken out.
    hours : ndarray of int64
        Shape (n,): hours since some midnight.
    assumed : float
        Standard deviation of day effects where none are seen.
    lost : int
        Degrees of freedom that the rhythm cost.

    Examples
    --------
    >>> fit_effects(np.zeros(48), np.arange(48), assumed=0.01, lost=0).between < 0.01
    True
    """
    days = hours // HOURS
    _, owner, counts = np.unique(days, return_inverse=True, return_counts=True)
    seen = counts.size
    means = np.bincount(owner, weights=values) / counts
    found = between_variance(values, days)
    known, prior = seen - 1.0, PRIOR_BLOCKS
    between = math.sqrt((prior * assumed**2 + known * found) / (prior + known))
    # Hours are many and may have few rows each: only what is beyond two standard errors counts.
    within = between_variance(values - means[owner], hours, seen + lost, careful=2.0)
    if seen < FEW_BLOCKS:
        found = between_variance(values, days, careful=2.0)
    return BlockEffects(seen, between, math.sqrt(within), math.sqrt(found))


def clustered_error(values: Floats, blocks: NDArray[np.int64]) -> float:
    """Return the standard error of the mean of rows that are alike within blocks.

    Linearised ratio estimator (Cochran 1977, section 9A) with ``m / (m - 1)`` for m blocks; NaN
    for one block.

    Examples
    --------
    >>> rows = np.array([1.0, 2.0, 3.0, 4.0])
    >>> bool(clustered_error(rows, np.arange(4)) == rows.std(ddof=1) / 2)
    True
    """
    _, owner = np.unique(blocks, return_inverse=True)
    left = np.bincount(owner, weights=values - values.mean())
    if left.size < 2:
        return math.nan
    return math.sqrt(left.size / (left.size - 1.0) * float((left**2).sum())) / values.size
