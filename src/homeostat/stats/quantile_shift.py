"""Whether two samples have the same quantile, looked at as often as one likes.

Means say little of latency; the 95th or 99th percentile is what people wait for. The rows enter
only as counts below and above a value, so histograms do, and nothing is assumed of their
distribution but that rows are independent.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.log_gamma import log_gamma
from homeostat.stats.mixtures import share_concentration
from homeostat.stats.special import digamma, trigamma

Floats = NDArray[np.float64]

_STEPS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """A sample as distinct values, ascending, and how many rows have each.

    Attributes
    ----------
    values : ndarray of float64, shape (k,)
    counts : ndarray, shape (k,)
        Positive.
    """

    values: Floats
    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """Return the smallest value that at least this share of the rows do not exceed.

        Examples
        --------
        >>> counted(np.arange(1.0, 101.0)).quantile(0.95)
        95.0
        """
        if not self.values.size:
            return NAN
        upto = np.cumsum(self.counts)
        place = int(np.searchsorted(upto, share * upto[-1] * (1.0 - 1e-12)))
        return float(self.values[min(place, self.values.size - 1)])


def counted(sample: Floats) -> Counted:
    """Count the rows of a sample; NaN is no row.

    Examples
    --------
    >>> found = counted(np.array([2.0, 1.0, 2.0]))
    >>> found.values.tolist(), found.counts.tolist()
    ([1.0, 2.0], [1, 2])
    """
    values, counts = np.unique(sample[~np.isnan(sample)], return_counts=True)
    return Counted(values, counts.astype(np.int64))


def same_quantile_p(
    control: Counted, treated: Counted, share: float, tuned_for: float = 1000.0
) -> float:
    """Return a p-value of "both have the same quantile" that is valid at any time.

    Were q the common quantile, the rows up to q would be like tosses of a coin with that share, in
    both samples; the e-values of both multiply, and the least over all q is what the null cannot do
    better than (Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B
    testing and best-arm identification", Bernoulli 2022, section 4).

    Parameters
    ----------
    control, treated : Counted
    share : float
        In (0, 1): 0.5 for medians.
    tuned_for : float
        Rows of a side at which it is to be sharpest; chosen before the first.

    Returns
    -------
    float
        NaN if a side is empty.

    Examples
    --------
    >>> one = counted(np.arange(1.0, 1001.0))
    >>> other = counted(np.arange(101.0, 1101.0))
    >>> round(same_quantile_p(one, other, 0.5, tuned_for=100), 7)
    0.0054947
    """
    if not (control.n and treated.n):
        return NAN
    coin = _Coin(share, share_concentration(tuned_for))
    sides = (control, treated)
    upto = [np.concatenate(([0], np.cumsum(side.counts))) for side in sides]
    hits = [coin.best(side.n) for side in sides]
    # Each side's evidence is least at its own quantile and grows away from it.
    ends = [
        side.values[np.searchsorted(rows[1:], best)]
        for side, rows, best in zip(sides, upto, hits, strict=True)
    ]
    values = np.concatenate((control.values, treated.values))
    points = np.unique(values[(values >= min(ends)) & (values <= max(ends))])
    logs = np.zeros(points.size)
    for side, rows, best in zip(sides, upto, hits, strict=True):
        below = rows[np.searchsorted(side.values, points, side="left")]
        within = rows[np.searchsorted(side.values, points, side="right")]
        logs += coin.log_e(np.clip(best, below, within), side.n)
    return math.exp(min(0.0, -float(logs.min())))


def quantile_ratio(
    control: Counted,
    treated: Counted,
    share: float,
    level: float = 0.95,
    tuned_for: float = 1000.0,
) -> Interval:
    """Bound the treated quantile over the control's; valid at any time.

    All ratios r that `same_quantile_p` of ``r * control`` and ``treated`` does not refute. For rows
    that are positive, such as latencies.

    Returns
    -------
    Interval
        NaN bounds if a side is empty; 0 and infinite where there are too few rows to say.

    Raises
    ------
    ValueError
        If a value is not positive.

    Examples
    --------
    >>> one = counted(np.linspace(100.0, 200.0, 5000))
    >>> other = counted(np.linspace(110.0, 220.0, 5000))
    >>> interval = quantile_ratio(one, other, 0.95)
    >>> round(interval.lower, 3), round(interval.upper, 3)
    (1.091, 1.109)
    """
    if not (control.n and treated.n):
        return Interval(NAN, NAN)
    if min(control.values[0], treated.values[0]) <= 0.0:
        raise ValueError("a ratio of quantiles needs positive values")
    coin, wanted = _Coin(share, share_concentration(tuned_for)), -math.log(1.0 - level)
    ends = [_open_ends(side, coin, wanted) for side in (control, treated)]
    lower = _lowest(ends[1], ends[0], wanted)
    upper = _lowest(ends[0], ends[1], wanted)
    return Interval(lower, 1.0 / upper if upper else math.inf)


@dataclass(frozen=True, slots=True)
class _Coin:
    """Evidence that rows up to a value are no tosses with this share."""

    share: float
    weight: float

    def log_e(self, hits: Floats, n: int) -> Floats:
        """Return the logarithms of the e-values of so many hits (`mixtures.log_multinomial`)."""
        prior = (self.weight * self.share, self.weight * (1.0 - self.share))
        constant = math.lgamma(self.weight) - math.lgamma(self.weight + n)
        constant -= math.lgamma(prior[0]) + math.lgamma(prior[1])
        odds = math.log(self.share / (1.0 - self.share))
        both = log_gamma(np.concatenate((prior[0] + hits, prior[1] + n - hits)))
        mixed = both[: hits.size] + both[hits.size :]
        found: Floats = constant + mixed - hits * odds - n * math.log1p(-self.share)
        return found

    def best(self, n: int) -> float:
        """Return the number of hits with the least evidence."""
        return _best(n, self.share, self.weight)


@functools.lru_cache(maxsize=64)  # an experiment asks for the same sizes again and again
def _best(n: int, share: float, weight: float) -> float:
    """Return the number of hits with the least evidence, by Newton's method."""
    prior, rest, odds = weight * share, weight * (1.0 - share), math.log(share / (1.0 - share))
    hits = n * share
    for _ in range(_STEPS):
        slope = digamma(prior + hits) - digamma(rest + n - hits) - odds
        step = slope / (trigamma(prior + hits) + trigamma(rest + n - hits))
        hits = min(max(hits - step, 0.0), float(n))
    return hits


def _open_ends(side: Counted, coin: _Coin, wanted: float) -> tuple[Floats, Floats]:
    """Return the values that may be the quantile, with 0 and infinity, and their evidence."""
    n, best = side.n, coin.best(side.n)
    reach = 5.0 * math.sqrt(n * coin.share * (1.0 - coin.share)) + 5.0
    while reach < n and coin.log_e(np.clip([best - reach, best + reach], 0, n), n).min() < wanted:
        reach *= 2.0
    upto = np.concatenate(([0], np.cumsum(side.counts)))
    near = slice(
        max(0, int(np.searchsorted(upto, best - reach)) - 1),
        int(np.searchsorted(upto, best + reach)) + 1,
    )
    hits = np.clip(best, upto[:-1][near], upto[1:][near])
    values = np.concatenate(([0.0], side.values[near], [math.inf]))
    return values, coin.log_e(np.concatenate(([0.0], hits, [float(n)])), n)


def _lowest(
    numerator: tuple[Floats, Floats], denominator: tuple[Floats, Floats], wanted: float
) -> float:
    """Return the least ratio of two values whose log e-values together stay below `wanted`."""
    low, logs = numerator
    high, costs = denominator
    # Left of its minimum the cost of a numerator falls: what is left for the denominator rises.
    turn, start = int(np.argmin(logs)), int(np.argmin(costs))
    least, left = low[: turn + 1], wanted - logs[: turn + 1]
    reach = start + np.searchsorted(costs[start:], left) - 1
    least, most = least[reach >= start], high[reach[reach >= start]]
    return float((least / most).min())
