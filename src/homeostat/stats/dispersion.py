"""How much windows differ when nothing is wrong: more than independent sampling says.

Weekdays, batches and campaigns make windows of the same healthy traffic differ. That variation is
estimated from the reference's own windows, each against the others, and belongs in the null: a
model has drifted when a window differs more than the reference's windows differ among themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.special import chi2_isf

FloatArray = NDArray[np.float64]

PRIOR_CORRELATION = 0.01
"""Intra-window correlation that rates are believed to have before any windows were compared."""

PRIOR_RATE_WINDOWS = 2.0
"""Windows that this belief is worth."""

_EXACT_ROWS = 10_000  # beyond, a beta-binomial tail is bounded by that of this many rows


@dataclass(frozen=True, slots=True)
class Distance:
    """Distance of two histograms over the same cells.

    Attributes
    ----------
    statistic : float
        ``effect_rows * raw``; under independent sampling about chi-square with ``df``.
    rows : float
        Effective rows, ``n m / (n + m)``.
    raw : float
        ``4 sum (sqrt q - sqrt p)^2``: 8 times the squared Hellinger distance, which is close to the
        population stability index for small shifts but bounded by 8 and finite for empty cells.
    df : int
        Cells minus one.
    """

    statistic: float
    rows: float
    raw: float
    df: int

    @property
    def effect(self) -> float:
        """Distance without the part that sampling noise alone adds; never negative."""
        return max(0.0, self.raw - self.df / self.rows)


def distance(current: ArrayLike, reference: ArrayLike, rows: float | None = None) -> Distance:
    """Compare counts over the same cells.

    Square roots stabilise the variance of counts (Anscombe's 3/8 keeps it finite at zero), so that
    rare cells neither dominate nor break the statistic as they do in chi-square and PSI.

    Parameters
    ----------
    current, reference : array_like
        Shape (k,), counts, possibly weighted.
    rows : float, optional
        Effective number of rows behind `current` if it is weighted; its sum otherwise.

    Raises
    ------
    ValueError
        If shapes differ or a side is empty.

    Examples
    --------
    >>> same = distance([50, 50], [500, 500])
    >>> moved = distance([90, 10], [500, 500])
    >>> round(same.statistic, 2), round(moved.statistic, 1), same.effect, round(moved.effect, 2)
    (0.0, 75.7, 0.0, 0.82)
    """
    now = np.asarray(current, dtype=np.float64)
    then = np.asarray(reference, dtype=np.float64)
    if now.shape != then.shape:
        raise ValueError(f"histograms of {now.size} and {then.size} cells cannot be compared")
    total, known = float(now.sum()), float(then.sum())
    if not (total > 0.0 and known > 0.0):
        raise ValueError("a distance needs rows on both sides")
    n = total if rows is None else rows
    moved = _roots(now / total, then / known, n)
    raw = float(moved @ moved)
    effective = n * known / (n + known)
    return Distance(raw * effective, effective, raw, max(1, now.size - 1))


def _roots(now: FloatArray, then: FloatArray, rows: float) -> FloatArray:
    stabiliser = 0.375 / rows
    result: FloatArray = 2.0 * (np.sqrt(now + stabiliser) - np.sqrt(then + stabiliser))
    return result


def _upper(freedom: float) -> float:
    """Return the factor from an estimated variance to its upper 95 % confidence bound.

    All windows to come are held against one estimate, so an estimate that is too small by luck
    would turn into evidence day after day.
    """
    return freedom / chi2_isf(freedom, 0.95)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happens in healthy windows, and how much that varies.

    ``share`` is the mean share of rows, in (0, 1); ``correlation`` that of two rows of one window,
    in (0, 1), 0 for independent rows; ``rows`` those it was seen on.
    """

    share: float
    correlation: float
    rows: int

    def p_value(self, count: int, total: int) -> float:
        """Probability of at least `count` of `total` rows in a healthy window (beta-binomial).

        Examples
        --------
        >>> rate = Rate(share=0.01, correlation=0.005, rows=5000)
        >>> rate.p_value(0, 60), rate.p_value(30, 60) < 1e-9
        (1.0, True)
        """
        if count <= 0:
            return 1.0
        if total > _EXACT_ROWS:
            count, total = count * _EXACT_ROWS // total, _EXACT_ROWS
        spread = 1.0 / self.correlation - 1.0
        a, b = self.share * spread, (1.0 - self.share) * spread
        hits = np.arange(total, dtype=np.float64)
        none = np.log1p(-a / (spread + hits)).sum()
        one_more = (total - hits) / (hits + 1.0) * (hits + a) / (total - 1.0 - hits + b)
        logs = none + np.concatenate(([0.0], np.cumsum(np.log(one_more))))
        return min(1.0, float(np.exp(logs[count:]).sum()))


def fit_rate(counts: ArrayLike, totals: ArrayLike) -> Rate:
    """Estimate a rate and its variation between windows, on the careful side.

    The intra-window correlation is the moment estimate, raised to its upper 95 % bound and averaged
    with a prior, so that a few windows that happen to agree do not pass for certainty.

    Parameters
    ----------
    counts, totals : array_like
        Shape (windows,): rows in which it happened, and all rows.

    Raises
    ------
    ValueError
        If there are no rows at all.

    Examples
    --------
    >>> rate = fit_rate([1, 0, 2, 1], [100, 100, 100, 100])
    >>> round(rate.share, 4), rate.rows
    (0.0112, 400)
    """
    hits = np.asarray(counts, dtype=np.float64)
    rows = np.asarray(totals, dtype=np.float64)
    hits, rows = hits[rows > 0], rows[rows > 0]
    if rows.size == 0:
        raise ValueError("the reference has no rows")
    share = float((hits.sum() + 0.5) / (rows.sum() + 1.0))
    free = float(rows.size - 1)
    pairs = float((rows * (rows - 1.0)).sum())
    correlation = 0.0
    if free > 0 and pairs > 0:
        spread = float(((hits - rows * share) ** 2).sum()) / (share * (1.0 - share))
        excess = spread - float(rows.sum()) * free / rows.size
        correlation = max(0.0, excess / pairs) * _upper(free)
    weight = free / (free + PRIOR_RATE_WINDOWS)
    correlation = weight * correlation + (1.0 - weight) * PRIOR_CORRELATION
    return Rate(share, min(0.99, correlation), int(rows.sum()))
