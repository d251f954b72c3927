"""Confidence intervals. NaN bounds where there is too little data for any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def mean(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Return Student's interval of the mean; needs two values.

    Examples
    --------
    >>> import numpy as np
    >>> interval = mean(np.array([1.0, 2.0, 3.0]))
    >>> round(interval.lower, 3), round(interval.upper, 3)
    (-0.484, 4.484)
    """
    if values.size < 2:
        return Interval(NAN, NAN)
    error = float(values.std(ddof=1)) / float(np.sqrt(values.size))
    reach = special.t_quantile(values.size - 1, (1.0 + level) / 2.0) * error
    centre = float(values.mean())
    return Interval(centre - reach, centre + reach)


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    n: int,
    rng: np.random.Generator,
    resamples: int = 400,
    level: float = 0.95,
) -> Interval:
    """Return the percentile bootstrap interval (Efron 1979).

    Parameters
    ----------
    statistic : callable
        Of the row numbers of a resample, so that several arrays can be resampled together.
        Resamples where it is NaN (one class only) are left out.
    n : int
        Rows.
    rng : numpy.random.Generator
    resamples : int
    level : float
        In (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(100.0)
    >>> interval = bootstrap(lambda rows: float(np.median(x[rows])), 100, np.random.default_rng(0))
    >>> 49.5 in interval
    True
    """
    if not n:
        return Interval(NAN, NAN)
    drawn = np.array([statistic(rng.integers(0, n, n)) for _ in range(resamples)])
    return percentile(drawn, level)


def percentile(drawn: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Return the percentile interval of bootstrap values; NaN among them are left out.

    Examples
    --------
    >>> interval = percentile(np.arange(101.0), level=0.9)
    >>> round(interval.lower), round(interval.upper)
    (5, 95)
    """
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Interval(NAN, NAN)
    lower, upper = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]).tolist()
    return Interval(lower, upper)
