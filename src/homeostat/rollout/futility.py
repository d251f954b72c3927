"""Whether waiting for proof still makes sense: conditional power of the paired comparison.

A challenger that is as good as the champion, and no better, never proves anything and never does
harm either: without this it would occupy the rollout until its patience ends. Stopping early can
only end a rollout, never promote one, so it costs no part of the error rate.
"""

from __future__ import annotations

import math

import numpy as np

from homeostat.stats.paired import STRENGTHS, SURE, SignBets
from homeostat.stats.special import normal_sf

FEWEST_BLOCKS = 10
STANDARD_ERRORS = 2.0
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


def chance_of_proof(
    bets: SignBets, mean: float, remaining: int, needed: float, sure: float = SURE
) -> float:
    """Return how probable it is that bets on blocks still reach a capital, at best.

    The blocks to come are taken to be as good as what was seen allows: of the mean at the upper end
    of its interval (two standard errors), and normal. The logarithm of the capital then is a random
    walk, whose chance to reach a line within so many steps is that of a Brownian motion with
    drift (Siegmund, "Sequential Analysis", 1985, eq. 3.14). Of the bets, that with the best chance.

    Parameters
    ----------
    bets : SignBets
    mean : float
        Of the blocks' means so far.
    remaining : int
        Blocks to come.
    needed : float
        Capital that a bet has to reach.
    sure : float
        Of `homeostat.stats.paired`: a mean above it may be proven by rows too, and is not given up.

    Returns
    -------
    float
        In [0, 1]; 1 with fewer than `FEWEST_BLOCKS` blocks, which tell too little.

    Examples
    --------
    >>> from homeostat.stats.paired import bet_on_sign
    >>> even = SignBets()
    >>> for mean in [0.02, -0.02] * 15:
    ...     even = bet_on_sign(even, mean)
    >>> chance_of_proof(even, 0.0, remaining=200, needed=40.0) > 0.5
    True
    >>> chance_of_proof(even, 0.0, remaining=10, needed=40.0) < 0.01
    True
    """
    if bets.blocks < FEWEST_BLOCKS:
        return 1.0
    variance = max(bets.squares / bets.blocks - mean * mean, 0.0)
    upper = mean + STANDARD_ERRORS * math.sqrt(variance / bets.blocks)
    if upper > sure or needed <= 1.0:
        return 1.0
    size = math.sqrt(variance + upper * upper)
    if size == 0.0:  # not one difference: the next block says no more
        return 0.0
    values = (upper + math.sqrt(variance) * NODES) / size
    chances = WEIGHTS / WEIGHTS.sum()
    return max(
        _reaches(math.log(needed) - log, strength, values, chances, remaining)
        for log, strength in zip(bets.logs, STRENGTHS, strict=True)
    )


def _reaches(
    far: float,
    strength: float,
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    chances: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    remaining: int,
) -> float:
    """Return the probability that a bet's logarithm rises so far within the blocks to come."""
    if far <= 0.0:
        return 1.0
    if far > remaining * math.log(2.0):  # a block at most doubles the capital
        return 0.0
    gains = math.log(2.0) - np.logaddexp(0.0, -2.0 * strength * values)
    drift = float(chances @ gains)
    spread = math.sqrt(max(float(chances @ gains**2) - drift * drift, 1e-12))
    end, width = drift * remaining, spread * math.sqrt(remaining)
    mirrored = normal_sf((far + end) / width)
    # exp() alone may overflow where the tail beside it is 0.
    again = (
        math.exp(min(2.0 * drift * far / spread**2 + math.log(mirrored), 0.0)) if mirrored else 0
    )
    return min(1.0, normal_sf((far - end) / width) + again)
