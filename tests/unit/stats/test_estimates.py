"""Means, totals and ratios of skewed numbers."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.estimates import Estimate, difference, mean, pool, ratio, total

FINITE = st.floats(-1e3, 1e3, allow_subnormal=False)


def test_without_skewness_it_is_students_interval() -> None:
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0] * 8) + 5.0
    low, high = stats.t.interval(0.95, 39, loc=5.0, scale=stats.sem(values))
    found = mean(values)
    assert (found.lower, found.upper) == pytest.approx((low, high))


@given(st.lists(FINITE, min_size=2, max_size=40))
@example([0.0, 3e-160])
def test_it_never_reaches_less_far_than_students(values: list[float]) -> None:
    numbers = np.array(values)
    found = mean(numbers)
    if numbers.std() > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, numbers.mean(), stats.sem(numbers))
        assert found.lower <= low + 1e-9
        assert found.upper >= high - 1e-9


def test_the_long_tail_is_where_the_truth_may_be() -> None:
    amounts = np.random.default_rng(3).lognormal(0.0, 1.5, 300)
    up, down = mean(amounts), mean(-amounts)
    assert up.upper - up.value > 1.3 * (up.value - up.lower)
    assert (down.lower, down.upper) == pytest.approx((-up.upper, -up.lower))


def test_nothing_and_next_to_nothing() -> None:
    for found in (mean(np.empty(0)), total(np.empty(0)), ratio(np.empty(0), np.empty(0))):
        assert math.isnan(found.value)
        assert not found.bounded
    assert mean(np.array([3.0])).value == 3.0
    assert not mean(np.array([3.0])).bounded
    assert not ratio(np.array([3.0]), np.array([2.0])).bounded
    assert mean(np.full(9, 2.0)) == Estimate(2.0, 2.0, 2.0)
    assert math.isnan(ratio(np.ones(4), np.zeros(4)).value)


def test_a_denominator_that_may_be_zero_leaves_any_ratio_possible() -> None:
    below = np.array([1.0, -1.0, 1.0, -0.9])
    assert not ratio(np.ones(4), below).bounded


def test_a_ratio_by_the_delta_method() -> None:
    rng = np.random.default_rng(0)
    below = rng.normal(10.0, 1.0, 5000)
    above = 0.3 * below + rng.normal(0.0, 1.0, 5000)
    found = ratio(above, below)
    error = np.std(above - found.value * below) / below.mean() / math.sqrt(5000)
    assert found.value == pytest.approx(0.3, abs=4 * error)
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * error, rel=0.01)


def test_pooling_and_differences() -> None:
    one, other = Estimate(1.0, 0.0, 3.0), Estimate(5.0, 4.0, 6.0)
    both = pool([(one, 1.0), (other, 3.0), (Estimate(9.0), 5.0)])
    assert both.value == 4.0
    assert both.lower == pytest.approx(4.0 - math.hypot(1.0, 3.0) / 4.0)
    assert both.upper == pytest.approx(4.0 + math.hypot(2.0, 3.0) / 4.0)
    assert math.isnan(pool([(Estimate(2.0), 1.0)]).value)
    gap = difference(other, one)
    assert gap.value == 4.0
    assert gap.lower == pytest.approx(4.0 - math.hypot(1.0, 2.0))
    assert not difference(one, Estimate(1.0)).bounded


@pytest.mark.statistical
@pytest.mark.parametrize("share", [1.0, 0.05], ids=["all", "rare"])
def test_intervals_of_money_cover(share: float) -> None:
    rng = np.random.default_rng(11)
    truth = share * math.exp(0.5)
    hits = {"mean": 0, "total": 0, "ratio": 0}
    repetitions = 1000
    for _ in range(repetitions):
        n = int(rng.poisson(800))
        money = rng.lognormal(0.0, 1.0, n) * (rng.random(n) < share)
        asked = rng.lognormal(0.0, 0.5, n)
        for name, found, true in (
            ("mean", mean(money), truth),
            ("total", total(money), 800 * truth),
            ("ratio", ratio(money, asked), truth / math.exp(0.125)),
        ):
            hits[name] += found.lower <= true <= found.upper
    assert all(0.925 <= count / repetitions <= 0.975 for count in hits.values()), hits
