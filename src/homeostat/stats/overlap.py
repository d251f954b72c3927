"""Two groups of rows compared where both have rows: weights by overlap, residuals, splits.

Weights are those of Li, Morgan & Zaslavsky, JASA 113 (2018): a row counts by the chance that one
like it belongs to the other group. They are bounded, so that no row decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.special import normal_sf

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MAX_INFLUENCE = 0.1  # share of a variance that one row may bring before a normal law is doubted
_TINY = 1e-12


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
    """

    gap: Floats
    error: Floats
    z: Floats
    effect: Floats

    @property
    def p_value(self) -> float:
        """Bonferroni's two-sided p-value of the largest."""
        if not self.z.size:
            return 1.0
        return min(1.0, 2.0 * self.z.size * normal_sf(float(np.abs(self.z).max())))


def weighted_gaps(before: Floats, now: Floats, one: Floats, two: Floats) -> Gaps:
    """Compare weighted means of columns.

    Parameters
    ----------
    before, now : ndarray of float64, shape (n, k) and (m, k)
    one, two : ndarray of float64, shape (n,) and (m,)
        Weights, each adding up to 1, taken as known.

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
    error = np.sqrt(variance)
    sound = (variance > _TINY**2) & (largest <= MAX_INFLUENCE * variance)
    z = np.where(sound, gap / np.maximum(error, _TINY), 0.0)
    spread = np.sqrt((one @ squares_one + two @ squares_two) / 2.0)
    effect = np.where(spread > _TINY, gap / np.maximum(spread, _TINY), 0.0)
    return Gaps(gap, error, z, effect)


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
