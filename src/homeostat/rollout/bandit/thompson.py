"""Thompson sampling in batches: each arm gets the chance that it is the best.

Shares, not picks, are what comes out: they go to the split of the route, they are the propensities
that later evaluation needs, and they stay as they are until the next batch (batched Thompson
sampling loses no more than a constant; Kalkanli & Ozgur, arXiv 2110.00158).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.bandit.delays import Earned

Floats = NDArray[np.float64]


class Reward(StrEnum):
    """What a reward is."""

    BERNOULLI = "bernoulli"
    """0 or 1; a flat prior on the rate."""
    GAUSSIAN = "gaussian"
    """Any amount of finite variance; a prior of one row at the mean of all arms."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a batch is dealt, to be logged with every decision.

    Attributes
    ----------
    of : mapping of arm to share
        Propensities, in (0, 1], of sum 1.
    best : mapping of arm to chance
        That it is the best, before the floor.
    """

    of: Mapping[str, float]
    best: Mapping[str, float]

    def choose(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.intp], Floats]:
        """Deal entities to arms; for simulations, and where no gateway splits.

        Returns
        -------
        arms : ndarray of intp, shape (size,)
            Places in the order of ``of``.
        propensities : ndarray of float64, shape (size,)
            Of the arm that was chosen.
        """
        shares = np.array(list(self.of.values()))
        arms = rng.choice(shares.size, size=size, p=shares)
        return arms.astype(np.intp), shares[arms]


def thompson(
    earned: Mapping[str, Earned],
    rng: np.random.Generator,
    reward: Reward = Reward.BERNOULLI,
    floor: float = 0.01,
    draws: int = 4000,
    better: str = "higher",
) -> Shares:
    """Give each arm the chance that it is the best, and none less than the floor.

    Parameters
    ----------
    earned : mapping of arm to Earned
        Discounted where arms may change (`Earned.faded`), and of late rewards from
        `homeostat.rollout.bandit.delays`.
    rng : Generator
    reward : Reward
    floor : float
        Least share of an arm, so that it can always come back and every propensity is positive:
        ``floor + (1 - k floor) chance`` for k arms.
    draws : int
        From the posterior; chances are known to ``1 / (2 sqrt(draws))``.
    better : {"higher", "lower"}
        Lower: rewards are losses.

    Raises
    ------
    ValueError
        If there is no arm, the floors are more than everything, or rewards are none of their kind.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shares = thompson({"v7": Earned(1000, 100), "v8": Earned(1000, 140)}, rng)
    >>> {arm: round(share, 2) for arm, share in shares.of.items()}
    {'v7': 0.01, 'v8': 0.99}
    """
    if not earned:
        raise ValueError("a bandit needs arms")
    sampler = _bernoulli if reward is Reward.BERNOULLI else _gaussian
    samples = sampler(list(earned.values()), rng, draws)
    chances = _chances(-samples if better == "lower" else samples)
    dealt = floored(chances, floor)
    return Shares(
        dict(zip(earned, dealt.tolist(), strict=True)),
        dict(zip(earned, chances.tolist(), strict=True)),
    )


def floored(chances: Floats, floor: float) -> Floats:
    """Raise chances to at least the floor, the last axis over arms.

    Examples
    --------
    >>> floored(np.array([1.0, 0.0]), 0.1).round(3).tolist()
    [0.9, 0.1]
    """
    arms = chances.shape[-1]
    if not 0.0 <= floor * arms <= 1.0:
        raise ValueError(f"floors of {floor} for {arms} arms are not within [0, 1] together")
    raised: Floats = floor + (1.0 - arms * floor) * chances
    return raised


def _chances(samples: Floats) -> Floats:
    """Return how often each arm was the best; samples have shape (..., draws, arms)."""
    arms = samples.shape[-1]
    best = samples.argmax(axis=-1)
    return np.stack([(best == arm).mean(axis=-1) for arm in range(arms)], axis=-1)


def _bernoulli(earned: Sequence[Earned], rng: np.random.Generator, draws: int) -> Floats:
    if not all(arm.total >= 0.0 for arm in earned):
        raise ValueError("rewards of 0 and 1 have no negative sum")
    # Weighted exposures may be fewer than the rewards that came: then none of them failed.
    a = np.array([1.0 + arm.total for arm in earned])
    b = np.array([1.0 + max(0.0, arm.n - arm.total) for arm in earned])
    return rng.beta(a, b, size=(draws, a.size))


def _gaussian(earned: Sequence[Earned], rng: np.random.Generator, draws: int) -> Floats:
    """Draw means from normal-inverse-gamma posteriors, that is Student's distributions.

    The prior is one row at the pooled mean with the pooled variance.
    """
    whole = sum(earned, Earned())
    centre = whole.total / whole.n if whole.n > 0.0 else 0.0
    spread = max(0.0, whole.squares / whole.n - centre**2) if whole.n > 0.0 else 0.0
    spread = spread or 1.0
    columns = []
    for arm in earned:
        n = arm.n + 1.0
        mean = (arm.total + centre) / n
        squares = arm.squares - 2.0 * mean * arm.total + mean * mean * arm.n
        scale = (max(0.0, squares) + spread + (centre - mean) ** 2) / n
        columns.append(mean + math.sqrt(scale / n) * rng.standard_t(n, size=draws))
    return np.stack(columns, axis=-1)
