"""What another policy would have earned, from the log of the one that ran.

Needs what was logged at the time: the arm, its propensity, the reward. A policy that wants arms
which were hardly ever tried has hardly any rows that speak for it: `OffPolicy.effective` says how
many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.intervals import NAN, Interval, normal

Floats = NDArray[np.float64]
Entities = NDArray[np.intp]

NEEDED = 30.0
"""Effective rows below which an interval is worth nothing."""


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """An estimate of a policy's mean reward.

    Attributes
    ----------
    value : float
        NaN without rows that speak for it.
    interval : Interval
        Normal; NaN with fewer than `NEEDED` effective rows.
    effective : float
        Kish's number of rows, or entities, that the weights amount to.
    """

    value: float
    interval: Interval
    effective: float


def ips(
    rewards: Floats,
    target: Floats,
    propensities: Floats,
    level: float = 0.95,
    entities: Entities | None = None,
) -> OffPolicy:
    """Weigh rewards by inverse propensity (Horvitz & Thompson 1952).

    Unbiased, whatever the rewards; its variance is that of the weights, and adding a constant to
    all rewards changes it.

    Parameters
    ----------
    rewards : ndarray of float64, shape (n,)
        Finite.
    target : ndarray of float64, shape (n,)
        Chance with which the target policy chooses the arm that was chosen, in [0, 1].
    propensities : ndarray of float64, shape (n,)
        Chance with which it was chosen, in (0, 1].
    level : float
    entities : ndarray of intp, shape (n,), optional
        Who each row is about, as numbers from 0: rows of one entity are no independent evidence,
        and where an entity keeps its arm they are even less. None: each row is of another one.

    Raises
    ------
    ValueError
        If a reward is not finite or a chance is out of range: what was done had a positive chance.

    Examples
    --------
    >>> rewards, chances = np.tile([1.0, 0.0], 50), np.tile([0.5, 0.5], 50)
    >>> ips(rewards, np.tile([1.0, 0.0], 50), chances).value  # always the first arm
    1.0
    """
    weight = _weights(rewards, target, propensities)
    return _mean(weight * rewards, weight, level, entities)


def snips(
    rewards: Floats,
    target: Floats,
    propensities: Floats,
    level: float = 0.95,
    entities: Entities | None = None,
) -> OffPolicy:
    """Weigh as `ips` does, over the sum of the weights.

    Parameters and errors as there. Consistent, within the range of the rewards, and as a rule much
    less variable (Swaminathan & Joachims, "The self-normalized estimator for counterfactual
    learning", NIPS 2015); the interval is the delta method's.

    Examples
    --------
    >>> rewards, chances = np.tile([1.0, 0.0], 50), np.tile([0.9, 0.1], 50)
    >>> round(snips(rewards, np.tile([0.5, 0.5], 50), chances).value, 6)
    0.1
    """
    weight = _weights(rewards, target, propensities)
    total = float(weight.sum())
    if not total > 0.0:
        return OffPolicy(NAN, Interval(NAN, NAN), 0.0)
    value = float(weight @ rewards) / total
    around = value + weight * (rewards - value) * (weight.size / total)
    return _mean(around, weight, level, entities)


def doubly_robust(
    rewards: Floats,
    target: Floats,
    propensities: Floats,
    chosen: Floats,
    expected: Floats,
    level: float = 0.95,
    entities: Entities | None = None,
) -> OffPolicy:
    """Weigh only what a model of the rewards leaves over (Dudik, Langford & Li, ICML 2011).

    Right if either the propensities or the model are; the model must not have seen these rows (fit
    it on others, or across folds), or the interval is too narrow.

    Parameters
    ----------
    rewards, target, propensities, entities
        As in `ips`.
    chosen : ndarray of float64, shape (n,)
        What the model expects of the arm that was chosen.
    expected : ndarray of float64, shape (n,)
        What it expects under the target policy: over arms, the sum of chance times expectation.

    Examples
    --------
    >>> rewards, chances = np.tile([1.0, 0.0], 50), np.tile([0.9, 0.1], 50)
    >>> found = doubly_robust(rewards, np.full(100, 0.5), chances, rewards, np.full(100, 0.5))
    >>> found.value, found.interval
    (0.5, Interval(lower=0.5, upper=0.5))
    """
    weight = _weights(rewards, target, propensities)
    return _mean(expected + weight * (rewards - chosen), weight, level, entities)


def _weights(rewards: Floats, target: Floats, propensities: Floats) -> Floats:
    """Return how much more often the target policy does what was done."""
    if not rewards.shape == target.shape == propensities.shape:
        raise ValueError("give each row a reward and both chances of the arm that was chosen")
    if not np.isfinite(rewards).all():
        raise ValueError("rewards are finite: leave out rows whose reward is not known yet")
    if not ((propensities > 0.0) & (propensities <= 1.0)).all():
        raise ValueError("a propensity lies in (0, 1]: a floor keeps it above 0")
    if not ((target >= 0.0) & (target <= 1.0)).all():
        raise ValueError("chances of the target policy lie in [0, 1]")
    return target / propensities


def _mean(parts: Floats, weight: Floats, level: float, entities: Entities | None) -> OffPolicy:
    whose = np.arange(weight.size) if entities is None else entities
    together = np.bincount(whose, weights=weight)
    squares = float(together @ together)
    effective = float(together.sum()) ** 2 / squares if squares else 0.0
    if not effective:
        return OffPolicy(NAN, Interval(NAN, NAN), 0.0)
    value = float(parts.mean())
    if effective < NEEDED:
        return OffPolicy(value, Interval(NAN, NAN), effective)
    around = np.bincount(whose, weights=parts - value)
    groups = np.unique(whose).size
    error = math.sqrt(float(around @ around) * groups / (groups - 1)) / parts.size
    return OffPolicy(value, normal(value, error, level), effective)
