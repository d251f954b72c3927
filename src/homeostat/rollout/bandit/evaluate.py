"""What another way to deal would have earned, by three estimators, or why nobody can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.bandit.off_policy import (
    NEEDED,
    Entities,
    Floats,
    OffPolicy,
    doubly_robust,
    ips,
    snips,
)

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """Answers whose rewards are known.

    Attributes
    ----------
    arms : ndarray of intp, shape (n,)
        Place of each answer's arm among all.
    rewards : ndarray of float64, shape (n,)
    propensities : ndarray of float64, shape (n,)
        Chance with which the arm was chosen, in (0, 1].
    entities : ndarray of intp, shape (n,)
        Who it was about, as numbers from 0.
    """

    arms: NDArray[np.intp]
    rewards: Floats
    propensities: Floats
    entities: Entities


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Mean reward of a policy, as three estimators have it.

    Attributes
    ----------
    ips, snips, doubly_robust : OffPolicy or None
        None: refused.
    logged : float
        Mean reward of what was done; NaN without rows.
    rows, entities : int
    refused : str
        Why the log cannot tell; empty if it can.
    """

    ips: OffPolicy | None
    snips: OffPolicy | None
    doubly_robust: OffPolicy | None
    logged: float
    rows: int
    entities: int
    refused: str = ""


def evaluate(
    names: Sequence[str], policy: Floats, logged: Logged, level: float = 0.95
) -> Evaluation:
    """Say what a policy would have earned on the same requests.

    An answer speaks for a policy that would have chosen its arm. Refused is a policy that wants an
    arm which was never tried, or so seldom that fewer than `NEEDED` entities would speak for it.
    The model of the doubly robust one is each arm's mean, of other entities than the row's.

    Parameters
    ----------
    names : sequence of str
        The k arms.
    policy : ndarray of float64, shape (k,) or (n, k)
        Chance of each arm, for all answers or for each of them; of sum 1.
    logged : Logged
    level : float

    Raises
    ------
    ValueError
        If chances are none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> arms = (rng.random(4000) < 0.2).astype(np.intp)
    >>> paid = (rng.random(4000) < np.where(arms == 1, 0.3, 0.1)).astype(np.float64)
    >>> log = Logged(arms, paid, np.where(arms == 1, 0.2, 0.8), np.arange(4000))
    >>> found = evaluate(("v7", "v8"), np.array([0.0, 1.0]), log)
    >>> found.snips.interval.lower < 0.3 < found.snips.interval.upper, round(found.logged, 1)
    (True, 0.1)
    """
    chances = np.broadcast_to(policy, (logged.arms.size, len(names)))
    if not ((chances >= 0.0).all() and np.allclose(chances.sum(axis=-1), 1.0)):
        raise ValueError("chances of a policy lie in [0, 1] and their sum is 1")
    size, many = logged.arms.size, int(np.unique(logged.entities).size)
    mean = float(logged.rewards.mean()) if size else float("nan")
    refused = _unsupported(names, chances, logged)
    if refused:
        return Evaluation(None, None, None, mean, size, many, refused)
    target = np.ascontiguousarray(np.take_along_axis(chances, logged.arms[:, None], axis=1)[:, 0])
    known = logged.rewards, target, logged.propensities
    found = ips(*known, level, logged.entities)
    if found.effective < NEEDED:
        refused = (
            f"what is on record speaks for it like {found.effective:.0f} entities, and "
            f"{NEEDED:.0f} are needed"
        )
        return Evaluation(None, None, None, mean, size, many, refused)
    means = _means(len(names), logged)
    chosen = np.take_along_axis(means, logged.arms[:, None], axis=1)[:, 0]
    expected = (chances * means).sum(axis=1)
    robust = doubly_robust(*known, chosen, expected, level, logged.entities)
    return Evaluation(found, snips(*known, level, logged.entities), robust, mean, size, many)


def shares_of(names: Sequence[str], shares: Mapping[str, float]) -> Floats:
    """Return shares by arm as chances, in the order of the arms.

    Raises
    ------
    ValueError
        If one is of no arm, or their sum is not 1.

    Examples
    --------
    >>> shares_of(("v7", "v8"), {"v8": 1.0}).tolist()
    [0.0, 1.0]
    """
    unknown = sorted(set(shares) - set(names))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no arm; there are {', '.join(names)}")
    chances = np.array([shares.get(name, 0.0) for name in names])
    if not ((chances >= 0.0).all() and abs(chances.sum() - 1.0) < 1e-6):
        raise ValueError("shares of a policy lie in [0, 1] and their sum is 1")
    return chances


def _unsupported(names: Sequence[str], chances: Floats, logged: Logged) -> str:
    if not logged.arms.size:
        return "no answer with a known reward and the chance of its arm is on record"
    tried = np.bincount(logged.arms, minlength=len(names))
    for name, wanted, rows in zip(names, chances.max(axis=0), tried, strict=True):
        if wanted > 0.0 and not rows:
            return f"it wants {name}, which was never tried"
    return ""


def _means(arms: int, logged: Logged) -> Floats:
    """Return each arm's mean for each row, of the entities in other folds than the row's."""
    fold = logged.entities % FOLDS
    cell = fold * arms + logged.arms
    totals = np.bincount(cell, weights=logged.rewards, minlength=FOLDS * arms).reshape(FOLDS, arms)
    counts = np.bincount(cell, minlength=FOLDS * arms).reshape(FOLDS, arms)
    pooled = float(logged.rewards.mean())
    others = (totals.sum(axis=0) - totals + pooled) / (counts.sum(axis=0) - counts + 1.0)
    means: Floats = others[fold]
    return means
