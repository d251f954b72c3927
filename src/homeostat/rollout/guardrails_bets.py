"""The bets of each guardrail of a canary: what counts, and what they are guided by."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.split_bets import SplitBets, bet_on_split, bet_on_splits

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
KEPT, FEWEST = 400, 50
"""Figures of the champion's that are kept, and how many of them are enough to be guided by."""
LABEL_GAP = 0.1
"""Difference between the arms' label coverage that is nobody's fault."""
PRIOR = 50.0


@dataclass(frozen=True, slots=True)
class Rail:
    """Evidence of one guardrail: the average of its bets, and what the next bets are guided by.

    ``recent`` are the champion's newest figures, oldest first.
    """

    name: str
    bets: tuple[SplitBets, ...] = (SplitBets(),)
    recent: tuple[float, ...] = ()

    @property
    def e(self) -> float:
        """The e-value."""
        return math.fsum(bets.e for bets in self.bets) / len(self.bets)

    @property
    def figures(self) -> tuple[tuple[str, float], ...]:
        """The figures that a decision rests on."""
        strongest = max(self.bets, key=lambda bets: bets.e)
        champion, challenger = strongest.means
        ours, theirs = strongest.units[1], strongest.units[0]
        return (
            ("e_value", self.e),
            ("challenger", challenger),
            ("champion", champion),
            ("challenger_rows", float(ours)),
            ("champion_rows", float(theirs)),
        )


def _kept(rail: Rail, figures: Floats, treated: Flags) -> tuple[float, ...]:
    theirs = figures[~treated & ~np.isnan(figures)]
    return (*rail.recent, *theirs.tolist())[-KEPT:]


def _so_far(bets: SplitBets) -> float:
    """Return about what the champion's mean is, from the units seen before."""
    return (bets.sums[0] + 0.5) / (bets.units[0] + PRIOR)


def bet_on_errors(
    rail: Rail, failed: Floats, treated: Flags, weight: float, tolerated: float
) -> Rail:
    """Bet that the challenger fails more often than is tolerated."""
    (bets,) = rail.bets
    guess = min(0.5, _so_far(bets))
    return replace(rail, bets=(bet_on_split(bets, failed, treated, weight, tolerated, guess),))


def bet_on_latency(
    rail: Rail,
    factor: float,
    quantile: float,
    latency: Floats,
    treated: Flags,
    weight: float,
) -> Rail:
    """Bet that the challenger's quantile is more than so many times the champion's.

    Were it not, no larger share of its answers than of the champion's would exceed `factor` times
    any latency that the champion's own exceed, such as its quantile of a moment before. That holds
    under any load; nothing is assumed of distributions (a sequential quantile test like that of
    Howard & Ramdas, Bernoulli 2022, for latencies that need not stay the same).
    """
    known = ~np.isnan(latency)
    latency, treated = latency[known], treated[known]
    bets = rail.bets
    if len(rail.recent) >= FEWEST:
        slow = float(np.quantile(rail.recent, quantile))
        late = (latency > slow * np.where(treated, factor, 1.0)).astype(np.float64)
        bets = (bet_on_split(bets[0], late, treated, weight, 0.0, 1.0 - quantile),)
    return replace(rail, bets=bets, recent=_kept(rail, latency, treated))


def bet_on_scores(
    rail: Rail, tolerated: float, score: Floats, treated: Flags, weight: float
) -> Rail:
    """Bet that the challenger's scores are distributed elsewhere.

    On each of the champion's levels, in both directions: an average of bets is one bet.
    """
    bets = rail.bets
    if len(rail.recent) >= FEWEST:
        known = np.asarray(rail.recent)
        levels = np.quantile(known, LEVELS, method="inverted_cdf")
        if len(bets) != 2 * len(LEVELS):
            bets = (SplitBets(),) * (2 * len(LEVELS))
        # Not ~(score > level): a row without a score is on neither side.
        sides = [score > level for level in levels] + [score <= level for level in levels]
        above = np.array([float((known > level).mean()) for level in levels])
        guesses = np.concatenate((above, 1.0 - above))
        bets = bet_on_splits(bets, sides, treated, weight, tolerated, guesses)
    return replace(rail, bets=bets, recent=_kept(rail, score, treated))


def bet_on_value(
    rail: Rail, tolerated: float, value: Floats, treated: Flags, weight: float
) -> Rail:
    """Bet that the challenger's answers are worth less, on the scale of the champion's range."""
    known = ~np.isnan(value)
    value, treated = value[known], treated[known]
    bets = rail.bets
    low, high = (min(rail.recent), max(rail.recent)) if rail.recent else (0.0, 0.0)
    if len(rail.recent) >= FEWEST and high > low:
        fall = 1.0 - np.clip((value - low) / (high - low), 0.0, 1.0)
        mean = float(np.mean(rail.recent))
        margin = min(0.99, tolerated * abs(mean) / (high - low))
        guess = min(1.0, max(0.0, 1.0 - (mean - low) / (high - low)))
        bets = (bet_on_split(bets[0], fall, treated, weight, margin, guess),)
    return replace(rail, bets=bets, recent=_kept(rail, value, treated))


def bet_on_labels(rail: Rail, labelled: Floats, treated: Flags, weight: float) -> Rail:
    """Bet that labels come more often, or less often, for the challenger's answers."""
    bets = rail.bets if len(rail.bets) == 2 else (SplitBets(), SplitBets())
    share = min(1.0, _so_far(bets[0]))
    both = [labelled, 1.0 - labelled]
    guesses = [share, 1.0 - share]
    return replace(rail, bets=bet_on_splits(bets, both, treated, weight, LABEL_GAP, guesses))
