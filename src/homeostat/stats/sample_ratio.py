"""Whether entities were split as they should have been: before anything else is believed.

A split that is off says that arms differ in more than the treatment (a crash before the log, a
redirect, a cache), and no adjustment afterwards mends that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from homeostat.stats.mixtures import log_multinomial
from homeostat.stats.significance import NOTHING, Significance
from homeostat.stats.special import chi2_sf


def fixed_sample_ratio(counts: Sequence[float], shares: Sequence[float]) -> Significance:
    """Test counts against the planned shares, once (Pearson's chi-squared).

    Parameters
    ----------
    counts : sequence of float, shape (k,)
        Entities of each arm.
    shares : sequence of float, shape (k,)
        Positive; scaled to sum to 1.

    Examples
    --------
    >>> f"{fixed_sample_ratio([600, 400], [0.5, 0.5]).p_value:.3g}"
    '2.54e-10'
    """
    expected = _expected(counts, shares)
    if not expected or len(counts) < 2:
        return NOTHING
    statistic = math.fsum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))
    dof = len(counts) - 1
    return Significance(statistic, chi2_sf(dof, statistic), dof)


def sample_ratio(
    counts: Sequence[float], shares: Sequence[float], concentration: float = 100.0
) -> Significance:
    """Test counts against the planned shares, as often as one likes.

    The statistic is the logarithm of the e-value (`mixtures.log_multinomial`), the p-value its
    inverse: the probability that it ever falls to alpha while the split is right is at most alpha.
    Entities must come in independently of each other and keep their arm. Parameters as in
    `fixed_sample_ratio`.

    Examples
    --------
    >>> round(sample_ratio([45_100, 44_900], [0.5, 0.5]).p_value, 3)
    1.0
    >>> sample_ratio([46_000, 44_000], [0.5, 0.5]).p_value < 1e-6
    True
    """
    expected = _expected(counts, shares)
    if not expected or len(counts) < 2:
        return NOTHING
    rows = math.fsum(counts)
    log = log_multinomial(counts, [e / rows for e in expected], concentration)
    return Significance(log, math.exp(min(0.0, -log)))


def _expected(counts: Sequence[float], shares: Sequence[float]) -> list[float]:
    if len(counts) != len(shares) or not all(share > 0.0 for share in shares):
        raise ValueError("give each arm one count and one positive share")
    rows, whole = math.fsum(counts), math.fsum(shares)
    return [rows * share / whole for share in shares] if rows > 0.0 else []
