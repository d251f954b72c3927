from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from homeostat.stats.shapley import EXACT, shapley


def worth_of(weights: list[float], pair: float) -> object:
    def worth(players: frozenset[int]) -> float:
        return sum(weights[p] for p in players) ** 2 + pair * ({0, 1} <= players)

    return worth


@pytest.mark.parametrize("players", [0, 1, 2, 4, 5])
def test_few_players_get_their_mean_over_all_orders(players: int) -> None:
    worth = worth_of([1.0, -2.0, 0.5, 3.0, 0.25][:players], 7.0)
    expected = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            expected[player] += worth(before | {player}) - worth(before)  # type: ignore[operator]
    found = shapley(players, worth, np.random.default_rng(0))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected / len(orders))


def test_many_players_still_share_out_the_whole() -> None:
    weights = [float(k) for k in range(EXACT + 4)]
    worth = worth_of(weights, 5.0)
    found = shapley(len(weights), worth, np.random.default_rng(1), orders=200)  # type: ignore[arg-type]
    assert found.sum() == pytest.approx(sum(weights) ** 2 + 5.0)
    # By symmetry a square shares out as weight times the sum.
    exact = np.array(weights) * sum(weights)
    np.testing.assert_allclose(found[2:], exact[2:], rtol=0.05)
