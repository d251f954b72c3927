"""How much rows of repeated entities are worth as evidence, over all batches together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GROUPS = 256
"""Groups that entities fall into: the effect is known to within some ten percent."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Sums of an arm's rows by group of entities, from which their design effect follows.

    An entity is in the same group in every batch, so that one that comes back after years is no new
    evidence, and what is kept does not grow with the number of entities. Groups of independent
    entities are independent, so the variance between them is that between entities (the method of
    random groups: Wolter, "Introduction to Variance Estimation", chapter 2).

    Attributes
    ----------
    rows, totals : tuple of float, length 0 or GROUPS
        Rows that count, and their rewards, by group; empty: no rows.
    alone : tuple of float, length 3
        Over rows, sums of the squared weight, of it times the reward, and of the squared product.
    """

    rows: tuple[float, ...] = ()
    totals: tuple[float, ...] = ()
    alone: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __add__(self, other: Repeats) -> Repeats:
        """Put the rows of both together."""
        if not self.rows or not other.rows:
            return self if self.rows else other
        pairs = zip(self.alone, other.alone, strict=True)
        first, second, third = (one + another for one, another in pairs)
        return Repeats(
            tuple(np.add(self.rows, other.rows).tolist()),
            tuple(np.add(self.totals, other.totals).tolist()),
            (first, second, third),
        )

    def faded(self, discount: float) -> Repeats:
        """Return what is left of it after forgetting, as in `delays.Earned.faded`."""
        first, second, third = (discount * discount * each for each in self.alone)
        return Repeats(
            tuple(discount * each for each in self.rows),
            tuple(discount * each for each in self.totals),
            (first, second, third),
        )

    @property
    def effect(self) -> float:
        """How many rows are worth one of an entity of its own, at least 1.

        The variance of a mean that counts entities over one that counts rows.
        """
        n = sum(self.rows)
        if n <= 0.0:
            return 1.0
        mean = sum(self.totals) / n
        between = np.asarray(self.totals) - mean * np.asarray(self.rows)
        weights, rewards, squares = self.alone
        alone = squares - 2.0 * mean * rewards + mean * mean * weights
        # Rewards that are all alike leave but rounding errors.
        return max(1.0, float(between @ between) / alone) if alone > 1e-9 * squares else 1.0


def repeats(known: Floats, rewards: Floats, weights: Floats, groups: NDArray[np.intp]) -> Repeats:
    """Sum up rows by their groups.

    Parameters
    ----------
    known : ndarray of float64, shape (n,)
        How far the reward of each would be known by now, in [0, 1].
    rewards : ndarray of float64, shape (n,)
        0 where none came.
    weights : ndarray of float64, shape (n,)
        What is left of each after forgetting.
    groups : ndarray of intp, shape (n,)
        In [0, GROUPS).

    Examples
    --------
    >>> every = np.ones(200)
    >>> once = repeats(every, np.arange(200.0) % 2.0, every, np.arange(200))
    >>> once.effect, (once + once + once).effect  # the same people came three times
    (1.0, 3.0)
    """
    if not known.size:
        return Repeats()
    counted, gained = weights * known, weights * rewards
    return Repeats(
        tuple(np.bincount(groups, counted, GROUPS).tolist()),
        tuple(np.bincount(groups, gained, GROUPS).tolist()),
        (float(counted @ counted), float(counted @ gained), float(gained @ gained)),
    )
