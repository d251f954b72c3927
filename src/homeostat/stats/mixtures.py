"""Evidence that may be looked at after every row: likelihood ratios averaged over alternatives.

Under the null such an average is a non-negative martingale that begins at 1. So the probability
that it *ever* reaches ``1 / alpha`` is at most alpha (Ville's inequality), and the values that it
does not refute are an interval that holds at all times at once.

All take the moment they are to be sharpest for, `tuned_for`; choose it before the first row. Little
is lost up to ten times more or less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.special import beta_sf, log_beta, normal_sf

_STEPS = 60


def normal_prior(tuned_for: float, alpha: float = 0.05, *, one_sided: bool = False) -> float:
    """Return the prior weight that makes a normal mixture narrowest at an intrinsic time.

    ``v / (2 ln(1 / alpha) + ln(1 + 2 ln(1 / alpha)))``, with twice the alpha if one-sided (Howard,
    Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
    Annals of Statistics 2021, section 3.6).

    Examples
    --------
    >>> round(normal_prior(100.0), 5)
    12.60056
    """
    level = 2.0 * alpha if one_sided else alpha
    if not 0.0 < level < 1.0:
        raise ValueError(f"an error rate lies in (0, 1), below 1/2 if one-sided, not {alpha}")
    if not tuned_for > 0.0:
        raise ValueError(f"tune for a positive number of rows, not {tuned_for}")
    twice = -2.0 * math.log(level)
    return tuned_for / (twice + math.log1p(twice))


def log_normal_mixture(
    total: float, time: float, prior: float, *, one_sided: bool = False
) -> float:
    """Return the logarithm of the e-value of a sum of sub-Gaussian rows against a mean of 0.

    Robbins' mixture over normal alternatives (Howard et al. 2021, propositions 5 and 6).

    Parameters
    ----------
    total : float
        Sum of the rows so far, less what the null expects.
    time : float
        Sum of their variances (intrinsic time), at least 0.
    prior : float
        From `normal_prior`.
    one_sided : bool
        Against means above 0 only, which the null takes to be at most 0.

    Examples
    --------
    >>> round(log_normal_mixture(10.0, 100.0, normal_prior(100.0)), 5)
    -0.65101
    """
    whole = time + prior
    log = 0.5 * math.log(prior / whole) + total * total / (2.0 * whole)
    if not one_sided:
        return log
    z = total / math.sqrt(whole)
    if z > -30.0:
        return log + math.log(2.0 * normal_sf(-z))
    # The tail leaves float64; its asymptotic series takes over (Abramowitz & Stegun 26.2.12).
    square = 1.0 / (z * z)
    series = 1.0 - square * (1.0 - 3.0 * square * (1.0 - 5.0 * square))
    return log + math.log(2.0 * series) - z * z / 2.0 - math.log(-z * math.sqrt(2.0 * math.pi))


def normal_bound(time: float, alpha: float, prior: float, *, one_sided: bool = False) -> float:
    """Return how large the sum can be before the mixture refutes a mean of 0.

    Parameters as in `log_normal_mixture`; the probability of ever exceeding it is at most `alpha`.

    Examples
    --------
    >>> round(normal_bound(100.0, 0.05, normal_prior(100.0)), 5)
    30.35209
    """
    whole = time + prior
    two_sided = math.sqrt(whole * (math.log(whole / prior) - 2.0 * math.log(alpha)))
    if not one_sided:
        return two_sided
    wanted = -math.log(alpha)

    def refuted(total: float) -> bool:
        return log_normal_mixture(total, time, prior, one_sided=True) >= wanted

    return edge(refuted, two_sided, 0.0)


def log_multinomial(
    counts: Sequence[float], shares: Sequence[float], concentration: float = 100.0
) -> float:
    """Return the logarithm of the e-value of counts against fixed shares.

    The likelihood averaged over a Dirichlet prior around the shares, over the likelihood at the
    shares (Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022).

    Parameters
    ----------
    counts : sequence of float, shape (k,)
        At least 0.
    shares : sequence of float, shape (k,)
        Positive, of sum 1.
    concentration : float
        Weight of the prior in rows: large if small deviations are to be found late.

    Raises
    ------
    ValueError
        If the shares are none, or there is not one a count.

    Examples
    --------
    >>> round(math.exp(log_multinomial([600, 400], [0.5, 0.5])))
    26667080
    """
    if len(counts) != len(shares) or not all(share > 0.0 for share in shares):
        raise ValueError("give each count a positive share")
    if abs(math.fsum(shares) - 1.0) > 1e-9 or not concentration > 0.0:
        raise ValueError("shares sum to 1 and a concentration is positive")
    log = math.lgamma(concentration) - math.lgamma(concentration + math.fsum(counts))
    for count, share in zip(counts, shares, strict=True):
        prior = concentration * share
        log += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return log


def share_concentration(tuned_for: float, alpha: float = 0.05) -> float:
    """Return the concentration that makes `share_interval` narrowest after so many rows."""
    return max(normal_prior(tuned_for, alpha) - 1.0, 1e-3)


def share_interval(
    successes: float, n: float, level: float = 0.95, tuned_for: float = 1000.0
) -> Interval:
    """Bound the share behind `n` rows of 0 and 1; exact at any size and any time.

    The shares that `log_multinomial` does not refute, with a prior around each of them (Howard,
    Ramdas, McAuliffe & Sekhon 2021, as in their `confseq`). Narrower near `tuned_for` than
    `homeostat.stats.sequences.proportion`, whose prior is the same for all shares.

    Returns
    -------
    Interval
        Within [0, 1]; NaN bounds without rows.

    Examples
    --------
    >>> interval = share_interval(700, 1000, tuned_for=100)
    >>> round(interval.lower, 6), round(interval.upper, 6)
    (0.65163, 0.74595)
    """
    if not 0.0 <= successes <= n:
        raise ValueError(f"{successes} of {n} rows is no share")
    if not n:
        return Interval(NAN, NAN)
    alpha = 1.0 - level
    weight, wanted = share_concentration(tuned_for), -math.log(alpha)

    def refuted(share: float) -> bool:
        if not 0.0 < share < 1.0:
            return True
        counts = (successes, n - successes)
        return log_multinomial(counts, (share, 1.0 - share), weight) >= wanted

    best = successes / n
    return Interval(
        edge(refuted, 0.0, best) if successes else 0.0,
        edge(refuted, 1.0, best) if successes < n else 1.0,
    )


def log_coin(wins: float, losses: float, *, one_sided: bool = False) -> float:
    """Return the logarithm of the e-value of wins and losses against a fair coin.

    The likelihood averaged over all coins, or over those that win more often than not:
    ``2 * 2**(w + l) * B(w + 1, l + 1) * P(Beta(w + 1, l + 1) > 1/2)``.

    Examples
    --------
    >>> round(math.exp(log_coin(15, 5, one_sided=True)), 5)
    6.35552
    """
    log = (wins + losses) * math.log(2.0) + log_beta(wins + 1.0, losses + 1.0)
    if not one_sided:
        return log
    above = beta_sf(wins + 1.0, losses + 1.0, 0.5)
    return log + math.log(2.0 * above) if above > 0.0 else -math.inf


def edge(refuted: Callable[[float], bool], outside: float, inside: float) -> float:
    """Return where values begin to be refuted, from the outer side."""
    for _ in range(_STEPS):
        middle = (outside + inside) / 2.0
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside
