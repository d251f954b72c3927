"""Confidence intervals. NaN bounds where there is too little data for any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from homeostat.stats import special

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """Two-sided bounds."""

    lower: float
    upper: float

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


def normal(estimate: float, error: float, level: float = 0.95) -> Interval:
    """Return ``estimate ± z * error``.

    Examples
    --------
    >>> interval = normal(0.0, 1.0)
    >>> round(interval.lower, 2), round(interval.upper, 2)
    (-1.96, 1.96)
    """
    reach = special.normal_quantile((1.0 + level) / 2.0) * error
    return Interval(estimate - reach, estimate + reach)


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Return Wilson's (1927) score interval of a share; sound for small `n` and shares of 0 or 1.

    Of weighted rows both may be fractions: effective numbers.

    Examples
    --------
    >>> interval = wilson(0, 10)
    >>> interval.lower, round(interval.upper, 4)
    (0.0, 0.2775)
    """
    if not n:
        return Interval(NAN, NAN)
    z = special.normal_quantile((1.0 + level) / 2.0)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2))
    lower = 0.0 if successes == 0 else centre - reach
    return Interval(lower, 1.0 if successes == n else centre + reach)


def poisson(count: float, level: float = 0.95) -> Interval:
    """Return Garwood's (1936) exact interval of the mean of a Poisson count.

    Of a fraction, as of a count divided by its over-dispersion, the same formula by chi-squared.

    Examples
    --------
    >>> interval = poisson(0)
    >>> interval.lower, round(interval.upper, 4)
    (0.0, 3.6889)
    """
    tail = (1.0 - level) / 2.0
    lower = special.chi2_isf(2.0 * count, 1.0 - tail) / 2.0 if count else 0.0
    return Interval(lower, special.chi2_isf(2.0 * count + 2.0, tail) / 2.0)
