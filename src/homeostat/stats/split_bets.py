"""Bets on what a random split did: evidence that one arm has a higher mean, whatever the time.

Each unit goes to the treated arm by the toss of a coin whose share is known, so that

    (T / w - (1 - T) / (1 - w)) (Y - guess)

has the difference of the arms' means as its expectation *at the moment of the unit*. Loads, hours
and seasons, which both arms share, cancel without a model of them; no rate has to stay as it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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
    found, moved = _checked(values, treated, weight, tolerated, guess)
    gains = np.where(moved, 1.0 / weight, -1.0 / (1.0 - weight)) * (found - guess) - tolerated
    worst = max(guess / weight, (1.0 - guess) / (1.0 - weight)) + tolerated
    grown = np.log1p(np.asarray(FRACTIONS)[:, None] * gains / worst).sum(axis=1)
    ours, sums = int(moved.sum()), float(found[moved].sum())
    return replace(
        bets,
        logs=tuple(float(log) for log in np.asarray(bets.logs) + grown),
        units=(bets.units[0] + found.size - ours, bets.units[1] + ours),
        sums=(bets.sums[0] + float(found[~moved].sum()), bets.sums[1] + sums),
    )


def _checked(
    values: ArrayLike, treated: ArrayLike, weight: float, tolerated: float, guess: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found, moved = np.asarray(values, np.float64), np.asarray(treated, np.bool_)
    if found.shape != moved.shape or found.ndim != 1:
        raise ValueError(f"give each value its arm, not {moved.shape} arms to {found.shape} values")
    if not bool(np.all((found >= 0.0) & (found <= 1.0))):
        raise ValueError("bets on a split need values in [0, 1]")
    if not (0.0 < weight < 1.0 and 0.0 <= tolerated < 1.0 and 0.0 <= guess <= 1.0):
        raise ValueError(
            f"a weight lies in (0, 1), a tolerance in [0, 1), a guess in [0, 1]; "
            f"not {weight}, {tolerated} and {guess}"
        )
    return found, moved
