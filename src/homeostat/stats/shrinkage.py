"""Variances of many series, each seen in few windows, made better by one another.

Series of one kind vary alike: how alike, their estimates show. Each variance is pulled towards the
common one as far as that goes, and counts for so many degrees of freedom more (Smyth, "Linear
models and empirical Bayes methods", Statistical Applications in Genetics 2004).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.special import digamma, trigamma

Floats = NDArray[np.float64]

MOST_FREEDOM = 100.0
"""Degrees of freedom that the common variance may count for."""

FEW_SERIES = 8
"""Fewer do not show how alike they are."""

STILL = 0.05
"""Variances below this part of the median are of series that hardly ever move: not of this kind."""


@dataclass(frozen=True, slots=True)
class CommonVariance:
    """What series have in common: a variance and the degrees of freedom it is worth.

    With ``freedom`` 0 they have nothing in common.
    """

    variance: float
    freedom: float


def fit_common(variances: Floats, freedom: Floats) -> CommonVariance:
    """Return what variances of shape (series,) with these degrees of freedom have in common.

    Log variances scatter by ``trigamma(freedom / 2)`` if the true ones are equal; what they scatter
    beyond tells how many degrees of freedom the common one is worth.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> alike = rng.chisquare(20, 200) / 20
    >>> unlike = alike * np.exp(rng.normal(0.0, 1.0, 200))
    >>> [fit_common(found, np.full(200, 20.0)).freedom > 10 for found in (alike, unlike)]
    [True, False]
    """
    used = (variances > 1e-9) & (freedom > 0.0)
    if used.any():
        used &= variances > STILL * float(np.median(variances[used]))
    if int(used.sum()) < FEW_SERIES:
        return CommonVariance(1.0, 0.0)
    halves = freedom[used] / 2.0
    shift = np.array([digamma(half) - math.log(half) for half in halves.tolist()])
    logs = np.log(variances[used]) - shift
    noise = float(np.mean([trigamma(half) for half in halves.tolist()]))
    beyond = float(logs.var(ddof=1)) - noise
    # The scatter's own standard error, on the careful side: too alike by luck is no knowledge.
    beyond += 2.0 * (beyond + noise) * math.sqrt(2.0 / (logs.size - 1))
    worth = 2.0 * _inverse_trigamma(beyond)
    freedom_found = min(MOST_FREEDOM, worth)
    half = freedom_found / 2.0
    centre = float(logs.mean()) + digamma(half) - math.log(half)
    return CommonVariance(math.exp(centre), freedom_found)


def _inverse_trigamma(value: float) -> float:
    """Return x > 0 with ``trigamma(x) == value`` > 0, by bisection; at most 1e6."""
    low, high = 1e-3, 1e6
    if trigamma(high) >= value:
        return high
    while high - low > 1e-9 * high:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return high
