"""Probabilities of the classic distributions.

A dozen scalar functions are needed; SciPy, which is the oracle in their tests, would be a third of
the whole installation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

_TINY = 1e-300
_PRECISION = 1e-15
_NORMAL = NormalDist()


def normal_sf(z: float) -> float:
    """Return the probability that a standard normal variable exceeds `z`.

    Examples
    --------
    >>> round(normal_sf(1.959964), 6)
    0.025
    """
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def normal_quantile(level: float) -> float:
    """Return what a standard normal variable stays below with probability `level`, in (0, 1).

    Raises
    ------
    ValueError
        If `level` is not within (0, 1).
    """
    return _NORMAL.inv_cdf(level)


def logit(share: float) -> float:
    """Return the log-odds of a share in (0, 1)."""
    return math.log(share) - math.log1p(-share)


def expit(log_odds: float) -> float:
    """Return the share that has these log-odds."""
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def log_beta(a: float, b: float) -> float:
    """Return the logarithm of the beta function of two positive numbers.

    Examples
    --------
    >>> round(log_beta(2.0, 3.0), 6)  # 1 / 12
    -2.484907
    """
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def chi2_sf(freedom: float, x: float) -> float:
    """Return the probability that a chi-square variable exceeds `x`.

    The upper incomplete gamma function: its series below the mean, Legendre's continued fraction
    above (Numerical Recipes 6.2).

    Examples
    --------
    >>> round(chi2_sf(1, 3.841459), 6)
    0.05
    """
    a, half = freedom / 2.0, x / 2.0
    if half < a + 1.0:
        return max(0.0, 1.0 - _chi2_below(a, half))
    if math.isinf(half):
        return 0.0
    fraction = _fraction(half + 1.0 - a, lambda i: (-i * (i - a), half + 1.0 - a + 2.0 * i))
    return math.exp(a * math.log(half) - half - math.lgamma(a)) / fraction


def _chi2_below(a: float, half: float) -> float:
    """Return the lower incomplete gamma function by its series."""
    if half <= 0.0:
        return 0.0
    term = total = 1.0 / a
    n = a
    while term > total * _PRECISION:
        n += 1.0
        term *= half / n
        total += term
    return total * math.exp(a * math.log(half) - half - math.lgamma(a))


def chi2_isf(freedom: float, level: float) -> float:
    """Return what a chi-square variable exceeds with probability `level`, in (0, 1)."""
    if level > 0.5:  # the median lies below the mean, where the series holds
        return _where(lambda x: _chi2_below(freedom / 2.0, x / 2.0) > 1.0 - level, 0.0, freedom)
    return _where(lambda x: chi2_sf(freedom, x) < level, 0.0, max(1.0, freedom))


def f_sf(dfn: float, dfd: float, x: float) -> float:
    """Return the probability that an F variable exceeds `x`.

    Examples
    --------
    >>> round(f_sf(3, 10, 3.708265), 6)
    0.05
    """
    whole = dfd + dfn * x
    return _beta(dfd / 2.0, dfn / 2.0, dfd / whole, dfn * x / whole) if x > 0.0 else 1.0


def beta_sf(a: float, b: float, x: float) -> float:
    """Return the probability that a beta variable exceeds `x`, in [0, 1].

    Examples
    --------
    >>> round(beta_sf(2.0, 3.0, 0.5), 6)
    0.3125
    """
    return _beta(b, a, 1.0 - x, x)


def t_sf(freedom: float, t: float) -> float:
    """Return the probability that a Student variable exceeds `t`.

    Examples
    --------
    >>> round(t_sf(10, 2.228139), 6)
    0.025
    """
    whole = freedom + t * t
    beyond = 0.5 * _beta(freedom / 2.0, 0.5, freedom / whole, t * t / whole)
    return beyond if t >= 0.0 else 1.0 - beyond


@lru_cache(maxsize=4096)  # detectors ask for the same few at every tick
def t_quantile(freedom: float, level: float) -> float:
    """Return what a Student variable stays below with probability `level`, in (0, 1).

    Newton's method from the normal quantile, which is on the near side: the tail is convex, so that
    no step goes too far.
    """
    tail = min(level, 1.0 - level)
    t, step = -normal_quantile(tail), 1.0
    front = math.lgamma((freedom + 1.0) / 2.0) - math.lgamma(freedom / 2.0)
    while step > 1e-13 * t:
        density = math.exp(front - (freedom + 1.0) / 2.0 * math.log1p(t * t / freedom))
        step = (t_sf(freedom, t) - tail) * math.sqrt(freedom * math.pi) / density
        t += step
    return math.copysign(t, level - 0.5)


def kolmogorov_sf(x: float) -> float:
    """Return the probability that Kolmogorov's statistic exceeds `x`.

    Each of the two series converges in a few terms on its side of one.
    """
    if x < 0.04:
        return 1.0
    if x < 1.0:
        terms = (math.exp(-(((2 * k - 1) * math.pi / x) ** 2) / 8.0) for k in range(1, 6))
        return 1.0 - math.sqrt(2.0 * math.pi) / x * sum(terms)
    return 2.0 * sum(math.exp(-2.0 * (k * x) ** 2) * (1 if k % 2 else -1) for k in range(1, 6))


def kuiper_sf(x: float) -> float:
    """Return the probability that the limit of Kuiper's statistic exceeds `x` (Kuiper 1960).

    Examples
    --------
    >>> round(kuiper_sf(1.747), 3)
    0.05
    """
    if x < 0.4:  # 1 to within 1e-9
        return 1.0
    squares = [(k * x) ** 2 for k in range(1, 16)]
    tail = sum(2.0 * (4.0 * square - 1.0) * math.exp(-2.0 * square) for square in squares)
    return min(1.0, tail)


def _beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function (Numerical Recipes 6.4).

    `rest` is ``1 - x``, given so that it keeps its digits where x is close to 1.
    """
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, rest, x)
    if x <= 0.0:
        return 0.0

    def term(i: int) -> tuple[float, float]:
        m = i // 2
        if i % 2:
            return -(a + m) * (a + b + m) * x / ((a + i - 1) * (a + i)), 1.0
        return m * (b - m) * x / ((a + i - 1) * (a + i)), 1.0

    low = math.log(rest) if rest < x else math.log1p(-x)
    front = math.exp(a * math.log(x) + b * low - log_beta(a, b)) / a
    return front / _fraction(1.0, term)


def _fraction(first: float, term: Callable[[int], tuple[float, float]]) -> float:
    """Return ``first + a1 / (b1 + a2 / (b2 + ...))`` by Lentz's method."""
    value = c = first or _TINY
    d, change, i = 0.0, 0.0, 0
    while abs(change - 1.0) > _PRECISION:
        i += 1
        a, b = term(i)
        d = 1.0 / (b + a * d or _TINY)
        c = b + a / c or _TINY
        change = c * d
        value *= change
    return value


def _where(beyond: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a predicate turns true, to the last bit or nearly so."""
    while not beyond(high):
        low, high = high, high * 2.0
    while low < (middle := (low + high) / 2.0) < high:
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


def digamma(x: float) -> float:
    """Return the derivative of ``log(gamma(x))`` for x > 0.

    Recurrence up to 6, then the asymptotic series (Abramowitz & Stegun 6.3.18).

    Examples
    --------
    >>> round(digamma(1.0), 6)
    -0.577216
    """
    below = 0.0
    while x < 6.0:
        below -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    return below + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """Return the derivative of `digamma` for x > 0 (Abramowitz & Stegun 6.4.12).

    Examples
    --------
    >>> round(trigamma(1.0), 6)
    1.644934
    """
    below = 0.0
    while x < 6.0:
        below += 1.0 / (x * x)
        x += 1.0
    square = 1.0 / (x * x)
    series = 1 / 6 - square * (1 / 30 - square * (1 / 42 - square / 30))
    return below + 1.0 / x + square / 2.0 + square / x * series
