import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.difference import (
    Difference,
    anytime_interval,
    anytime_p,
    difference,
    relative,
    steadied,
    welch_interval,
    welch_p,
)
from homeostat.stats.moments import Moments

SAMPLES = st.lists(st.floats(-50.0, 50.0), min_size=3, max_size=30).filter(
    lambda rows: float(np.std(rows)) > 1e-3
)
FOUND = st.builds(
    Difference, st.floats(-2.0, 2.0), st.floats(0.01, 1.0), st.floats(10.0, 1e6), st.just(50.0)
)


def of(rows: list[float]) -> Moments:
    return Moments(len(rows), float(np.mean(rows)), float(np.var(rows, ddof=1)))


@settings(max_examples=25)
@given(SAMPLES, SAMPLES)
def test_welch_agrees_with_scipy(one: list[float], other: list[float]) -> None:
    found = difference(of(one), of(other))
    expected = stats.ttest_ind(other, one, equal_var=False)
    assert found.dof == pytest.approx(expected.df, rel=1e-9)
    assert welch_p(found) == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-12)
    bounds = expected.confidence_interval(0.9)
    interval = welch_interval(found, 0.9)
    assert interval.lower == pytest.approx(bounds.low, rel=1e-7, abs=1e-9)
    assert interval.upper == pytest.approx(bounds.high, rel=1e-7, abs=1e-9)
    greater = stats.ttest_ind(other, one, equal_var=False, alternative="greater")
    assert welch_p(found, one_sided=True) == pytest.approx(greater.pvalue, rel=1e-7, abs=1e-12)


def test_a_factor_is_a_difference_from_a_multiple() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(10.0, 1.0, 80), rng.normal(9.0, 2.0, 60)
    found = difference(of(one.tolist()), of(other.tolist()), 0.95)
    expected = stats.ttest_ind(other, 0.95 * one, equal_var=False)
    assert welch_p(found) == pytest.approx(expected.pvalue, rel=1e-9)


def test_a_relative_change_is_what_bootstrap_says() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.gamma(2.0, 5.0, 400), rng.gamma(2.0, 6.0, 300)
    found = relative(of(one.tolist()), of(other.tolist()))
    drawn = (
        rng.choice(other, (4000, 300)).mean(axis=1) / rng.choice(one, (4000, 400)).mean(axis=1) - 1
    )
    assert found.value == pytest.approx(other.mean() / one.mean() - 1.0)
    assert found.error == pytest.approx(drawn.std(), rel=0.05)


@settings(max_examples=40)
@given(FOUND, st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([100.0, 5000.0]))
def test_the_anytime_p_value_and_interval_agree(
    found: Difference, alpha: float, tuned: float
) -> None:
    interval = anytime_interval(found, 1.0 - alpha, tuned)
    p_value = anytime_p(found, 1.0 - alpha, tuned)
    if abs(p_value - alpha) > 1e-9:
        assert (p_value < alpha) is (0.0 not in interval)
    lower = anytime_interval(found, 1.0 - alpha, tuned, one_sided=True).lower
    p_value = anytime_p(found, 1.0 - alpha, tuned, one_sided=True)
    if abs(p_value - alpha) > 1e-9:
        assert (p_value < alpha) is (lower > 0.0)


@settings(max_examples=30)
@given(FOUND)
def test_one_side_is_narrower_than_two_and_both_wider_than_a_fixed_size(found: Difference) -> None:
    fixed = welch_interval(found)
    both = anytime_interval(found)
    one = anytime_interval(found, one_sided=True)
    assert both.lower < one.lower < found.value
    normal = found.value - 1.959964 * found.error
    assert both.lower < normal
    assert fixed.lower < normal


def test_seen_from_the_other_side_an_effect_is_as_strong() -> None:
    found = difference(Moments(900, 1.0, 1.0), Moments(900, 1.2, 1.0))
    other = found.times(-1.0)
    assert anytime_p(found) == anytime_p(other)
    assert anytime_p(found, one_sided=True) < 0.05
    assert anytime_p(other, one_sided=True) == 1.0


@pytest.mark.parametrize(
    ("control", "treated"),
    [
        (Moments(0, math.nan, math.nan), Moments(9, 1.0, 1.0)),
        (Moments(9, 1.0, 1.0), Moments(1, 1.0, math.nan)),
        (Moments(9, 1.0, 0.0), Moments(9, 2.0, 0.0)),
        (Moments(9, math.nan, math.nan), Moments(9, 2.0, 1.0)),
    ],
    ids=["empty", "one row", "constant", "undefined"],
)
def test_what_cannot_be_tested_is_not(control: Moments, treated: Moments) -> None:
    for found in (difference(control, treated), relative(control, treated)):
        assert not found.testable
        assert math.isnan(welch_p(found))
        assert math.isnan(anytime_p(found))
        assert math.isnan(welch_interval(found).lower)
        assert math.isnan(anytime_interval(found).upper)


def test_there_is_no_change_relative_to_nothing() -> None:
    nearly = relative(Moments(9, 1e-200, 1.0), Moments(9, 2.0, 1.0))
    assert not nearly.testable
    assert not relative(Moments(9, 0.0, 1.0), Moments(9, 2.0, 1.0)).testable


def test_the_small_side_is_never_surer_than_both_together() -> None:
    large, small = Moments(900, 5.0, 100.0), Moments(100, 4.0, 20.0)
    assert steadied(large, small) == (large, Moments(100, 4.0, 92.0))
    assert steadied(small, large) == (Moments(100, 4.0, 92.0), large)
    wide = Moments(100, 4.0, 200.0)
    assert steadied(large, wide) == (large, wide)
    nothing = Moments(0, math.nan, math.nan)
    assert math.isnan(steadied(nothing, nothing)[1].variance)


def test_a_billion_rows_are_no_trouble() -> None:
    found = difference(Moments(1e9, 0.1, 0.09), Moments(1e9, 0.1001, 0.09))
    assert anytime_p(found, tuned_for=1e9) < 1e-6
    assert welch_p(found) < 1e-10
    assert difference(Moments(1e9, 0.1, 0.09), Moments(1e9, 0.1, 0.09)).testable
