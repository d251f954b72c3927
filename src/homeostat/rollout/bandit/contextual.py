"""Thompson sampling where the best arm depends on who asks: a linear model for each arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.bandit.thompson import floored

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Sums of an arm's contexts and rewards: all that Bayesian linear regression needs.

    Attributes
    ----------
    gram : ndarray of float64, shape (d, d)
        Sum of ``x x'``.
    moment : ndarray of float64, shape (d,)
        Sum of ``x y``.
    squares, n : float
        Sum of ``y^2``, and rows.
    """

    gram: Floats
    moment: Floats
    squares: float = 0.0
    n: float = 0.0

    def __add__(self, other: Linear) -> Linear:
        """Put the rows of both together."""
        return Linear(
            self.gram + other.gram,
            self.moment + other.moment,
            self.squares + other.squares,
            self.n + other.n,
        )

    def faded(self, discount: float) -> Linear:
        """Return what is left of it after one batch of forgetting."""
        if not 0.0 < discount <= 1.0:
            raise ValueError(f"a discount lies in (0, 1], not {discount}")
        return Linear(
            self.gram * discount, self.moment * discount, self.squares * discount, self.n * discount
        )


def linear(contexts: Floats, rewards: Floats) -> Linear:
    """Sum up rows of one arm.

    Parameters
    ----------
    contexts : ndarray of float64, shape (n, d)
        Finite, on comparable scales, with a column of ones for a constant.
    rewards : ndarray of float64, shape (n,)
        Finite; matured rows only.

    Examples
    --------
    >>> linear(np.array([[1.0, 2.0]]), np.array([3.0])).moment.tolist()
    [3.0, 6.0]
    """
    if contexts.ndim != 2 or contexts.shape[0] != rewards.size:
        raise ValueError("give each reward one row of context")
    if not (np.isfinite(contexts).all() and np.isfinite(rewards).all()):
        raise ValueError("contexts and rewards are finite: leave out rows without a reward")
    return Linear(
        contexts.T @ contexts, contexts.T @ rewards, float(rewards @ rewards), float(rewards.size)
    )


def contextual(
    arms: Mapping[str, Linear],
    contexts: Floats,
    rng: np.random.Generator,
    floor: float = 0.01,
    ridge: float = 1.0,
    draws: int = 500,
) -> Floats:
    """Return, for each context, the chance that each arm is the best there, and its propensity.

    Weights are normal around their ridge estimate with covariance ``s^2 (X'X + ridge I)^-1``, where
    s is the spread of the residuals (Agrawal & Goyal, "Thompson sampling for contextual bandits
    with linear payoffs", ICML 2013). Each arm's weights are drawn once for all contexts of a batch.

    Parameters
    ----------
    arms : mapping of arm to Linear
    contexts : ndarray of float64, shape (m, d)
    rng : Generator
    floor : float
        Least propensity, as in `homeostat.rollout.bandit.thompson.thompson`.
    ridge : float
        Positive: weight of the prior that all effects are 0.
    draws : int

    Returns
    -------
    ndarray of float64, shape (m, k)
        Propensities in the order of `arms`; each row sums to 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat([[1.0, 0.0], [0.0, 1.0]], 200, axis=0)  # two kinds of customers
    >>> first = linear(x, x[:, 0] + rng.normal(0.0, 0.5, 400))  # good for the first kind
    >>> second = linear(x, x[:, 1] + rng.normal(0.0, 0.5, 400))
    >>> contextual({"v7": first, "v8": second}, np.eye(2), rng).round(2).tolist()
    [[0.99, 0.01], [0.01, 0.99]]
    """
    if not arms:
        raise ValueError("a bandit needs arms")
    if not ridge > 0.0:
        raise ValueError(f"a ridge is positive, not {ridge}")
    samples = [_draw(arm, rng, ridge, draws) @ contexts.T for arm in arms.values()]
    best = np.stack(samples).argmax(axis=0)
    chances = np.stack([(best == place).mean(axis=0) for place in range(len(arms))], axis=-1)
    return floored(chances, floor)


def _draw(arm: Linear, rng: np.random.Generator, ridge: float, draws: int) -> Floats:
    """Draw weights, shape (draws, d)."""
    precision = arm.gram + ridge * np.eye(arm.moment.size)
    factor = np.linalg.cholesky(precision)
    mean = np.linalg.solve(precision, arm.moment)
    residual = max(0.0, arm.squares - float(mean @ arm.moment))
    # One row of variance 1 stands for what is known beforehand.
    spread = np.sqrt((residual + 1.0) / (arm.n + 1.0))
    noise = rng.normal(size=(arm.moment.size, draws))
    drawn: Floats = mean + spread * np.linalg.solve(factor.T, noise).T
    return drawn
