"""Bets on a random split: an e-value whatever the arms' rates do, and power where they differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.stats.evidence import mixture
from homeostat.stats.split_bets import SplitBets, bet_on_split

SHARES = st.floats(0.0, 1.0)
WEIGHTS = st.floats(0.01, 0.99)


@given(champion=SHARES, fall=SHARES, weight=WEIGHTS, tolerated=st.floats(0, 0.9), guess=SHARES)
def test_each_unit_is_worth_at_most_its_stake_while_nothing_is_worse(
    champion: float, fall: float, weight: float, tolerated: float, guess: float
) -> None:
    # The expectation over the coin, in full: all that can happen to one unit.
    challenger = max(0.0, champion * fall)
    each = {
        arm: bet_on_split(SplitBets(), [value], [arm], weight, tolerated, guess).e
        for arm, value in ((True, challenger), (False, champion))
    }
    assert weight * each[True] + (1 - weight) * each[False] <= 1 + 1e-9


@given(value=SHARES, weight=WEIGHTS, guess=SHARES)
def test_a_fair_coin_neither_wins_nor_loses(value: float, weight: float, guess: float) -> None:
    won = bet_on_split(SplitBets(), [value], [True], weight, 0.0, guess).e
    lost = bet_on_split(SplitBets(), [value], [False], weight, 0.0, guess).e
    assert math.isclose(weight * won + (1 - weight) * lost, 1.0, rel_tol=1e-9)


@given(
    rows=st.lists(st.tuples(SHARES, st.booleans()), max_size=30),
    cut=st.integers(0, 30),
    weight=WEIGHTS,
)
def test_units_may_come_in_any_portions(
    rows: list[tuple[float, bool]], cut: int, weight: float
) -> None:
    values, arms = [value for value, _ in rows], [arm for _, arm in rows]
    whole = bet_on_split(SplitBets(), values, arms, weight, 0.1, 0.3)
    parts = bet_on_split(SplitBets(), values[:cut], arms[:cut], weight, 0.1, 0.3)
    parts = bet_on_split(parts, values[cut:], arms[cut:], weight, 0.1, 0.3)
    assert parts.units == whole.units
    np.testing.assert_allclose(parts.logs, whole.logs, atol=1e-9)
    np.testing.assert_allclose(parts.sums, whole.sums, atol=1e-9)


def test_a_rate_that_moves_with_the_hour_is_no_evidence() -> None:
    # Pooled over a ramp, the challenger has the busy hours: 5.5 % against 3.5 % of failures.
    crossed = 0
    for seed in range(60):
        rng, bets = np.random.default_rng(seed), SplitBets()
        for weight, rate in ((0.1, 0.01), (0.5, 0.1)) * 2:
            arms = rng.random(1000) < weight
            bets = bet_on_split(bets, rng.random(1000) < rate, arms, weight, guess=0.02)
        assert bets.means[1] > bets.means[0] + 0.01
        crossed += bets.e >= 20
    assert crossed <= 3


def test_what_is_worse_is_found() -> None:
    rng = np.random.default_rng(4)
    arms = rng.random(6000) < 0.1
    failed = rng.random(6000) < np.where(arms, 0.03, 0.01)
    assert bet_on_split(SplitBets(), failed, arms, 0.1, guess=0.01).e > 20
    assert bet_on_split(SplitBets(), ~failed, arms, 0.1, guess=0.99).e < 1


def test_without_units_there_is_no_evidence() -> None:
    bets = bet_on_split(SplitBets(), [], [], 0.5)
    assert bets == SplitBets()
    assert bets.e == mixture(bets.logs) == 1.0
    assert all(math.isnan(mean) for mean in bets.means)


@pytest.mark.parametrize(
    ("values", "arms", "weight", "tolerated", "guess", "problem"),
    [
        ([0.5], [True, False], 0.5, 0.0, 0.0, "give each value its arm"),
        ([[0.5]], [[True]], 0.5, 0.0, 0.0, "give each value its arm"),
        ([1.5], [True], 0.5, 0.0, 0.0, r"values in \[0, 1\]"),
        ([math.nan], [True], 0.5, 0.0, 0.0, r"values in \[0, 1\]"),
        ([0.5], [True], 0.0, 0.0, 0.0, "weight lies"),
        ([0.5], [True], 0.5, 1.0, 0.0, "a tolerance in"),
        ([0.5], [True], 0.5, 0.0, 1.1, "a guess in"),
    ],
)
def test_what_makes_no_bet_is_refused(
    values: list[float],
    arms: list[bool],
    weight: float,
    tolerated: float,
    guess: float,
    problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem):
        bet_on_split(SplitBets(), values, arms, weight, tolerated, guess)
