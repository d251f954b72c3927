"""Whether two shares differ, at any size and however often one looks: for rare events.

Where a side has seen a handful of conversions, or none, no limit theorem helps. Both sides are
binomial whatever their size, so that evidence can be exact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.log_gamma import log_gamma
from homeostat.stats.mixtures import share_concentration, share_interval

Floats = NDArray[np.float64]
Share = tuple[float, float]
"""Successes and rows."""

_NODES = 65
_ROUNDS = 3


def same_share_p(
    control: Share, treated: Share, factor: float = 1.0, tuned_for: float = 1000.0
) -> float:
    """Return a p-value of "the treated share is `factor` times the control's", valid at any time.

    For any share that the control might have, the e-values of both sides
    (`homeostat.stats.mixtures.log_multinomial`) multiply; the least over all shares is evidence
    against all of them. It also holds for "at least so many times" if the treated share is below
    that, and the other way round.

    Parameters
    ----------
    control, treated : (float, float)
        Successes and rows.
    factor : float
        Positive.
    tuned_for : float
        Rows of a side at which it is to be sharpest.

    Returns
    -------
    float
        NaN if a side has no rows.

    Examples
    --------
    >>> round(same_share_p((0, 1000), (0, 1000)), 3), round(same_share_p((0, 1000), (20, 1000)), 4)
    (0.986, 0.0001)
    """
    if not (control[1] and treated[1]):
        return NAN
    weight = share_concentration(tuned_for)
    least = 1e-2 / max(control[1], treated[1])
    ends = [control[0] / control[1], treated[0] / treated[1] / factor]
    most = min(1.0, 1.0 / factor) * (1.0 - least)
    low, high = (min(max(end, least), most) for end in (min(ends), max(ends)))
    for _ in range(_ROUNDS):
        shares = np.exp(np.linspace(math.log(low), math.log(high), _NODES))
        logs = _log_e(control, shares, weight) + _log_e(treated, factor * shares, weight)
        best = int(np.argmin(logs))
        low, high = float(shares[max(0, best - 1)]), float(shares[min(_NODES - 1, best + 1)])
    return math.exp(min(0.0, -float(logs[best])))


def share_ratio(
    control: Share, treated: Share, level: float = 0.95, tuned_for: float = 1000.0
) -> Interval:
    """Bound the treated share over the control's, at any time.

    From an interval of each share, both of which hold with probability `level`: wider than need be,
    and never wrong because of a small number. NaN bounds if a side has no rows; infinite above
    where the control's share may be 0.

    Examples
    --------
    >>> interval = share_ratio((50, 1000), (150, 1000))
    >>> round(interval.lower, 2), round(interval.upper, 2)
    (1.52, 6.25)
    """
    each = (1.0 + level) / 2.0
    a, b = (share_interval(*side, each, tuned_for) for side in (control, treated))
    if math.isnan(a.lower) or math.isnan(b.lower):
        return Interval(NAN, NAN)
    return Interval(b.lower / a.upper, b.upper / a.lower if a.lower else math.inf)


def _log_e(side: Share, shares: Floats, weight: float) -> Floats:
    hits, misses = side[0], side[1] - side[0]
    a, b = weight * shares, weight * (1.0 - shares)
    mixed = log_gamma(a + hits) - log_gamma(a) + log_gamma(b + misses) - log_gamma(b)
    found: Floats = mixed - hits * np.log(shares) - misses * np.log1p(-shares)
    return found + (math.lgamma(weight) - math.lgamma(weight + side[1]))
