"""Probabilities of the classic distributions.

A dozen scalar functions are needed; SciPy, which is the oracle in their tests, would be a third of
the whole installation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
    if half <= 0.0:
        return 1.0
    if math.isinf(half):
        return 0.0
    log_front = a * math.log(half) - half - math.lgamma(a)
    if half < a + 1.0:
        term = total = 1.0 / a
        n = a
        while term > total * _PRECISION:
            n += 1.0
            term *= half / n
            total += term
        return max(0.0, 1.0 - total * math.exp(log_front))
    fraction = _fraction(half + 1.0 - a, lambda i: (-i * (i - a), half + 1.0 - a + 2.0 * i))
    return math.exp(log_front) / fraction


def chi2_isf(freedom: float, level: float) -> float:
    """Return what a chi-square variable exceeds with probability `level`, in (0, 1)."""
    return _where(lambda x: chi2_sf(freedom, x) < level, 0.0, max(1.0, freedom))


def f_sf(dfn: float, dfd: float, x: float) -> float:
    """Return the probability that an F variable exceeds `x`.

    Examples
    --------
    >>> round(f_sf(3, 10, 3.708265), 6)
    0.05
    """
    return _beta(dfd / 2.0, dfn / 2.0, dfd / (dfd + dfn * x)) if x > 0.0 else 1.0


def t_sf(freedom: float, t: float) -> float:
    """Return the probability that a Student variable exceeds `t`.

    Examples
    --------
    >>> round(t_sf(10, 2.228139), 6)
    0.025
    """
    beyond = 0.5 * _beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
    return beyond if t >= 0.0 else 1.0 - beyond


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


def _beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function (Numerical Recipes 6.4)."""
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, 1.0 - x)
    if x <= 0.0:
        return 0.0

    def term(i: int) -> tuple[float, float]:
        m = i // 2
        if i % 2:
            return -(a + m) * (a + b + m) * x / ((a + i - 1) * (a + i)), 1.0
        return m * (b - m) * x / ((a + i - 1) * (a + i)), 1.0

    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
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
