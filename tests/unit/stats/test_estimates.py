"""Means, totals and ratios of skewed numbers."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.estimates import (
    NO_ROWS,
    ONE_ROW,
    Estimate,
    at_least,
    difference,
    mean,
    missing,
    pool,
    positive,
    rate,
    ratio,
    total,
)

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
    none, one = np.empty(0), np.array([3.0])
    for found in (mean(none), total(none), ratio(none, none), rate(0, 0)):
        assert math.isnan(found.value)
        assert (found.bounded, found.problem) == (False, NO_ROWS)
    for single in (mean(one), total(one), ratio(one, np.ones(1))):
        assert (single.value, single.n) == (3.0, 1)
        assert (single.bounded, single.problem) == (False, ONE_ROW)
    assert mean(np.full(9, 2.0)) == Estimate(2.0, 2.0, 2.0, 9)
    assert math.isnan(ratio(np.ones(4), np.zeros(4)).value)


def test_numbers_out_of_range_have_no_estimate() -> None:
    huge = np.array([1e308, -1e308, 1e308])
    with np.errstate(over="ignore", invalid="ignore"):
        for found in (mean(huge * 10.0), total(huge), ratio(huge, np.array([1.0, 1.0, 1.01]))):
            assert math.isnan(found.value)
            assert found.problem.startswith("too large")


def test_an_error_beyond_all_bounds_is_no_interval() -> None:
    assert "too large" in positive(1e-9, np.full(30, 9.0), 30, 2.0).problem


def test_too_few_rows_are_named() -> None:
    enough = Estimate(0.5, 0.4, 0.6, 40)
    assert at_least(enough, 40, 30) is enough
    assert at_least(enough, 40, 50).problem == "40 labelled rows, 50 are needed"
    assert at_least(missing("no"), 0, 30).problem == "no"
    assert enough.interval.lower == 0.4


def test_a_denominator_that_may_be_zero_leaves_any_ratio_possible() -> None:
    below = np.array([1.0, -1.0, 1.0, -0.9])
    assert "next to nothing" in ratio(np.ones(4), below).problem


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
    assert difference(missing("why"), one).problem == "why"


@pytest.mark.statistical
@pytest.mark.unwatched
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


@pytest.mark.statistical
@pytest.mark.unwatched
def test_the_loss_of_rare_positives_is_covered_where_students_interval_is_not() -> None:
    rng = np.random.default_rng(6)
    hits, plain = [], []
    for _ in range(800):
        chances = 1.0 / (1.0 + np.exp(-rng.normal(-2.2, 1.5, 50)))
        loss = -np.log(np.where(rng.random(50) < chances, chances, 1.0 - chances))
        found, error = mean(loss), stats.sem(loss)
        reach = stats.t.ppf(0.975, 49) * error
        hits.append(found.lower <= 0.3485 <= found.upper)
        plain.append(abs(loss.mean() - 0.3485) <= reach)
    assert 0.93 <= np.mean(hits) <= 0.975
    assert np.mean(plain) < np.mean(hits) - 0.01
