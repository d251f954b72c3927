"""Conformal p-values and the bets on them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.conformal import (
    Jumper,
    jump,
    martingale,
    online_p_values,
    p_values,
    weighted_p_values,
)

SCORES = st.lists(st.integers(-3, 3).map(float), max_size=15)


@given(SCORES, SCORES)
def test_p_values_count_who_is_as_strange(calibration: list[float], scores: list[float]) -> None:
    found = p_values(calibration, scores)
    for score, p_value in zip(scores, found, strict=True):
        as_strange = sum(other >= score for other in calibration)
        assert p_value == (1 + as_strange) / (len(calibration) + 1)


@given(SCORES, SCORES, st.integers(0, 10))
def test_smoothing_moves_within_the_ties_only(
    calibration: list[float], scores: list[float], seed: int
) -> None:
    smoothed = p_values(calibration, scores, np.random.default_rng(seed))
    assert np.all(smoothed > 0.0)
    assert np.all(smoothed <= p_values(calibration, scores))
    above = [sum(other > score for other in calibration) for score in scores]
    assert np.all(smoothed >= np.array(above) / (len(calibration) + 1))


@pytest.mark.statistical
@pytest.mark.parametrize("ties", [False, True])
def test_smoothed_p_values_are_uniform(ties: bool) -> None:
    rng = np.random.default_rng(21)
    found = []
    for _ in range(3000):
        rows = rng.integers(0, 3, 8).astype(float) if ties else rng.normal(size=8)
        found.append(p_values(rows[:-1], rows[-1:], rng)[0])
    assert stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.statistical
def test_plain_p_values_are_at_least_uniform() -> None:
    rng = np.random.default_rng(22)
    found = []
    for _ in range(3000):
        rows = rng.poisson(1.0, 8).astype(float)
        found.append(p_values(rows[:-1], rows[-1:])[0])
    for level in (0.05, 0.125, 0.3, 0.5):
        assert np.mean(np.array(found) <= level) <= level + 3.0 * math.sqrt(level / 3000)


def test_p_values_at_the_ends() -> None:
    assert p_values([], [1.0]).tolist() == [1.0]
    assert p_values([1.0, 2.0], []).shape == (0,)
    found = p_values([math.nan, 1.0, math.inf], [math.inf, -math.inf, math.nan])
    assert found[:2].tolist() == [2 / 3, 1.0]
    assert math.isnan(found[2])


@given(SCORES.filter(len), SCORES, st.integers(1, 5))
def test_whole_weights_are_rows_that_came_several_times(
    calibration: list[float], scores: list[float], times: int
) -> None:
    weights = [float(1 + index % times) for index in range(len(calibration))]
    repeated = np.repeat(calibration, np.asarray(weights, dtype=int))
    found = weighted_p_values(calibration, weights, scores, np.ones(len(scores)))
    np.testing.assert_allclose(found, p_values(repeated, scores), rtol=1e-12)


@pytest.mark.statistical
def test_weights_forgive_a_covariate_shift() -> None:
    """x moves from N(0, 1) to N(1, 1), the score depends on x: ratio exp(x - 1/2)."""
    rng = np.random.default_rng(23)
    plain, weighted = [], []
    for _ in range(1500):
        x = rng.normal(size=61)
        x[-1] += 1.0
        scores, weights = np.abs(x) + rng.normal(size=61), np.exp(x - 0.5)
        plain.append(p_values(scores[:-1], scores[-1:], rng)[0])
        found = weighted_p_values(scores[:-1], weights[:-1], scores[-1:], weights[-1:], rng)
        weighted.append(found[0])
    assert stats.kstest(weighted, "uniform").pvalue > 0.01
    assert stats.kstest(plain, "uniform").pvalue < 1e-6


def test_weights_at_the_ends() -> None:
    assert weighted_p_values([1.0, 2.0], [0.0, 1.0], [1.5], [0.0]).tolist() == [1.0]
    assert weighted_p_values([1.0], [1.0], [5.0], [0.0]).tolist() == [0.0]
    assert np.isnan(weighted_p_values([1.0], [0.0], [0.5], [0.0])).all()
    assert weighted_p_values([math.nan, 1.0], [9.0, 1.0], [0.5], [1.0]).tolist() == [1.0]


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        weighted_p_values([0.1, 0.2], weights, [0.1], [1.0])


@given(st.lists(st.integers(0, 3).map(float), max_size=20), st.integers(0, 5))
def test_online_p_values_rank_each_score_among_those_before(scores: list[float], seed: int) -> None:
    found = online_p_values(scores, np.random.default_rng(seed))
    for index, p_value in enumerate(found.tolist()):
        past, score = scores[: index + 1], scores[index]
        above = sum(other > score for other in past)
        assert above <= p_value * len(past) * (1 + 1e-12)
        assert p_value * len(past) <= above + past.count(score) + 1e-9


@pytest.mark.statistical
def test_online_p_values_are_uniform_and_independent() -> None:
    rng = np.random.default_rng(24)
    found = online_p_values(rng.integers(0, 4, 4000).astype(float), rng)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert stats.spearmanr(found[:-1], found[1:]).pvalue > 0.01


def test_online_p_values_pass_over_nan() -> None:
    rng = np.random.default_rng(25)
    found = online_p_values([1.0, math.nan, math.inf, 0.0], rng)
    assert np.isnan(found).tolist() == [False, True, False, False]
    assert found[2] <= 1 / 2
    assert found[3] > 2 / 3


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_each_bet_is_fair(first: float, rate: float) -> None:
    # The growth is linear in p, so its mean under a uniform p is its value at 1/2.
    state = jump(Jumper(), first, rate)
    assert jump(state, 0.5, rate).growth == pytest.approx(1.0)
    ends = jump(state, 0.0, rate).growth + jump(state, 1.0, rate).growth
    assert ends == pytest.approx(2.0)


def test_the_martingale_is_the_jumper_step_by_step() -> None:
    stream = [0.1, math.nan, 0.7, 0.02]
    state, logs = Jumper(), []
    for p_value in stream:
        state = jump(state, p_value, 0.1)
        logs.append(state.log_capital)
    assert martingale(stream, 0.1).tolist() == logs
    assert logs[0] == logs[1]
    assert jump(state, math.nan).growth == 1.0


@given(st.lists(st.floats(0.0, 1.0), max_size=30), st.sampled_from([0.0, 0.01, 1.0]))
def test_capital_is_the_mixture_over_all_paths_of_jumps(stream: list[float], rate: float) -> None:
    # By the definition: a Markov chain of slopes that jumps to a random one with the rate.
    capital = np.full(3, 1 / 3)
    for p_value in stream:
        capital = (1.0 - rate) * capital + rate * capital.sum() / 3.0
        capital *= 1.0 + np.array([-1.0, 0.0, 1.0]) * (p_value - 0.5)
    last = martingale(stream, rate)[-1] if stream else 0.0
    assert last == pytest.approx(math.log(capital.sum()), abs=1e-9)


@pytest.mark.statistical
def test_capital_ever_reaches_twenty_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(26)
    peaks = [martingale(rng.random(400)).max() for _ in range(300)]
    assert np.mean(np.exp(peaks) >= 20.0) <= 0.05


def test_a_change_of_distribution_is_found_without_knowing_either() -> None:
    rng = np.random.default_rng(27)
    scores = np.concatenate((rng.standard_t(2.0, 500), rng.standard_t(2.0, 500) + 2.0))
    path = martingale(online_p_values(scores, rng))
    assert path[:500].max() < math.log(20.0)
    assert path[:600].max() > math.log(1000.0)


def test_the_martingale_holds_for_a_long_time_of_certain_change() -> None:
    assert np.isfinite(martingale(np.zeros(5000))[-1])


@pytest.mark.parametrize(("p_value", "rate"), [(1.5, 0.01), (-0.1, 0.01), (0.5, 2.0), (0.5, -1.0)])
def test_what_is_no_p_value_or_rate_is_refused(p_value: float, rate: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        jump(Jumper(), p_value, rate)
