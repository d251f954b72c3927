"""How much windows differ when nothing is wrong: more than independent sampling says.

Weekdays, batches and campaigns make windows of the same healthy traffic differ. That variation is
estimated from the reference's own windows, each against the others, and belongs in the null: a
model has drifted when a window differs more than the reference's windows differ among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.special import chi2_isf, f_sf

FloatArray = NDArray[np.float64]

PRIOR_EFFECT = 0.02
"""Distance that a window is believed to be off by before any two were compared (8 H^2 units)."""

PRIOR_WINDOWS = 1.0
"""Windows that this belief is worth."""

PRIOR_CORRELATION = 0.01
"""Likewise for rates: intra-window correlation, worth `PRIOR_RATE_WINDOWS`."""

PRIOR_RATE_WINDOWS = 2.0

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


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Variation between healthy windows beyond sampling, as a function of their rows.

    The covariance of the (root-scaled) cells of a window of n rows is ``I + n B``: sampling noise
    plus batch effects B. Kept are the traces of B, on the careful side, and of B squared, which
    give mean and tail of the distance at any n.

    Attributes
    ----------
    df : int
        Cells minus one.
    windows : float
        Comparisons behind the estimate, the prior's included.
    rows : float
        Effective rows of a typical reference window.
    trace, trace_squared : float
        Of B.
    """

    df: int
    windows: float
    rows: float
    trace: float
    trace_squared: float

    def inflation(self, rows: float) -> float:
        """Factor by which the distance exceeds that of independent sampling, at least 1."""
        return self._mean(rows) / self.df

    def p_value(self, found: Distance) -> float:
        """Probability of a distance at least as large between healthy windows.

        An F distribution: its second degrees of freedom are those of the estimate of the variation
        itself, so few reference windows, or windows much smaller than the current one, give heavy
        tails.
        """
        mean = self._mean(found.rows)
        own = self._mean(self.rows)
        reach = (found.rows * own) / (self.rows * mean)
        free = self.windows * self._freedom(self.rows) / reach**2
        x = found.statistic / mean
        return f_sf(self._freedom(found.rows), max(1.0, free), x)

    def _mean(self, rows: float) -> float:
        return self.df + rows * self.trace

    def _freedom(self, rows: float) -> float:
        return _freedom(self.df, rows, self.trace, self.trace_squared)


def fit_dispersion(counts: ArrayLike, groups: Sequence[int] | None = None) -> Dispersion:
    """Estimate the variation between reference windows: each against the rest of its group.

    Parameters
    ----------
    counts : array_like
        Shape (windows, cells); windows without rows are passed over.
    groups : sequence of int, optional
        Windows of one group (same weekday, same hour) are compared; all, if not given.

    Raises
    ------
    ValueError
        If there are no rows at all.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> steady = fit_dispersion(rng.multinomial(500, [0.25] * 4, size=28))
    >>> batches = fit_dispersion([rng.multinomial(500, rng.dirichlet([30] * 4)) for _ in range(28)])
    >>> round(steady.inflation(500), 1), round(batches.inflation(500), 1)
    (1.7, 7.0)
    """
    table = np.asarray(counts, dtype=np.float64)
    totals = table.sum(axis=1)
    if not bool((totals > 0).any()):
        raise ValueError("the reference has no rows")
    labels = np.zeros(len(table), dtype=np.int64) if groups is None else np.asarray(groups)
    table, labels, totals = table[totals > 0], labels[totals > 0], totals[totals > 0]
    df = max(1, table.shape[1] - 1)
    vectors, rows, compared = _left_out(table, labels, totals)
    if compared == 0:
        return Dispersion(df, PRIOR_WINDOWS, float(totals.mean()), PRIOR_EFFECT, PRIOR_EFFECT**2)
    typical = float(rows.mean())
    seen = float((vectors**2).sum(axis=1).mean())
    trace = max(0.0, seen - df) / typical
    gram = vectors @ vectors.T
    apart = gram[~np.eye(len(gram), dtype=np.bool_)]
    squared = (float((apart**2).mean()) - df - 2.0 * typical * trace) / typical**2
    squared = float(np.clip(squared, trace**2 / df, trace**2))
    bound = _upper(compared * _freedom(df, typical, trace, squared))
    careful = max(0.0, max(seen, float(df)) * bound - df) / typical
    widened = (careful / trace) ** 2 * squared if trace > 0.0 else careful**2 / df
    weight = compared / (compared + PRIOR_WINDOWS)
    trace = weight * careful + (1.0 - weight) * PRIOR_EFFECT
    squared = weight * widened + (1.0 - weight) * PRIOR_EFFECT**2
    return Dispersion(df, compared + PRIOR_WINDOWS, typical, trace, squared)


def _freedom(df: int, rows: float, trace: float, squared: float) -> float:
    """Return the degrees of freedom of the chi-square with the right mean and the right tail.

    The tail of a sum of weighted chi-squares falls as its largest weight says, which is at most
    ``1 + rows * sqrt(tr B^2)``.
    """
    return float(np.clip((df + rows * trace) / (1.0 + rows * np.sqrt(squared)), 1.0, df))


def _upper(freedom: float) -> float:
    """Return the factor from an estimated variance to its upper 95 % confidence bound.

    All windows to come are held against one estimate, so an estimate that is too small by luck
    would turn into evidence day after day.
    """
    return freedom / chi2_isf(freedom, 0.95)


def _left_out(
    table: FloatArray, labels: NDArray[np.int64], totals: FloatArray
) -> tuple[FloatArray, FloatArray, int]:
    """Return scaled differences of each window from the rest of its group, and their rows.

    Last comes the number of independent comparisons: windows minus groups.
    """
    vectors, rows, compared = [], [], 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if members.size < 2:
            continue
        pooled = table[members].sum(axis=0)
        compared += int(members.size) - 1
        for index in members:
            rest = pooled - table[index]
            n, m = float(totals[index]), float(rest.sum())
            effective = n * m / (n + m)
            vectors.append(_roots(table[index] / n, rest / m, n) * np.sqrt(effective))
            rows.append(effective)
    return np.asarray(vectors), np.asarray(rows), compared


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
