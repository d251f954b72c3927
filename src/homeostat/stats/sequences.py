"""Confidence sequences: intervals that hold at every moment at once.

A 95 % interval of a fixed size, drawn anew with every row, misses the truth sooner or later. A
confidence sequence misses it *ever* with probability at most 5 %, so it may be looked at after
every row and acted on at once. The price is width, about 1.6 times that of a fixed-size interval
near the size that it is tuned for.

===========================  ==========================  =====================================
function                     of the mean of              holds
===========================  ==========================  =====================================
`hoeffding`                  rows in [low, high]         exactly; its width ignores the spread
`empirical_bernstein`        rows in [low, high]         exactly; narrower where rows vary little
`normal_mixture`             sub-Gaussian rows           exactly; of known scale
`asymptotic`                 rows of finite variance     for large sizes
`proportion`                 rows of 0 and 1             exactly
===========================  ==========================  =====================================

The first two need every row, in order: a row's weight depends on those before it. The others need
only sums, and so can be had from stored profiles. Bounds may be intersected over time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.special import log_beta

FloatArray = NDArray[np.float64]

_LARGEST_BET = 0.5
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """Bounds after each row.

    Attributes
    ----------
    lower, upper : ndarray of float64, shape (n,)
        Each the best bound up to then: they only close in. Rows that contradict the assumptions,
        such as a mean that moved, may leave them crossed, which is evidence of just that.
    """

    lower: FloatArray
    upper: FloatArray

    @property
    def last(self) -> Interval:
        """The interval after the last row; NaN bounds without rows."""
        if not self.lower.size:
            return Interval(NAN, NAN)
        return Interval(float(self.lower[-1]), float(self.upper[-1]))


def hoeffding(
    values: ArrayLike, low: float = 0.0, high: float = 1.0, level: float = 0.95
) -> ConfidenceSequence:
    """Bound the mean of bounded rows after each of them, whatever their spread.

    The predictable plug-in Hoeffding sequence (Waudby-Smith & Ramdas, "Estimating means of bounded
    random variables by betting", JRSS-B 2024, Proposition 1).

    Parameters
    ----------
    values : array_like
        Shape (n,), in [low, high], in order of time; each with the same mean given those before.
    low, high : float
        Bounds known beforehand, not taken from the rows.
    level : float
        In (0, 1): probability that every interval holds the mean.

    Raises
    ------
    ValueError
        If a row is out of bounds or NaN, the bounds are not finite and ascending, or the level is
        out of range.

    Examples
    --------
    >>> import numpy as np
    >>> sequence = hoeffding(np.tile([0.4, 0.6], 500))
    >>> round(sequence.last.lower, 3), round(sequence.last.upper, 3)
    (0.439, 0.561)
    """
    unit, budget = _unit(values, low, high), _budget(level)
    steps = np.arange(1, unit.size + 1)
    bets = np.minimum(1.0, np.sqrt(8.0 * budget / (steps * np.log1p(steps))))
    stakes = np.cumsum(bets)
    centre = np.cumsum(bets * unit) / stakes
    reach = (budget + np.cumsum(bets**2) / 8.0) / stakes
    return _closing(centre, reach, low, high)


def empirical_bernstein(
    values: ArrayLike, low: float = 0.0, high: float = 1.0, level: float = 0.95
) -> ConfidenceSequence:
    """Bound the mean of bounded rows after each of them; the narrower the less they vary.

    The predictable plug-in empirical-Bernstein sequence (Waudby-Smith & Ramdas 2024, Theorem 2).
    Parameters and errors as in `hoeffding`.

    Examples
    --------
    >>> import numpy as np
    >>> sequence = empirical_bernstein(np.tile([0.4, 0.6], 500))
    >>> round(sequence.last.lower, 3), round(sequence.last.upper, 3)
    (0.488, 0.512)
    """
    unit, budget = _unit(values, low, high), _budget(level)
    steps = np.arange(1, unit.size + 1)
    means = (0.5 + np.cumsum(unit)) / (steps + 1.0)
    spread = (0.25 + np.cumsum((unit - means) ** 2)) / (steps + 1.0)
    # A bet may depend on the rows before its own only.
    mean_before = np.concatenate(([0.5], means[:-1]))[: unit.size]
    spread_before = np.concatenate(([0.25], spread[:-1]))[: unit.size]
    scale = spread_before * steps * np.log1p(steps)
    bets = np.minimum(_LARGEST_BET, np.sqrt(2.0 * budget / scale))
    stakes = np.cumsum(bets)
    centre = np.cumsum(bets * unit) / stakes
    cost = (unit - mean_before) ** 2 * (-np.log1p(-bets) - bets)
    return _closing(centre, (budget + np.cumsum(cost)) / stakes, low, high)


def normal_mixture(
    mean: float, n: float, scale: float, level: float = 0.95, tuned_for: float = 1000.0
) -> Interval:
    """Bound the mean of sub-Gaussian rows of known scale; valid at any time.

    The two-sided normal mixture of Robbins (1970), ``(V + r) ln((V + r) / (alpha^2 r))`` under the
    root with ``V = n scale^2`` (Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences", Annals of Statistics 2021, eq. 14).

    Parameters
    ----------
    mean : float
        Of the rows so far.
    n : float
        How many there were.
    scale : float
        Standard deviation of the rows, if they are normal; half their range, if they are bounded.
    level : float
        In (0, 1): probability that the interval holds the mean at every n.
    tuned_for : float
        Number of rows at which it is to be narrowest; choose it before the first row. Little is
        lost up to ten times more or less.

    Returns
    -------
    Interval
        NaN bounds without rows or with a NaN among the arguments.

    Raises
    ------
    ValueError
        If the level, the scale or `tuned_for` is out of range.

    Examples
    --------
    >>> interval = normal_mixture(0.0, n=1000, scale=1.0)
    >>> round(interval.lower, 4), round(interval.upper, 4)
    (-0.096, 0.096)
    """
    alpha = _alpha(level)
    if not tuned_for > 0.0:
        raise ValueError(f"tune for a positive number of rows, not {tuned_for}")
    if scale < 0.0:
        raise ValueError(f"a scale is never negative: {scale}")
    if not n > 0.0:
        return Interval(NAN, NAN)
    # The closest closed form of the best prior weight of rows.
    twice = -2.0 * math.log(alpha)
    prior = tuned_for / (twice + math.log1p(twice))
    log = math.log((n + prior) / prior) + twice
    reach = scale * math.sqrt((n + prior) * log) / n
    return Interval(mean - reach, mean + reach)


def asymptotic(
    mean: float, n: float, sd: float, level: float = 0.95, tuned_for: float = 1000.0
) -> Interval:
    """Bound the mean of rows of any distribution with a variance; valid at any large time.

    What the normal interval is at a fixed size: `normal_mixture` with the sample's own standard
    deviation in place of a known scale (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas,
    "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics
    2024, Theorem 2.2). Begin looking at a few dozen rows, more if they are skewed: the promise is a
    limit.

    Parameters
    ----------
    mean, n, sd : float
        Mean, number and standard deviation of the rows so far.
    level, tuned_for : float
        As in `normal_mixture`.

    Returns
    -------
    Interval
        NaN bounds with fewer than two rows.

    Examples
    --------
    >>> interval = asymptotic(mean=12.0, n=400, sd=5.0, tuned_for=400)
    >>> round(interval.lower, 2), round(interval.upper, 2)
    (11.24, 12.76)
    """
    return normal_mixture(mean, n if n >= 2.0 else 0.0, sd, level, tuned_for)


def proportion(successes: int, n: int, level: float = 0.95, prior: float = 0.5) -> Interval:
    """Bound the share behind `n` rows of 0 and 1; valid at any time and any size.

    The shares p that a beta mixture does not refute:
    ``B(s + a, n - s + a) / B(a, a) < p^s (1 - p)^(n - s) / alpha`` (Robbins, "Statistical methods
    related to the law of the iterated logarithm", Annals of Mathematical Statistics 1970; Ville's
    inequality).

    Parameters
    ----------
    successes, n : int
        Rows that were 1, and all of them.
    level : float
        In (0, 1): probability that the interval holds the share at every n.
    prior : float
        The a above, positive, chosen before the first row.

    Returns
    -------
    Interval
        Within [0, 1]; all of it without rows.

    Raises
    ------
    ValueError
        If the counts do not fit, or the level or the prior is out of range.

    Examples
    --------
    >>> interval = proportion(30, 1000)
    >>> round(interval.lower, 4), round(interval.upper, 4)
    (0.0143, 0.054)
    """
    alpha = _alpha(level)
    if not prior > 0.0:
        raise ValueError(f"a beta prior is positive, not {prior}")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} rows is no share")
    failures = n - successes
    mixed = log_beta(successes + prior, failures + prior) - log_beta(prior, prior)
    floor = mixed + math.log(alpha)

    def refuted(share: float) -> bool:
        logs = _times_log(successes, share) + _times_log(failures, 1.0 - share)
        return logs <= floor

    best = successes / n if n else 0.5
    return Interval(_edge(refuted, 0.0, best), _edge(refuted, 1.0, best))


def _edge(refuted: Callable[[float], bool], outside: float, inside: float) -> float:
    """Return where shares begin to be refuted, from the outer side."""
    if not refuted(outside):
        return outside
    for _ in range(_BISECTIONS):
        middle = (outside + inside) / 2.0
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _times_log(count: int, share: float) -> float:
    if count == 0:
        return 0.0
    return count * math.log(share) if share > 0.0 else -math.inf


def _unit(values: ArrayLike, low: float, high: float) -> FloatArray:
    """Move rows from [low, high] to [0, 1]."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"bounds are finite and ascending, not {low} and {high}")
    rows = np.asarray(values, dtype=np.float64)
    if not bool(np.all((rows >= low) & (rows <= high))):
        raise ValueError(f"every row lies in [{low}, {high}]; take out or clip what does not")
    unit: FloatArray = (rows - low) / (high - low)
    return unit


def _closing(centre: FloatArray, reach: FloatArray, low: float, high: float) -> ConfidenceSequence:
    """Intersect intervals over time and move them back to [low, high]."""
    lower = np.maximum.accumulate(np.maximum(centre - reach, 0.0))
    upper = np.minimum.accumulate(np.minimum(centre + reach, 1.0))
    span = high - low
    return ConfidenceSequence(low + span * lower, low + span * upper)


def _alpha(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies in (0, 1), not {level}")
    return 1.0 - level


def _budget(level: float) -> float:
    return math.log(2.0 / _alpha(level))
