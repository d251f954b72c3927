"""Conformal p-values: how strange a score is beside the scores of healthy rows.

The p-value is the rank of a score among the calibration scores, the highest being the strangest. It
is valid for any score and any distribution as long as the new row and the calibration rows could
have come in any order. A `Jumper` bets on a stream of such p-values and so finds when that stopped.

For exact evidence over time take `online_p_values`, where each row is ranked among those before it:
these are independent. Those of `p_values` share one calibration sample and with it its error; bets
multiply that up, so let the sample be larger than the stream that is judged between two refreshes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_SLOPES = (-1.0, 0.0, 1.0)


def p_values(
    calibration: ArrayLike, scores: ArrayLike, rng: np.random.Generator | None = None
) -> FloatArray:
    """Rank each score among calibration scores.

    Parameters
    ----------
    calibration : array_like
        Shape (n,): scores of healthy rows that the score was not trained on. NaN are left out.
    scores : array_like
        Shape (m,): higher is stranger; infinite is allowed.
    rng : numpy.random.Generator, optional
        Breaks ties at random, the new row's with itself included: then the p-values are exactly
        uniform (Vovk, Gammerman & Shafer, *Algorithmic Learning in a Random World*, 2005, section
        2.6). Without it ties count in full and the p-values are at least uniform.

    Returns
    -------
    ndarray of float64, shape (m,)
        ``(1 + #{calibration >= score}) / (n + 1)`` without `rng`, in (0, 1]; NaN for a NaN score.

    Examples
    --------
    >>> p_values([0.1, 0.4, 0.2, 0.3], [0.25, 9.0, 0.0, float("nan")]).tolist()
    [0.6, 0.2, 1.0, nan]
    """
    known = np.asarray(calibration, dtype=np.float64)
    return weighted_p_values(known, np.ones_like(known), scores, np.ones(np.shape(scores)), rng)


def weighted_p_values(
    calibration: ArrayLike,
    calibration_weights: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """Rank each score among calibration scores of another mix of rows.

    With weights proportional to the density ratio of new rows to calibration rows a shift of the
    covariates is forgiven, and only scores that are strange for such rows are found (Tibshirani,
    Barber, Candès & Ramdas, "Conformal prediction under covariate shift", NeurIPS 2019).

    Parameters
    ----------
    calibration, calibration_weights : array_like
        Shape (n,): scores and weights of healthy rows. NaN scores are left out.
    scores, weights : array_like
        Shape (m,): scores and weights of new rows.
    rng : numpy.random.Generator, optional
        Breaks ties at random, as in `p_values`.

    Returns
    -------
    ndarray of float64, shape (m,)
        ``(w + sum of weights of calibration >= score) / (w + sum of weights)`` without `rng`; 0
        only for a weight w of 0; NaN for a NaN score and where no weight is positive.

    Raises
    ------
    ValueError
        If shapes differ or a weight is negative, NaN or infinite.

    Examples
    --------
    >>> weighted_p_values([0.1, 0.4], [3.0, 1.0], [0.3, 0.3], [1.0, 0.0]).tolist()
    [0.4, 0.25]
    """
    known, held = _weighted(calibration, calibration_weights)
    new, own = _weighted(scores, weights)
    kept = ~np.isnan(known)
    order = np.argsort(known[kept], kind="stable")
    ordered = known[kept][order]
    below = np.concatenate(([0.0], np.cumsum(held[kept][order])))
    total = below[-1]
    above = total - below[np.searchsorted(ordered, new, "right")]
    tied = total - below[np.searchsorted(ordered, new, "left")] - above + own
    if rng is not None:
        tied = tied * (1.0 - rng.random(new.shape))  # in (0, 1], so that no p-value is 0
    all_of_it = np.where(np.isnan(new), 0.0, total + own)
    ranked = np.full_like(new, np.nan)
    np.divide(above + tied, all_of_it, out=ranked, where=all_of_it > 0.0)
    return np.minimum(ranked, 1.0)


def online_p_values(scores: ArrayLike, rng: np.random.Generator) -> FloatArray:
    """Rank each score among itself and those before it.

    Independent and uniform as long as the rows could have come in any order: nothing has to be
    known beforehand, and a change is seen against all that went before (Vovk, Nouretdinov &
    Gammerman, "Testing exchangeability on-line", ICML 2003).

    Parameters
    ----------
    scores : array_like
        Shape (n,), in order of time; higher is stranger.
    rng : numpy.random.Generator
        Breaks ties.

    Returns
    -------
    ndarray of float64, shape (n,)
        In (0, 1]; NaN for a NaN score, which later ones are not ranked among.

    Examples
    --------
    >>> import numpy as np
    >>> online_p_values([1.0, 2.0, 3.0], np.random.default_rng(0)).round(2).tolist()
    [0.36, 0.37, 0.32]
    """
    stream = np.asarray(scores, dtype=np.float64)
    shares = 1.0 - rng.random(stream.shape)
    seen: list[float] = []
    ranked = np.full_like(stream, np.nan)
    for index, (score, share) in enumerate(zip(stream.tolist(), shares.tolist(), strict=True)):
        if math.isnan(score):
            continue
        insort(seen, score)
        upper = bisect_right(seen, score)
        tied = upper - bisect_left(seen, score)
        ranked[index] = (len(seen) - upper + share * tied) / len(seen)
    return ranked


@dataclass(frozen=True, slots=True)
class Jumper:
    """State of a conformal test martingale: capital that grows when p-values stop being uniform.

    Three bets ``1 + s (p - 1/2)`` with s of -1 (on small p-values), 0 and 1 (on large ones); after
    each p-value a share of their capital is spread over all three, so that the martingale follows
    when what is strange changes (the Simple Jumper of Vovk, Petej, Nouretdinov, Ahlberg, Carlsson &
    Gammerman, "Retrain or not retrain: conformal test martingales for change-point detection",
    COPA 2021).

    While p-values are independent and uniform the capital ever reaches A with probability at most
    1 / A. For a run length instead, feed the factor of each step, ``growth``, to
    `homeostat.stats.evidence.shiryaev_roberts`.

    Attributes
    ----------
    shares : tuple of three floats
        How the capital is spread.
    log_capital : float
        Its natural logarithm; 0 at the start.
    growth : float
        Factor of the last step: an e-value given everything before it.
    """

    shares: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    log_capital: float = 0.0
    growth: float = 1.0


def jump(state: Jumper, p_value: float, rate: float = 0.01) -> Jumper:
    """Bet on the next p-value.

    Parameters
    ----------
    state : Jumper
    p_value : float
        In [0, 1]; a NaN, no test, moves no capital.
    rate : float
        In [0, 1]: share of the capital that is spread anew at each step.

    Raises
    ------
    ValueError
        If the p-value or the rate is outside [0, 1].

    Examples
    --------
    >>> state = Jumper()
    >>> for p_value in [0.01] * 20:
    ...     state = jump(state, p_value)
    >>> round(math.exp(state.log_capital))
    869
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"a rate lies in [0, 1], not {rate}")
    if math.isnan(p_value):
        return Jumper(state.shares, state.log_capital)
    if not 0.0 <= p_value <= 1.0:
        raise ValueError(f"a p-value lies in [0, 1], not {p_value}")
    low, level, high = (
        (share * (1.0 - rate) + rate / 3.0) * (1.0 + slope * (p_value - 0.5))
        for share, slope in zip(state.shares, _SLOPES, strict=True)
    )
    growth = low + level + high
    shares = (low / growth, level / growth, high / growth)
    return Jumper(shares, state.log_capital + math.log(growth), growth)


def martingale(p_values: ArrayLike, rate: float = 0.01) -> FloatArray:
    """Return the log-capital of a `Jumper` after each p-value.

    Parameters
    ----------
    p_values : array_like
        Shape (n,), in order of time, from `online_p_values` or smoothed `p_values`.
    rate : float
        As in `jump`.

    Examples
    --------
    >>> martingale([0.5, 0.5]).tolist(), martingale([0.0] * 40)[-1].round(1).tolist()
    ([0.0, 0.0], 14.9)
    """
    state = Jumper()
    stream = np.asarray(p_values, dtype=np.float64)
    path = np.empty_like(stream)
    for index, p_value in enumerate(stream.tolist()):
        state = jump(state, p_value, rate)
        path[index] = state.log_capital
    return path


def _weighted(scores: ArrayLike, weights: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(scores, dtype=np.float64)
    masses = np.asarray(weights, dtype=np.float64)
    if values.shape != masses.shape or values.ndim != 1:
        raise ValueError(f"one weight a score, not {masses.shape} for {values.shape}")
    if not bool(np.all(np.isfinite(masses) & (masses >= 0.0))):
        raise ValueError("weights are finite and never negative")
    return values, masses
