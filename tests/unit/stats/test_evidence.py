"""E-values, e-detectors and bets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from homeostat.stats.evidence import (
    FRACTIONS,
    Bets,
    PairedBets,
    bet,
    bet_on_differences,
    e_bh,
    log_growth,
    mixture,
    p_to_e,
    shiryaev_roberts,
)


def test_calibrator_integrates_to_one() -> None:
    # With p = exp(-m), the expectation under uniform p is the integral of e(p) exp(-m) over m.
    area, _ = integrate.quad(lambda m: p_to_e(math.exp(-m)) * math.exp(-m), 0.0, 600.0, limit=400)
    assert area == pytest.approx(1.0 - 1.0 / 600.0, abs=1e-4)


def test_calibrator_equals_its_definition() -> None:
    for p in (1e-8, 1e-3, 0.2, 0.9):
        mixed, _ = integrate.quad(lambda kappa, p=p: kappa * p ** (kappa - 1.0), 0.0, 1.0)
        assert p_to_e(p) == pytest.approx(mixed, rel=1e-6)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_calibrator_falls_as_p_rises(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    assert p_to_e(low) >= p_to_e(high) - 1e-6


def test_calibrator_at_the_ends() -> None:
    assert p_to_e(1.0) == 0.5
    assert p_to_e(0.0) == math.inf
    assert math.isfinite(p_to_e(5e-324))
    assert p_to_e(math.nan) == 1.0


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_calibrator_refuses_what_is_no_p_value(p: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        p_to_e(p)


def test_run_length_of_the_e_detector_is_at_least_its_threshold() -> None:
    rng = np.random.default_rng(1)
    lengths = []
    for _ in range(200):
        evidence, steps = 0.0, 0
        while evidence < 20.0 and steps < 2000:
            evidence = shiryaev_roberts(evidence, p_to_e(float(rng.random())))
            steps += 1
        lengths.append(steps)
    assert np.mean(lengths) >= 20.0


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=12), st.floats(1.0, 1e3))
def test_e_bh_names_nobody_unless_the_average_alarms(values: list[float], threshold: float) -> None:
    named = e_bh(values, threshold)
    if named:
        assert np.mean(values) >= threshold * (1 - 1e-12)
        least = min(values[index] for index in named)
        assert all(index in named for index, value in enumerate(values) if value > least)


def test_e_bh_names_more_than_bonferroni() -> None:
    assert e_bh([110.0, 108.0, 120.0, 0.1], 80.0) == (0, 1, 2)
    assert e_bh([110.0, 0.1, 0.1, 0.1], 80.0) == ()
    assert e_bh([], 80.0) == ()


@given(st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_bets_are_fair_at_the_boundary(mean: float, share: float) -> None:
    # A two-point variable with the mean under test: each bet's expected factor is exactly 1.
    low, high = mean * share, 1.0
    weight = (mean - low) / (high - low) if high > low else 0.0
    up, down = np.exp(log_growth([high], mean)), np.exp(log_growth([low], mean))
    assert weight * up + (1.0 - weight) * down == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "mean"), [([1.2], 0.5), ([math.nan], 0.5), ([0.5], 0.0), ([0.5], 1.1)]
)
def test_bets_refuse_what_is_out_of_range(values: list[float], mean: float) -> None:
    with pytest.raises(ValueError, match=r"0, 1\]"):
        log_growth(values, mean)


def test_bets_are_capped_and_finite_after_any_failure() -> None:
    after = bet(Bets(), log_growth(np.ones(100_000), 0.01), start=1.0, cap=500.0)
    assert after.capital == (500.0,) * len(FRACTIONS)
    assert after.evidence == 500.0


def test_one_call_or_many_with_the_same_time_agree_on_the_loss_of_capital() -> None:
    rng = np.random.default_rng(2)
    rows = rng.random(50) * 0.2
    whole = bet(Bets((1.0,) * 7), log_growth(rows, 0.1), start=0.0, cap=1e9)
    parts = Bets((1.0,) * 7)
    for row in rows:
        parts = bet(parts, log_growth([row], 0.1), start=0.0, cap=1e9)
    assert parts.capital == pytest.approx(whole.capital)


def test_paired_bets_find_the_better_one() -> None:
    rng = np.random.default_rng(3)
    state = bet_on_differences(PairedBets(), rng.normal(0.2, 0.2, 300).clip(-1, 1))
    assert mixture(state.better) > 20
    assert mixture(state.worse) < 1
    assert state.n == 300
    flipped = bet_on_differences(PairedBets(), -rng.normal(0.2, 0.2, 300).clip(-1, 1))
    assert mixture(flipped.worse) > 20


def test_paired_bets_prove_not_worse_within_a_margin() -> None:
    equal = np.zeros(500)
    assert mixture(bet_on_differences(PairedBets(), equal, margin=0.05).not_worse) > 20
    assert mixture(bet_on_differences(PairedBets(), equal).not_worse) == 1.0


def test_paired_bets_on_no_rows_change_nothing() -> None:
    assert bet_on_differences(PairedBets(), []) == PairedBets()


@pytest.mark.parametrize(("values", "margin"), [([1.5], 0.0), ([math.nan], 0.0), ([0.1], -0.1)])
def test_paired_bets_refuse_what_is_out_of_range(values: list[float], margin: float) -> None:
    with pytest.raises(ValueError, match=r"\[-?[01], 1\]"):
        bet_on_differences(PairedBets(), values, margin)
