"""Shapley values: the share of each player in what all achieve together."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Worth = Callable[[frozenset[int]], float]

EXACT = 6  # players up to which every coalition is valued


def shapley(players: int, worth: Worth, rng: np.random.Generator, orders: int = 20) -> Floats:
    """Return each player's Shapley value; they add up to the worth of all less that of none.

    Parameters
    ----------
    players : int
    worth : callable
        Of a set of players, numbered from 0. Called once for each set.
    rng : Generator
        Draws orders in which players join where there are more than `EXACT`.
    orders : int
        Orders that are tried then, each forth and back.

    Notes
    -----
    Exact for few players (Shapley 1953); otherwise the mean over random orders and their reverses
    (Castro, Gómez & Tejada 2009; antithetic: Mitchell et al., JMLR 23, 2022), still summing up.

    Examples
    --------
    >>> worth = lambda players: 6.0 * (0 in players) + 4.0 * ({1, 2} <= players)
    >>> shapley(3, worth, np.random.default_rng(0)).round(9).tolist()
    [6.0, 2.0, 2.0]
    """
    known: dict[frozenset[int], float] = {}

    def valued(players: frozenset[int]) -> float:
        if players not in known:
            known[players] = worth(players)
        return known[players]

    if players <= EXACT:
        return _exact(players, valued)
    total = np.zeros(players)
    for _ in range(orders):
        order = rng.permutation(players)
        for one in (order, order[::-1]):
            joined = frozenset[int]()
            for player in one.tolist():
                more = joined | {player}
                total[player] += valued(more) - valued(joined)
                joined = more
    return total / (2.0 * orders)


def _exact(players: int, worth: Worth) -> Floats:
    found = np.zeros(players)
    for bits in range(1 << players):
        without = frozenset(p for p in range(players) if bits >> p & 1)
        size = len(without)
        for player in set(range(players)) - without:
            ways = math.factorial(size) * math.factorial(players - size - 1)
            gain = worth(without | {player}) - worth(without)
            found[player] += ways / math.factorial(players) * gain
    return found
