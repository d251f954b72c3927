"""Which of two classifiers is right more often on the same rows: only those that differ tell.

Of `n` rows, `b` are those that the first alone got right and `c` those that the second alone did;
under "equally often right" each of the ``b + c`` is a fair coin.
"""

from __future__ import annotations

import math

from homeostat.stats.exact_null import binomial
from homeostat.stats.mixtures import log_coin
from homeostat.stats.significance import NOTHING, Significance
from homeostat.stats.special import chi2_sf


def mcnemar(b: int, c: int, *, corrected: bool = False) -> Significance:
    """Test whether two classifiers are right equally often (McNemar 1947), for 25 and more.

    Parameters
    ----------
    b, c : int
        Rows that only the first, and only the second, got right.
    corrected : bool
        For continuity (Edwards 1948).

    Examples
    --------
    >>> round(mcnemar(86, 150).statistic, 3), round(mcnemar(86, 150, corrected=True).statistic, 3)
    (17.356, 16.818)
    """
    if not _checked(b, c):
        return NOTHING
    gap = max(0.0, abs(b - c) - (1.0 if corrected else 0.0))
    statistic = gap * gap / (b + c)
    return Significance(statistic, chi2_sf(1.0, statistic), 1)


def mcnemar_exact(b: int, c: int) -> Significance:
    """Test as `mcnemar` does, by the binomial distribution: exact at any size, two-sided.

    The statistic is the smaller of the two counts.

    Examples
    --------
    >>> f"{mcnemar_exact(86, 150).p_value:.4g}"
    '3.716e-05'
    """
    if not _checked(b, c):
        return NOTHING
    fewer = min(b, c)
    lowest, probabilities = binomial(b + c, 0.5)
    tail = float(probabilities[: max(0, fewer - lowest + 1)].sum())
    return Significance(float(fewer), min(1.0, 2.0 * tail))


def discordant_e(better: int, worse: int) -> float:
    """Return the e-value for "the challenger is right more often", whenever one looks.

    A likelihood averaged over all coins that favour the challenger, against those that do not: at
    1 / alpha and more it may be promoted, and that happens with probability alpha at most however
    often one looks. Order by arrival of labels only if being right does not depend on the delay.

    Parameters
    ----------
    better, worse : int
        Rows that only the challenger, and only the champion, got right.

    Examples
    --------
    >>> round(discordant_e(15, 5), 5), discordant_e(0, 0)
    (6.35552, 1.0)
    """
    _checked(better, worse)
    return math.exp(min(log_coin(better, worse, one_sided=True), 600.0))


def _checked(b: int, c: int) -> int:
    if b < 0 or c < 0:
        raise ValueError(f"counts are never negative: {b} and {c}")
    return b + c
