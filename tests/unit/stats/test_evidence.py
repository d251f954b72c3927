"""E-values, e-detectors and bets."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from homeostat.stats.evidence import (
    FRACTIONS,
    Bets,
    bet,
    cusum,
    e_to_p,
    log_growth,
    p_to_e,
    p_to_e_power,
    p_to_e_shafer,
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


@pytest.mark.parametrize("kappa", [0.05, 0.3, 0.9])
def test_power_calibrators_integrate_to_one(kappa: float) -> None:
    # With p = exp(-m), so that the spike at 0 becomes a tail.
    area, _ = integrate.quad(lambda m: p_to_e_power(math.exp(-m), kappa) * math.exp(-m), 0.0, 700.0)
    assert area == pytest.approx(1.0, abs=1e-6)


def test_the_power_family_mixes_to_the_parameter_free_calibrator() -> None:
    for p in (1e-6, 0.05, 0.7):
        mixed, _ = integrate.quad(lambda kappa, p=p: p_to_e_power(p, kappa), 0.0, 1.0)
        assert p_to_e(p) == pytest.approx(mixed, rel=1e-6)


def test_shafers_calibrator_integrates_to_one() -> None:
    area, _ = integrate.quad(lambda m: p_to_e_shafer(math.exp(-m)) * math.exp(-m), 0.0, 700.0)
    assert area == pytest.approx(1.0, abs=1e-6)
    assert p_to_e_shafer(0.01) == pytest.approx(9.0)


CALIBRATORS = [p_to_e, p_to_e_shafer, partial(p_to_e_power, kappa=0.4)]


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_calibrators_share_their_ends(calibrator: Callable[[float], float]) -> None:
    assert calibrator(0.0) == math.inf
    assert calibrator(math.nan) == 1.0
    assert math.isfinite(calibrator(5e-324))
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            calibrator(wrong)


@pytest.mark.parametrize("kappa", [0.0, 1.0, math.nan])
def test_kappa_is_a_share(kappa: float) -> None:
    with pytest.raises(ValueError, match="kappa"):
        p_to_e_power(0.5, kappa)


@given(st.floats(0.0, 1.0))
def test_a_calibrated_p_value_comes_back_no_smaller(p: float) -> None:
    # e(p) <= 1 / p, whatever the calibrator: nothing is gained by going there and back.
    for calibrator in CALIBRATORS:
        assert e_to_p(calibrator(p)) >= p * (1 - 1e-6)


def test_e_to_p_at_the_ends() -> None:
    assert (e_to_p(0.0), e_to_p(1.0), e_to_p(math.inf)) == (1.0, 1.0, 0.0)
    assert math.isnan(e_to_p(math.nan))
    with pytest.raises(ValueError, match="never negative"):
        e_to_p(-0.5)


def run_length(
    update: Callable[[float, float], float], e_values: Iterator[float], level: float
) -> int:
    evidence = 0.0
    for step, e_value in enumerate(e_values, 1):
        evidence = update(evidence, e_value)
        if evidence >= level:
            return step
    raise AssertionError("the stream ended")


def calibrated(rng: np.random.Generator) -> Iterator[float]:
    return (p_to_e(float(p)) for p in rng.random(20_000))


def bets(rng: np.random.Generator, mean: float = 0.0) -> Iterator[float]:
    """Likelihood ratios of N(1, 1) to N(0, 1)."""
    return (math.exp(float(x) - 0.5) for x in rng.normal(mean, 1.0, 20_000))


@pytest.mark.statistical
@pytest.mark.parametrize("update", [shiryaev_roberts, cusum])
@pytest.mark.parametrize("stream", [calibrated, bets])
def test_average_run_lengths_are_at_least_the_threshold(
    update: Callable[[float, float], float],
    stream: Callable[[np.random.Generator], Iterator[float]],
) -> None:
    rng = np.random.default_rng(8)
    lengths = [run_length(update, stream(rng), 30.0) for _ in range(150)]
    error = float(np.std(lengths)) / math.sqrt(len(lengths))
    assert np.mean(lengths) + 2.0 * error >= 30.0


def test_cusum_of_likelihood_ratios_has_the_published_run_length() -> None:
    # Siegmund, Sequential Analysis (1985), eq. 2.57: a CUSUM of N(0, 1) less 1/2 with limit ln A
    # runs for about 2 (exp(b) - b - 1) steps, b = ln A + 1.166.
    rng = np.random.default_rng(9)
    level = 20.0
    b = math.log(level) + 1.166
    lengths = [run_length(cusum, bets(rng), level) for _ in range(500)]
    assert np.mean(lengths) == pytest.approx(2.0 * (math.exp(b) - b - 1.0), rel=0.12)


def test_both_detectors_find_a_change_soon() -> None:
    rng = np.random.default_rng(10)
    for update in (shiryaev_roberts, cusum):
        delays = [run_length(update, bets(rng, mean=1.0), 1000.0) for _ in range(100)]
        assert np.mean(delays) < 20  # ln(1000) / (1/2), the best possible, is 14


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=30))
def test_cusum_is_the_largest_of_the_bets_that_shiryaev_roberts_adds(values: list[float]) -> None:
    best = total = 0.0
    for value in values:
        best, total = cusum(best, value), shiryaev_roberts(total, value)
        assert best <= total * (1 + 1e-12)
    products = [math.prod(values[k:]) for k in range(len(values))]
    assert best == pytest.approx(max(products), rel=1e-9)
    assert total == pytest.approx(math.fsum(products), rel=1e-9)


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
