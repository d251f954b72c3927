"""What is usual at an hour and weekday, and how far off it usually lies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.seasonal import MOST_MEMORY, Floats, Seasonal, fit_seasonal


def fitted(values: Floats, *, day: int = 1, errors: Floats | None = None) -> Seasonal:
    """Windows in a row from a Monday, `day` of them a day."""
    at = np.arange(values.size)
    hours = (at % day) * (24 // day)
    known = np.zeros(values.size) if errors is None else errors
    return fit_seasonal(values, known, hours, at // day % 7, at > 0)


def autoregressive(rng: np.random.Generator, n: int, memory: float) -> Floats:
    found = np.empty(n)
    found[0] = rng.normal()
    for at in range(1, n):
        found[at] = memory * found[at - 1] + rng.normal() * math.sqrt(1.0 - memory**2)
    return found


def test_hour_and_weekday_are_told_apart_in_spite_of_outliers() -> None:
    rng = np.random.default_rng(1)
    at = np.arange(24 * 42)
    truth = 50.0 + 5.0 * (at % 24 >= 12) - 8.0 * (at // 24 % 7 >= 5)
    values = truth + rng.normal(0.0, 1.0, at.size)
    values[::97] += 60.0
    found = fitted(values, day=24)
    for hour, weekday, usual in ((3, 1, 50.0), (15, 1, 55.0), (3, 6, 42.0), (15, 6, 47.0)):
        assert found.expected(hour, weekday) == pytest.approx(usual, abs=0.8)
    assert found.scale == pytest.approx(1.0, abs=0.1)


def test_no_season_leaves_next_to_none() -> None:
    sizes = [
        fitted(np.random.default_rng(seed).normal(0.0, 1.0, 84)).weekdays.std()
        for seed in range(40)
    ]
    plain = math.sqrt(7 / 84)
    assert np.mean(sizes) < plain / 2.0


def test_too_short_a_history_has_no_season() -> None:
    found = fitted(np.arange(14.0))
    assert not found.weekdays.any()
    assert not found.hours.any()


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_memory_between_windows(memory: float) -> None:
    rng = np.random.default_rng(5)
    seen = [fitted(autoregressive(rng, 200, memory)).memory for _ in range(30)]
    assert np.mean(seen) == pytest.approx(memory, abs=0.06)
    assert max(seen) <= MOST_MEMORY


def test_memory_needs_windows_in_a_row() -> None:
    values = autoregressive(np.random.default_rng(0), 60, 0.8)
    zeros = np.zeros(60, dtype=np.int64)
    apart = fit_seasonal(values, np.zeros(60), zeros, zeros, np.zeros(60, dtype=bool))
    assert apart.memory == 0.0


def test_slow_movements_raise_the_inflation_and_noise_does_not() -> None:
    rng = np.random.default_rng(2)
    quiet = [fitted(rng.normal(0.0, 1.0, 112)).inflation for _ in range(30)]
    assert np.median(quiet) < 1.15
    moving = [
        fitted(np.repeat(rng.normal(0.0, 1.0, 16), 7) + rng.normal(0.0, 1.0, 112)).inflation
        for _ in range(30)
    ]
    assert np.median(moving) > 1.25


def test_windows_known_less_well_deviate_less() -> None:
    rng = np.random.default_rng(3)
    errors = np.where(np.arange(200) % 2 == 0, 0.1, 1.0)
    found = fitted(5.0 + rng.normal(0.0, 1.0, 200) * errors, errors=errors)
    assert found.level == pytest.approx(5.0, abs=0.05)
    sharp, dull = (found.deviation(7.0, error, 0, 0) for error in (0.1, 1.0))
    assert sharp > dull
    low, high = found.band(1.0, 0, 0)
    inner_low, inner_high = found.band(0.1, 0, 0)
    assert low < inner_low < inner_high < high


def test_news_of_the_history_is_uniform_and_ranks_are_conformal() -> None:
    history = np.random.default_rng(4).normal(0.0, 1.0, 99)
    zeros = np.zeros(99, dtype=np.int64)
    found = fit_seasonal(history, np.zeros(99), zeros, zeros, np.zeros(99, dtype=bool))
    middle = float(np.sort(found.deviations)[49])
    assert found.score(middle) == pytest.approx(0.0, abs=0.02)
    assert stats.kstest(found.scores, "norm").pvalue > 0.99
    inside = np.sort(found.deviations)[[10, 30, 70, 90]]
    ranks = [found.p_value(float(value)) for value in inside]
    assert ranks == pytest.approx([2 * 0.11, 2 * 0.31, 2 * 0.29, 2 * 0.09], abs=0.011)


@pytest.mark.statistical
@pytest.mark.parametrize(("windows", "most"), [(28, 2 / 29), (56, 0.05)], ids=["28", "56"])
def test_windows_to_come_are_ranked_as_the_history_is(windows: int, most: float) -> None:
    # Of n windows' ranks, the extremes alone make up 2 / (n + 1).
    rng, found, scores = np.random.default_rng(windows), [], []
    for _ in range(150):
        values = rng.normal(0.0, 1.0, windows + 7) - 3.0 * (np.arange(windows + 7) % 7 >= 5)
        known = fitted(values[:windows])
        for at in range(windows + 3, windows + 7):
            deviation = known.deviation(float(values[at]), 0.0, 0, at % 7)
            found.append(known.p_value(deviation) < 0.05)
            scores.append(known.score(deviation))
    assert np.mean(found) <= most
    assert np.std(scores) == pytest.approx(1.0, abs=0.06)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_scores_rise_with_news(one: float, other: float) -> None:
    found = fitted(np.random.default_rng(0).normal(0.0, 1.0, 60))
    low, high = sorted((one, other))
    assert found.score(low) <= found.score(high)
    assert 0.0 < found.p_value(one) <= 1.0
    assert math.isfinite(found.score(one))


def test_beyond_the_history_the_tail_is_pareto() -> None:
    found = fitted(np.random.default_rng(0).standard_t(3, 400))
    far, farther = (float(stats.norm.sf(found.score(size))) for size in (20.0, 40.0))
    assert 0.0 < farther < far < 1 / 400
    assert far / farther == pytest.approx(2.0**3, rel=0.6)


@pytest.mark.parametrize("rest", [0.0, 1.0], ids=["all-equal", "mostly-equal"])
@pytest.mark.parametrize("season", [1, 0], ids=["weekdays", "no-season"])
def test_equal_figures(rest: float, season: int) -> None:
    values = np.full(60, 7.0)
    values[::9] += rest
    zeros, at = np.zeros(60, dtype=np.int64), np.arange(60)
    found = fit_seasonal(values, np.zeros(60), zeros, season * (at % 7), at > 0)
    assert found.expected(0, 1) == pytest.approx(7.0, abs=0.2)
    assert found.score(found.deviation(9.0, 0.0, 0, 1)) > 1.5
    assert -99.0 < found.score(found.deviation(5.0, 0.0, 0, 1)) < -1.5


def test_a_window_after_a_gap_has_no_memory() -> None:
    found = fitted(autoregressive(np.random.default_rng(8), 100, 0.7))
    assert found.renewal(1.5, None) == 1.5
    after = found.renewal(1.5, 1.5)
    assert after == pytest.approx(
        1.5 * math.sqrt((1.0 - found.memory) / (1.0 + found.memory)), rel=1e-9
    )
