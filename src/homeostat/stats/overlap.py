"""Two groups of rows compared where both have rows: weights by overlap, residuals, splits.

Rows may come in blocks, such as days, that have an effect in common: what blocks of one group
differ by enters the error of a difference of means.

Weights are those of Li, Morgan & Zaslavsky, JASA 113 (2018): a row counts by the chance that one
like it belongs to the other group. They are bounded, so that no row decides alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.blocks import PRIOR_BLOCKS
from homeostat.stats.special import normal_quantile, normal_sf, t_sf

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MAX_INFLUENCE = 0.1  # share of a variance that one row may bring before a normal law is doubted
ASSUMED = 0.025
"""Standard deviation of the effect of a block where none is seen, in those of a row."""

_TINY = 1e-12
_RAREST = 1e-290
_MANY = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Overlap weights, each side adding up to 1.

    Attributes
    ----------
    before, now : ndarray of float64, shape (n,) and (m,)
    shared : float
        Effective share of rows in the overlap, in (0, 1]: 1 if both sides are alike.
    """

    before: Floats
    now: Floats
    shared: float


def overlap_weights(odds_before: Floats, odds_now: Floats) -> Weights:
    """Return weights from held-out log-odds of being a current row, both sides equally likely.

    Examples
    --------
    >>> weights = overlap_weights(np.zeros(4), np.zeros(2))
    >>> weights.before.tolist(), weights.now.tolist(), weights.shared
    ([0.25, 0.25, 0.25, 0.25], [0.5, 0.5], 1.0)
    """
    one = 1.0 / (1.0 + np.exp(-np.clip(odds_before, -30.0, 30.0)))
    two = 1.0 / (1.0 + np.exp(np.clip(odds_now, -30.0, 30.0)))
    shared = min(1.0, 2.0 * float(min(one.mean(), two.mean())))
    return Weights(one / one.sum(), two / two.sum(), shared)


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """Differences of weighted means, now minus before, of several functions of a row.

    Attributes
    ----------
    gap, error : ndarray of float64, shape (k,)
        The difference and its standard error.
    z : ndarray of float64, shape (k,)
        0 where a function does not vary or a single row carries its variance.
    effect : ndarray of float64, shape (k,)
        Difference in pooled standard deviations.
    freedom : ndarray of float64, shape (k,)
        Degrees of freedom of the error; infinite where rows are independent.
    """

    gap: Floats
    error: Floats
    z: Floats
    effect: Floats
    freedom: Floats

    @property
    def p_value(self) -> float:
        """Bonferroni's two-sided p-value of the largest."""
        if not self.z.size:
            return 1.0
        return min(1.0, 2.0 * self.z.size * normal_sf(float(np.abs(self.z).max())))


def weighted_gaps(
    before: Floats,
    now: Floats,
    one: Floats,
    two: Floats,
    blocks: tuple[Indices, Indices] | None = None,
) -> Gaps:
    """Compare weighted means of columns.

    Parameters
    ----------
    before, now : ndarray of float64, shape (n, k) and (m, k)
    one, two : ndarray of float64, shape (n,) and (m,)
        Weights, each adding up to 1, taken as known.
    blocks : tuple of ndarray of int64, shapes (n,) and (m,), optional
        Block of each row; without them rows are taken as independent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before, now = rng.normal(size=(500, 2)), rng.normal([0.0, 0.5], 1.0, size=(500, 2))
    >>> same = np.full(500, 1 / 500)
    >>> gaps = weighted_gaps(before, now, same, same)
    >>> bool(abs(gaps.z[0]) < 3), bool(gaps.z[1] > 5), gaps.p_value < 1e-6
    (True, True, True)
    """
    centre_one, centre_two = one @ before, two @ now
    squares_one, squares_two = (before - centre_one) ** 2, (now - centre_two) ** 2
    parts_one, parts_two = squares_one * (one**2)[:, None], squares_two * (two**2)[:, None]
    variance = parts_one.sum(axis=0) + parts_two.sum(axis=0)
    largest = np.maximum(parts_one.max(axis=0), parts_two.max(axis=0))
    gap = centre_two - centre_one
    sound = (variance > _TINY**2) & (largest <= MAX_INFLUENCE * variance)
    more, freedom = np.zeros(gap.size), np.full(gap.size, np.inf)
    if blocks is not None:
        more, freedom = block_variance(before, (one, two), blocks, variance)
    error = np.sqrt(variance + more)
    z = np.where(sound, as_normal(gap / np.maximum(error, _TINY), freedom), 0.0)
    spread = np.sqrt((one @ squares_one + two @ squares_two) / 2.0)
    effect = np.where(spread > _TINY, gap / np.maximum(spread, _TINY), 0.0)
    return Gaps(gap, error, z, effect, freedom)


def block_variance(
    before: Floats, weights: tuple[Floats, Floats], blocks: tuple[Indices, Indices], rows: Floats
) -> tuple[Floats, Floats]:
    """Return what effects of blocks add to the variance of a difference of weighted means.

    How blocks differ is told by those of the first group (one-way random effects by moments), with
    one standard error of what rows hide, and `ASSUMED` counted as `PRIOR_BLOCKS` blocks. An effect
    of a block that is in both groups is in both means. Degrees of freedom are Satterthwaite's.

    Parameters
    ----------
    before : ndarray of float64, shape (n, k)
        Rows of the first group.
    weights : tuple of ndarray of float64, shapes (n,) and (m,)
        Each adding up to 1.
    blocks : tuple of ndarray of int64, shapes (n,) and (m,)
    rows : ndarray of float64, shape (k,)
        Variance of the differences if rows were independent.

    Returns
    -------
    tuple of ndarray of float64
        The variance to add, and the degrees of freedom of the sum, of shape (k,).

    Examples
    --------
    >>> days = np.repeat(np.arange(50), 400)
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=20_000) + rng.normal(0.0, 0.2, 50)[days]
    >>> same = np.full(20_000, 1 / 20_000), np.full(400, 1 / 400)
    >>> more, _ = block_variance(x[:, None], same, (days, np.full(400, 50)), np.array([0.0026]))
    >>> round(float(more[0] ** 0.5), 1)
    0.2
    """
    both = np.unique(np.concatenate(blocks), return_inverse=True)[1]
    ours, theirs = both[: len(before)], both[len(before) :]
    size = int(both.max()) + 1
    shares = [
        np.bincount(place, weights=weight, minlength=size)
        for place, weight in ((ours, weights[0]), (theirs, weights[1]))
    ]
    spread = float(((shares[1] - shares[0]) ** 2).sum())
    between, known = _between(before, ours)
    more = spread * between
    freedom = np.full(more.size, np.inf)
    there = more > 0.0
    freedom[there] = (known + PRIOR_BLOCKS) * ((rows[there] + more[there]) / more[there]) ** 2
    return more, freedom


def _between(before: Floats, ours: NDArray[np.intp]) -> tuple[Floats, float]:
    """Return the variance of blocks' effects, and the degrees of freedom that were seen."""
    seen, owner, counts = np.unique(ours, return_inverse=True, return_counts=True)
    known = seen.size - 1.0
    inside = len(before) - seen.size
    usual = before.var(axis=0)
    found = np.zeros(before.shape[1])
    if known and inside > 0:
        order = np.argsort(owner, kind="stable")
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        means = np.add.reduceat(before[order], starts, axis=0) / counts[:, None]
        among = (counts[:, None] * (means - before.mean(axis=0)) ** 2).sum(axis=0)
        within = np.maximum(usual * len(before) - among, 0.0) / inside
        typical = (
            len(before) - float((counts.astype(np.float64) ** 2).sum()) / len(before)
        ) / known
        # Of effects too small to be seen among few rows, one standard error is taken for granted.
        unseen = within * np.sqrt(2.0 / known)
        found = (np.maximum(among / known - within, 0.0) + unseen) / typical
    between = (PRIOR_BLOCKS * ASSUMED**2 * usual + known * found) / (PRIOR_BLOCKS + known)
    return between, known


def as_normal(t: Floats, freedom: Floats) -> Floats:
    """Return the standard normal numbers that are as rare as Student's.

    Examples
    --------
    >>> from homeostat.stats.special import normal_quantile, normal_sf, t_sf
    >>> z = as_normal(np.array([3.0, 3.0]), np.array([10.0, np.inf]))
    >>> round(normal_sf(float(z[0])), 4), round(t_sf(10, 3.0), 4), float(z[1])
    (0.0067, 0.0067, 3.0)
    """
    pairs = zip(t.tolist(), freedom.tolist(), strict=True)
    return np.array([math.copysign(_as_rare(abs(x), f), x) for x, f in pairs])


def _as_rare(t: float, freedom: float) -> float:
    if math.isinf(freedom):
        return t
    # A continued fraction takes as many steps as the root of the degrees of freedom.
    chance = t_sf(freedom, t) if freedom < _MANY else 0.0
    if chance > _RAREST:
        return max(-normal_quantile(chance), 0.0)
    # Wallace (1959) is off by a part of what no chance can show any more, or of one in a million.
    return (
        (8.0 * freedom + 1.0)
        / (8.0 * freedom + 3.0)
        * math.sqrt(freedom * math.log1p(t * t / freedom))
    )


def fit_ridge(rows: Floats, target: Floats, weights: Floats, penalty: float) -> Floats:
    """Return the coefficients of a weighted ridge regression, the last one the intercept.

    Minimises ``sum(weights * (target - prediction)^2) + penalty * sum(coefficients^2)``, the
    intercept not penalised; the weights are scaled to a mean of 1 first.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, k)
    target : ndarray of float64, shape (n,) or (n, t)
    weights : ndarray of float64, shape (n,)
    penalty : float
        Above 0.

    Examples
    --------
    >>> x = np.arange(10.0)[:, None]
    >>> fit_ridge(x, 2.0 * x[:, 0] + 1.0, np.ones(10), 1e-9).round(3).tolist()
    [2.0, 1.0]
    """
    scaled = weights / weights.mean()
    full = np.column_stack((rows, np.ones(len(rows))))
    heavy = full * scaled[:, None]
    normal = heavy.T @ full
    shrink = np.full(full.shape[1], penalty)
    shrink[-1] = 0.0
    normal[np.diag_indices_from(normal)] += shrink + _TINY
    found: Floats = np.linalg.solve(normal, heavy.T @ target)
    return found


def apply_ridge(coefficients: Floats, rows: Floats) -> Floats:
    """Return the predictions of `fit_ridge`'s coefficients."""
    found: Floats = rows @ coefficients[:-1] + coefficients[-1]
    return found
