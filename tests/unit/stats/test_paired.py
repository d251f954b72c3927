"""Paired bets: rows beyond any day's effect, and days."""

import math

import numpy as np
import pytest

from homeostat.stats.paired import (
    PairedBets,
    SignBets,
    bet_on_differences,
    bet_on_sign,
    paired_e,
)


def test_paired_bets_find_the_better_one() -> None:
    rng = np.random.default_rng(3)
    differences = rng.normal(0.2, 0.2, 300).clip(-1, 1)
    state = bet_on_differences(PairedBets(), differences)
    better, worse, _ = paired_e(state)
    assert better > 20
    assert worse < 1
    assert state.n == 300
    assert paired_e(bet_on_differences(PairedBets(), -differences))[1] > 20


def test_paired_bets_prove_not_worse_within_a_margin() -> None:
    equal = np.zeros(500)
    assert paired_e(bet_on_differences(PairedBets(), equal, margin=0.05, sure=0.0))[2] > 20
    assert paired_e(bet_on_differences(PairedBets(), equal, margin=0.05))[2] == 1.0  # one day's
    assert paired_e(bet_on_differences(PairedBets(), equal))[2] <= 1.0
    state = PairedBets()
    for day in range(10):
        state = bet_on_differences(state, equal, margin=0.01, block=day)
    assert paired_e(state)[2] > 20


def test_paired_bets_on_no_rows_change_nothing() -> None:
    state = bet_on_differences(PairedBets(), [])
    assert (state.n, paired_e(state)) == (0, (1.0, 1.0, 1.0))
    later = bet_on_differences(bet_on_differences(state, [0.1], block=1), [], block=3)
    assert later.days[0].blocks == 1
    assert bet_on_differences(later, [], block=4).days == later.days


@pytest.mark.parametrize(("values", "margin"), [([1.5], 0.0), ([math.nan], 0.0), ([0.1], -0.1)])
def test_paired_bets_refuse_what_is_out_of_range(values: list[float], margin: float) -> None:
    with pytest.raises(ValueError, match=r"\[-?[01], 1\]"):
        bet_on_differences(PairedBets(), values, margin)


def test_signs_are_fair_bets_given_how_large_blocks_are() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.exponential(size=6)
    flips = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, -1).T
    found = []
    for flip in flips:
        state = SignBets()
        for value in flip * sizes:
            state = bet_on_sign(state, float(value))
        found.append(np.exp(state.logs))
    np.testing.assert_allclose(np.mean(found, axis=0), 1.0)


def test_blocks_without_any_difference_prove_nothing() -> None:
    assert bet_on_sign(SignBets(), 0.0).logs == SignBets().logs


@pytest.mark.statistical
@pytest.mark.parametrize("sd", [0.0, 0.005, 0.01, 0.02])
def test_days_with_effects_seldom_make_an_equal_challenger_better(sd: float) -> None:
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng([seed, int(sd * 1000)])
        state, claimed = PairedBets(), False
        for day in range(30):
            rows = rng.normal(0.0, sd) + rng.choice([-0.2, 0.2], 400)
            state = bet_on_differences(state, rows, block=day)
            claimed |= paired_e(state)[0] >= 20.0
        wrong += claimed
    # Binomial(200, 0.05): above 18 with probability 0.007.
    assert wrong <= 18


@pytest.mark.statistical
@pytest.mark.parametrize(("difference", "within"), [(0.02, 12), (0.1, 1)])
def test_a_better_challenger_is_found_in_days(difference: float, within: int) -> None:
    took = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state, day = PairedBets(), 0
        while paired_e(state)[0] < 20.0 and day < 60:
            moved = difference + rng.normal(0.0, 0.01)
            state = bet_on_differences(state, moved + rng.choice([-0.2, 0.2], 1000), block=day)
            day += 1
        took.append(day)
    assert np.median(took) <= within


def test_rows_prove_a_difference_beyond_what_days_do() -> None:
    rng = np.random.default_rng(2)
    rows = 0.01 + rng.choice([-0.05, 0.05], 5000)
    assert paired_e(bet_on_differences(PairedBets(), rows, sure=0.004))[0] > 20
    assert paired_e(bet_on_differences(PairedBets(), rows, sure=0.02))[0] < 1
