"""Conditional power of the paired comparison, against lives lived to their end."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.rollout.futility import FEWEST_BLOCKS, chance_of_proof
from homeostat.stats.paired import STRENGTHS, SignBets, bet_on_sign


def lived(means: list[float]) -> SignBets:
    bets = SignBets()
    for mean in means:
        bets = bet_on_sign(bets, mean)
    return bets


def test_few_blocks_tell_nothing() -> None:
    bets = lived([-0.01, 0.01] * (FEWEST_BLOCKS // 2 - 1))
    assert chance_of_proof(bets, 0.0, remaining=1, needed=40.0) == 1.0


def test_a_difference_that_rows_may_prove_is_not_given_up() -> None:
    bets = lived([-0.1, 0.2] * 6)
    assert chance_of_proof(bets, 0.05, remaining=1, needed=40.0) == 1.0
    assert chance_of_proof(bets, 0.05, remaining=1, needed=40.0, sure=0.5) < 1.0


def test_what_is_proven_already_has_nothing_to_reach() -> None:
    even, good = lived([-0.01, 0.01] * 10), lived([0.02, 0.03] * 10)
    assert chance_of_proof(even, 0.0, remaining=1, needed=0.5) == 1.0
    assert chance_of_proof(good, 0.025, remaining=1, needed=40.0) == 1.0


def test_versions_that_never_differ_prove_nothing() -> None:
    assert chance_of_proof(lived([0.0] * 20), 0.0, remaining=500, needed=40.0) == 0.0


def test_a_block_at_most_doubles_the_capital() -> None:
    bets = lived([-0.01, 0.01] * 10)
    assert chance_of_proof(bets, 0.0, remaining=2, needed=1e6) == 0.0
    assert chance_of_proof(bets, 0.0, remaining=0, needed=40.0) == 0.0


@pytest.mark.parametrize("remaining", [20, 40])
def test_it_is_about_the_share_of_lives_that_get_there(remaining: int) -> None:
    # The future that it takes for granted: blocks of the mean two standard errors up.
    spread, rng = 0.02, np.random.default_rng(5)
    past = [spread, -spread] * 10
    bets = lived(past)
    upper = 2.0 * spread / np.sqrt(len(past))
    size = np.hypot(spread, upper)
    values = rng.normal(upper, spread, (4000, remaining)) / size
    gains = np.log1p(np.tanh(np.asarray(STRENGTHS)[:, None, None] * values))
    logs = np.asarray(bets.logs)[:, None] + np.cumsum(gains, axis=2).max(axis=2)
    true = float((logs >= np.log(40.0)).mean(axis=1).max())
    found = chance_of_proof(bets, 0.0, remaining, needed=40.0)
    assert true <= found + 0.02
    assert found <= true + 0.15


def test_the_worse_it_goes_the_smaller_is_the_chance() -> None:
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 0.02, 30)
    noise -= noise.mean()
    chances = [
        chance_of_proof(lived((noise + mean).tolist()), mean, remaining=30, needed=40.0)
        for mean in (-0.01, 0.0, 0.005)
    ]
    assert chances[0] < 0.05 < chances[2]
    assert chances == sorted(chances)
