"""What an arm has earned while some of its rewards are still on their way.

"No label yet" is no failure. Whoever counts it as one prefers the arm whose labels come fast, not
the one that is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.survival import Curve

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Earned:
    """Rewards of an arm, in rows that count in full.

    Attributes
    ----------
    n : float
        Exposures, each as far as its reward would be known by now.
    total, squares : float
        Sums of the rewards and of their squares.
    """

    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Earned) -> Earned:
        """Put the exposures of both together."""
        return Earned(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def faded(self, discount: float) -> Earned:
        """Return what is left of it after one batch of forgetting.

        With a discount d the memory is of ``1 / (1 - d)`` batches; forget where arms may change.

        Examples
        --------
        >>> Earned(100.0, 10.0, 10.0).faded(0.9)
        Earned(n=90.0, total=9.0, squares=9.0)
        """
        if not 0.0 < discount <= 1.0:
            raise ValueError(f"a discount lies in (0, 1], not {discount}")
        return Earned(self.n * discount, self.total * discount, self.squares * discount)


def matured(
    ages: ArrayLike, rewards: ArrayLike, maturity: float, weights: ArrayLike = 1.0
) -> Earned:
    """Count only exposures old enough that their reward is known, as 0 where none came.

    Parameters
    ----------
    ages : array_like, shape (n,)
        Time since each exposure, in the unit of `maturity`.
    rewards : array_like, shape (n,)
        NaN where none came so far.
    maturity : float
        Age from which nothing comes any more.
    weights : array_like, shape (n,)
        What is left of each exposure after forgetting.

    Examples
    --------
    >>> matured([10.0, 10.0, 1.0, 1.0], [1.0, float("nan"), 1.0, float("nan")], maturity=7.0)
    Earned(n=2.0, total=1.0, squares=1.0)
    """
    age, reward = _checked(ages, rewards)
    weight = np.broadcast_to(np.asarray(weights, dtype=np.float64), age.shape)
    return _summed(np.where(age >= maturity, weight, 0.0), np.ones(age.size), reward)


def weighted(
    ages: ArrayLike, rewards: ArrayLike, delays: Curve, weights: ArrayLike = 1.0
) -> Earned:
    """Count every exposure by the chance that its reward would have come by now.

    Rewards over ``sum of F(age)`` are an unbiased rate at any moment, if a reward's delay does not
    depend on the exposure's age, and F is that arm's own curve (Vernade, Cappe & Perchet,
    "Stochastic bandit models for delayed conversions", UAI 2017). It learns long before rewards
    mature. F is of rewards that do come: learn it from arms' own matured rewards
    (`homeostat.stats.survival.right_truncated`), and from every arm separately if they may differ.

    Parameters
    ----------
    ages, rewards, weights : array_like, shape (n,)
        As in `matured`.
    delays : Curve
        Share of rewards that have come by an age.

    Examples
    --------
    >>> from homeostat.stats.survival import kaplan_meier
    >>> curve = kaplan_meier([1.0, 3.0], [True, True])  # half of them after 1 day, all after 3
    >>> weighted([9.0, 1.5, 1.5], [1.0, 1.0, float("nan")], curve)
    Earned(n=2.0, total=2.0, squares=2.0)
    """
    age, reward = _checked(ages, rewards)
    weight = np.broadcast_to(np.asarray(weights, dtype=np.float64), age.shape)
    return _summed(weight, delays.at(age), reward)


def _summed(weight: Floats, counts: Floats, reward: Floats) -> Earned:
    came = np.nan_to_num(reward)
    return Earned(float(weight @ counts), float(weight @ came), float(weight @ (came * came)))


def _checked(ages: ArrayLike, rewards: ArrayLike) -> tuple[Floats, Floats]:
    age, reward = np.asarray(ages, dtype=np.float64), np.asarray(rewards, dtype=np.float64)
    if age.shape != reward.shape or age.ndim != 1:
        raise ValueError("give each exposure one age and one reward, NaN if none came yet")
    if not (age >= 0.0).all() or np.isinf(reward).any():
        raise ValueError("ages are at least 0 and rewards are finite")
    return age, reward
