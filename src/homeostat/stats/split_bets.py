"""Bets on what a random split did: evidence that one arm has a higher mean, whatever the time.

Each unit goes to the treated arm by the toss of a coin whose share is known, so that

    (T / w - (1 - T) / (1 - w)) (Y - guess)

has the difference of the arms' means as its expectation *at the moment of the unit*. Loads, hours
and seasons, which both arms share, cancel without a model of them; no rate has to stay as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.evidence import FRACTIONS, mixture


@dataclass(frozen=True, slots=True)
class SplitBets:
    """Capital so far of the bets that the treated arm's mean is too high.

    Attributes
    ----------
    logs : tuple of float
        Natural logarithms, one for each of `homeostat.stats.evidence.FRACTIONS`.
    units, sums : tuple of int, tuple of float
        Number of units and sum of their values: those of the control arm, then the treated one's.
    """

    logs: tuple[float, ...] = (0.0,) * len(FRACTIONS)
    units: tuple[int, int] = (0, 0)
    sums: tuple[float, float] = (0.0, 0.0)

    @property
    def e(self) -> float:
        """The e-value: average capital of the bets."""
        return mixture(self.logs)

    @property
    def means(self) -> tuple[float, float]:
        """Mean of the control arm and of the treated one; NaN without units."""
        control, treated = (
            total / n if n else math.nan for total, n in zip(self.sums, self.units, strict=True)
        )
        return control, treated


def bet_on_split(
    bets: SplitBets,
    values: ArrayLike,
    treated: ArrayLike,
    weight: float,
    tolerated: float = 0.0,
    guess: float = 0.0,
) -> SplitBets:
    """Bet that the treated arm's mean exceeds the control's by more than is tolerated.

    While it does not, at any of the moments, the e-value is a non-negative supermartingale that
    begins at 1: the probability that it ever reaches ``1 / alpha`` is at most alpha, though it is
    read after every unit (Ville's inequality; the bets are those of Waudby-Smith & Ramdas,
    "Estimating means of bounded random variables by betting", JRSS-B 2024, on the inverse
    probability weighted difference of Horvitz & Thompson, JASA 1952).

    Parameters
    ----------
    bets : SplitBets
    values : array_like
        Shape (n,), in [0, 1], in order of time.
    treated : array_like of bool
        Shape (n,): which arm a unit went to, each by a coin of its own.
    weight : float
        In (0, 1): the coin's share of the treated arm.
    tolerated : float
        In [0, 1): difference of the means that is still fine.
    guess : float
        In [0, 1]: what a value will be about. A good one makes the evidence grow faster, a bad one
        costs only that; it must not be taken from these values.

    Raises
    ------
    ValueError
        If a value, the weight, the tolerance or the guess is out of range, or the shapes differ.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> treated = rng.random(4000) < 0.1
    >>> failed = rng.random(4000) < np.where(treated, 0.04, 0.01)
    >>> bets = bet_on_split(SplitBets(), failed, treated, weight=0.1)
    >>> bets.units, bets.e > 100
    ((3596, 404), True)
    """
    (after,) = bet_on_splits(
        (bets,), np.asarray(values, np.float64)[None], treated, weight, tolerated, (guess,)
    )
    return after


def bet_on_splits(
    bets: Sequence[SplitBets],
    values: ArrayLike,
    treated: ArrayLike,
    weight: float,
    tolerated: float = 0.0,
    guesses: ArrayLike = 0.0,
) -> tuple[SplitBets, ...]:
    """Do what `bet_on_split` does for several values of the same units, at once.

    Parameters
    ----------
    bets : sequence of SplitBets, length k
    values : array_like
        Shape (k, n), in [0, 1], in order of time.
    treated, weight, tolerated
        As in `bet_on_split`.
    guesses : array_like
        Shape (k,), in [0, 1].

    Examples
    --------
    >>> both = bet_on_splits((SplitBets(),) * 2, [[0, 1], [1, 1]], [True, False], 0.5)
    >>> [one.means for one in both]
    [(1.0, 0.0), (1.0, 1.0)]
    """
    guess = np.broadcast_to(np.asarray(guesses, np.float64), (len(bets),))
    found, moved = _checked(values, treated, weight, tolerated, guess)
    weights = np.where(moved, 1.0 / weight, -1.0 / (1.0 - weight))
    worst = np.maximum(guess / weight, (1.0 - guess) / (1.0 - weight)) + tolerated
    gains = (weights * (found - guess[:, None]) - tolerated) / worst[:, None]
    grown = np.log1p(np.asarray(FRACTIONS)[:, None] * gains[:, None, :]).sum(axis=2)
    sums, ours = found.sum(axis=1), found[:, moved].sum(axis=1)
    size = int(moved.sum())
    return tuple(
        SplitBets(
            tuple((np.asarray(one.logs) + more).tolist()),
            (one.units[0] + moved.size - size, one.units[1] + size),
            (one.sums[0] + float(total - mine), one.sums[1] + float(mine)),
        )
        for one, more, total, mine in zip(bets, grown, sums, ours, strict=True)
    )


def _checked(
    values: ArrayLike,
    treated: ArrayLike,
    weight: float,
    tolerated: float,
    guess: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found, moved = np.asarray(values, np.float64), np.asarray(treated, np.bool_)
    if found.shape != (guess.size, *moved.shape) or moved.ndim != 1:
        raise ValueError(f"give each value its arm, not {moved.shape} arms to {found.shape} values")
    if not bool(np.all((found >= 0.0) & (found <= 1.0))):
        raise ValueError("bets on a split need values in [0, 1]")
    guessed = bool(np.all((guess >= 0.0) & (guess <= 1.0)))
    if not (0.0 < weight < 1.0 and 0.0 <= tolerated < 1.0 and guessed):
        raise ValueError(
            f"a weight lies in (0, 1), a tolerance in [0, 1), a guess in [0, 1]; "
            f"not {weight}, {tolerated} and {guess.tolist()}"
        )
    return found, moved
