"""Evidence that stays valid however often it is looked at: e-values, e-detectors and bets.

An e-value is a non-negative number whose expectation is at most 1 as long as nothing is wrong; a
large one is evidence, in the sense of a bet against "nothing is wrong" that paid off. E-values of
successive windows multiply, which p-values do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.multiple import e_bh

__all__ = [
    "FRACTIONS",
    "Bets",
    "FloatArray",
    "bet",
    "cusum",
    "e_bh",
    "e_to_p",
    "log_growth",
    "mixture",
    "p_to_e",
    "p_to_e_power",
    "p_to_e_shafer",
    "shiryaev_roberts",
]

FloatArray = NDArray[np.float64]

FRACTIONS = (0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.75)
"""Shares of the largest safe stake; each bet is tried and the capital is their average."""

_LOG_MAX = 600.0  # exp() of it is still finite, with room for sums


def p_to_e(p_value: float) -> float:
    """Turn a p-value into an e-value, without a parameter to tune.

    The average over kappa in (0, 1) of the calibrators ``kappa * p ** (kappa - 1)``, that is
    ``(1 - p + p ln p) / (p (ln p)^2)`` (Vovk & Wang, "E-values: calibration, combination and
    applications", Annals of Statistics 2021). It is decreasing, 1/2 at p = 1, infinite at p = 0.

    Parameters
    ----------
    p_value : float
        In [0, 1]; NaN stands for "no test was possible" and gives 1, no evidence either way.

    Raises
    ------
    ValueError
        If the p-value is outside [0, 1].

    Examples
    --------
    >>> round(p_to_e(1e-4)), round(p_to_e(0.5), 2), p_to_e(1.0)
    (118, 0.64, 0.5)
    """
    if _no_test(p_value):
        return 1.0
    if p_value == 0.0:
        return math.inf
    log = min(-math.log(p_value), _LOG_MAX)
    if log < 1e-4:  # the closed form is 0 / 0 at p = 1
        return 0.5 + log / 6.0
    return (math.expm1(log) - log) / log**2


def p_to_e_power(p_value: float, kappa: float) -> float:
    """Turn a p-value into an e-value, with a bet on how small it will be.

    ``kappa * p ** (kappa - 1)``, the family that `p_to_e` averages (Vovk & Wang 2021; already
    Vovk, "A logic of probability", JRSS-B 1993). Best near ``kappa = -1 / ln p``: a small kappa
    bets on tiny p-values.

    Parameters
    ----------
    p_value : float
        In [0, 1]; NaN gives 1, 0 gives infinity.
    kappa : float
        In (0, 1), chosen before the p-value is seen.

    Raises
    ------
    ValueError
        If the p-value or kappa is out of range.

    Examples
    --------
    >>> round(p_to_e_power(1e-4, kappa=0.1)), round(p_to_e_power(1e-4, kappa=0.5))
    (398, 50)
    """
    if not 0.0 < kappa < 1.0:
        raise ValueError(f"kappa lies in (0, 1), not {kappa}")
    if _no_test(p_value):
        return 1.0
    return math.inf if p_value == 0.0 else kappa * p_value ** (kappa - 1.0)


def p_to_e_shafer(p_value: float) -> float:
    """Turn a p-value into an e-value by ``1 / sqrt(p) - 1``.

    Shafer, "Testing by betting", JRSS-A 2021. Twice the `p_to_e_power` of 1/2 less 1: more for
    small p-values, all capital lost at p = 1. Never multiply it up over time for that reason;
    averages and sums of it are fine.

    Parameters
    ----------
    p_value : float
        In [0, 1]; NaN gives 1, 0 gives infinity.

    Raises
    ------
    ValueError
        If the p-value is outside [0, 1].

    Examples
    --------
    >>> round(p_to_e_shafer(1e-4)), p_to_e_shafer(0.25), p_to_e_shafer(1.0)
    (99, 1.0, 0.0)
    """
    if _no_test(p_value):
        return 1.0
    return math.inf if p_value == 0.0 else p_value**-0.5 - 1.0


def e_to_p(e_value: float) -> float:
    """Turn an e-value into a p-value: ``min(1, 1 / e)``, by Markov's inequality.

    The only admissible way (Vovk & Wang 2021). The largest value so far of an e-process may be
    turned too (Ville's inequality): a p-value that is valid at any time.

    Parameters
    ----------
    e_value : float
        Never negative; infinite gives 0, NaN ("no test") gives NaN.

    Raises
    ------
    ValueError
        If the e-value is negative.

    Examples
    --------
    >>> e_to_p(20.0), e_to_p(0.3)
    (0.05, 1.0)
    """
    if e_value < 0.0:
        raise ValueError(f"an e-value is never negative: {e_value}")
    return math.nan if math.isnan(e_value) else 1.0 / max(e_value, 1.0)


def shiryaev_roberts(evidence: float, e_value: float, start: float = 1.0) -> float:
    """Update an e-detector: ``(evidence + start) * e_value``.

    A bet is started at every evaluation and all are kept, so the sum is large soon after a change
    whenever it happens. While nothing is wrong the expected evidence after t evaluations is at most
    t, hence the expected number of evaluations until it first reaches A is at least A (Shin, Ramdas
    & Rinaldo, "E-detectors", New England Journal of Statistics in Data Science 2023).

    Parameters
    ----------
    evidence : float
        So far; 0 before the first evaluation.
    e_value : float
        Of this evaluation, valid given everything before it.
    start : float
        Capital of the bet that begins now. Giving elapsed time in units of the schedule makes the
        guarantee one in time, independent of how often evaluations happen.

    Examples
    --------
    >>> shiryaev_roberts(shiryaev_roberts(0.0, 0.5), 8.0)
    12.0
    """
    return (evidence + start) * e_value


def cusum(evidence: float, e_value: float, start: float = 1.0) -> float:
    """Update a CUSUM of e-values: ``max(evidence, start) * e_value``.

    Of all the bets that `shiryaev_roberts` starts and adds up, the best one. It is never larger, so
    the expected number of evaluations until it reaches A is at least A too, in fact a good deal
    more; it reaches a given A later (Shin, Ramdas & Rinaldo 2023, where both are e-detectors; the
    scheme is Page's of 1954, with an e-value in place of a likelihood ratio). Its logarithm rises
    from the moment of change, which therefore is when it was last at most `start`.

    Parameters
    ----------
    evidence : float
        So far; 0 before the first evaluation.
    e_value : float
        Of this evaluation, valid given everything before it.
    start : float
        Capital of the bet that may begin now.

    Examples
    --------
    >>> cusum(cusum(0.0, 0.5), 8.0), shiryaev_roberts(shiryaev_roberts(0.0, 0.5), 8.0)
    (8.0, 12.0)
    """
    return max(evidence, start) * e_value


def log_growth(observations: ArrayLike, mean: ArrayLike) -> FloatArray:
    """Log-factors by which bets on "the mean is above `mean`" have grown.

    Bet j stakes the share f_j of its capital that is safe: each observation x in [0, 1] multiplies
    it by ``1 + f_j (x / mean - 1)``, whose expectation is at most 1 as long as the mean, given the
    past, is at most `mean` (Waudby-Smith & Ramdas, "Estimating means of bounded random variables by
    betting", JRSS-B 2024).

    Parameters
    ----------
    observations : array_like
        Shape (n,), in [0, 1].
    mean : float or array_like
        Largest mean that is still fine, in (0, 1]; shape (n,) where it differs between rows.

    Returns
    -------
    ndarray
        Shape (len(FRACTIONS),), natural logarithms.

    Raises
    ------
    ValueError
        If `mean` or an observation is out of range or NaN.
    """
    means = np.asarray(mean, dtype=np.float64)
    if not bool(np.all((means > 0.0) & (means <= 1.0))):
        raise ValueError(f"the mean under test lies in (0, 1], not {mean!r}")
    values = np.asarray(observations, dtype=np.float64)
    if not bool(np.all((values >= 0.0) & (values <= 1.0))):
        raise ValueError("bets need observations in [0, 1]")
    stakes = np.asarray(FRACTIONS)[:, None]
    growth: FloatArray = np.log1p(stakes * (values / means - 1.0)).sum(axis=1)
    return growth


@dataclass(frozen=True, slots=True)
class Bets:
    """Capital of the bets of one e-detector; the evidence is their average.

    ``capital`` has one entry for each of `FRACTIONS`.
    """

    capital: tuple[float, ...] = (0.0,) * len(FRACTIONS)

    @property
    def evidence(self) -> float:
        """Average capital: the e-detector's value."""
        return math.fsum(self.capital) / len(self.capital)


def bet(bets: Bets, growth: FloatArray, start: float, cap: float) -> Bets:
    """Start new bets with capital `start`, then let all grow.

    Parameters
    ----------
    bets : Bets
    growth : ndarray
        From `log_growth`: one log-factor a bet, of all observations since the last call.
    start : float
        Capital that enters now, such as the time since the last call in units of the schedule: then
        the expected evidence is at most the time that passed and the expected time until it reaches
        A is at least A, though it is called with one row or with a thousand.
    cap : float
        Largest capital a bet may keep, so that recovery does not take as long as the failure
        lasted. Capping only lowers evidence and costs no validity.

    Examples
    --------
    >>> after = bet(Bets(), log_growth([0.9, 0.8, 1.0], mean=0.1), start=1.0, cap=1e4)
    >>> after.evidence > 20
    True
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(bets.capital) + start) + growth
    grown = np.minimum(np.exp(np.minimum(logs, _LOG_MAX)), cap)
    return Bets(tuple(float(value) for value in grown))


def mixture(logs: tuple[float, ...]) -> float:
    """Average of capitals given as logarithms, at most about 1e260.

    Examples
    --------
    >>> mixture((0.0, 0.0))
    1.0
    """
    return math.fsum(math.exp(min(value, _LOG_MAX)) for value in logs) / len(logs)


def _no_test(p_value: float) -> bool:
    """Return whether there was no test; raise if this is no p-value at all."""
    if math.isnan(p_value):
        return True
    if not 0.0 <= p_value <= 1.0:
        raise ValueError(f"a p-value lies in [0, 1], not {p_value}")
    return False
