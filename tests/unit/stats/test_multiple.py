"""Adjusted p-values, rejections and combined evidence."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats import evidence
from homeostat.stats.multiple import (
    average_e,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    cauchy,
    e_bh,
    holm,
    rejected,
)

Floats = NDArray[np.float64]
Rule = Callable[[list[float]], Floats]

RULES: list[Rule] = [bonferroni, holm, benjamini_hochberg, benjamini_yekutieli]
P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20)
EVERY_RULE = pytest.mark.parametrize("rule", RULES)

# Benjamini & Hochberg (1995), section 3.2: fifteen p-values of a myocardial infarction trial, of
# which Bonferroni rejects three at 5 % and their own procedure four.
INFARCTION = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
INFARCTION += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]


def test_the_trial_of_the_paper_on_false_discoveries() -> None:
    assert rejected(bonferroni(INFARCTION), 0.05) == (0, 1, 2)
    assert rejected(holm(INFARCTION), 0.05) == (0, 1, 2)
    assert rejected(benjamini_hochberg(INFARCTION), 0.05) == (0, 1, 2, 3)


@given(P_VALUES)
def test_false_discovery_control_equals_scipy(p_values: list[float]) -> None:
    for rule, method in ((benjamini_hochberg, "bh"), (benjamini_yekutieli, "by")):
        expected = stats.false_discovery_control(p_values, method=method)
        np.testing.assert_allclose(rule(p_values), expected, rtol=1e-12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@EVERY_RULE
@given(p_values=P_VALUES, index=st.integers(0, 19), smaller=st.floats(0.0, 1.0))
def test_a_smaller_p_value_makes_no_other_larger(
    rule: Rule, p_values: list[float], index: int, smaller: float
) -> None:
    index %= len(p_values)
    lowered = [*p_values]
    lowered[index] *= smaller
    assert np.all(rule(lowered) <= rule(p_values))


@EVERY_RULE
@given(p_values=P_VALUES, data=st.data())
def test_order_does_not_matter(rule: Rule, p_values: list[float], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(p_values))))
    shuffled = rule([p_values[i] for i in order])
    np.testing.assert_array_equal(shuffled, rule(p_values)[list(order)])


@EVERY_RULE
@given(p_values=P_VALUES, where=st.integers(0, 20))
def test_no_test_is_not_counted(rule: Rule, p_values: list[float], where: int) -> None:
    where = min(where, len(p_values))
    adjusted = rule([*p_values[:where], math.nan, *p_values[where:]])
    assert math.isnan(adjusted[where])
    np.testing.assert_array_equal(np.delete(adjusted, where), rule(p_values))
    assert where not in rejected(adjusted, 1.0)


@EVERY_RULE
@given(p_values=P_VALUES)
def test_adjusting_never_lowers_and_keeps_order(rule: Rule, p_values: list[float]) -> None:
    adjusted = rule(p_values)
    assert np.all((adjusted >= np.asarray(p_values) * (1 - 1e-15)) & (adjusted <= 1.0))
    assert np.all(np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0.0)


@given(P_VALUES)
def test_the_rules_rank_as_theory_says(p_values: list[float]) -> None:
    slack = 1 + 1e-12
    assert np.all(holm(p_values) <= bonferroni(p_values))
    assert np.all(benjamini_hochberg(p_values) <= holm(p_values) * slack)
    assert np.all(benjamini_hochberg(p_values) <= benjamini_yekutieli(p_values))


@EVERY_RULE
def test_nothing_to_adjust(rule: Rule) -> None:
    assert rule([]).shape == (0,)
    assert np.isnan(rule([math.nan, math.nan])).all()
    assert rejected(rule([math.nan]), 0.5) == ()


@EVERY_RULE
@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.inf])
def test_what_is_no_p_value_is_refused(rule: Rule, wrong: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        rule([0.5, wrong])


@pytest.mark.parametrize("level", [-0.1, 1.5, math.nan])
def test_what_is_no_error_rate_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="error rate"):
        rejected([0.5], level)


def test_a_table_of_p_values_is_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        holm([[0.1, 0.2]])  # type: ignore[list-item]


def equicorrelated(rng: np.random.Generator, rows: int, tests: int, rho: float) -> Floats:
    own = rng.normal(size=(rows, tests)) * math.sqrt(1.0 - rho)
    return np.asarray(own + rng.normal(size=(rows, 1)) * math.sqrt(rho))


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_error_rates_hold_with_a_third_of_the_nulls_false(rho: float) -> None:
    z = equicorrelated(np.random.default_rng(4), 3000, 15, rho)
    z[:, :5] += 3.0
    p_values = stats.norm.sf(z)
    family, share = dict.fromkeys(RULES, 0.0), dict.fromkeys(RULES, 0.0)
    for row in p_values:
        for rule in RULES:
            named = rejected(rule(row), 0.1)
            false = sum(index >= 5 for index in named)
            family[rule] += (false > 0) / len(z)
            share[rule] += false / max(1, len(named)) / len(z)
    slack = 3.0 * math.sqrt(0.1 * 0.9 / len(z))
    assert max(family[bonferroni], family[holm]) <= 0.1 + slack
    assert max(share[benjamini_hochberg], share[benjamini_yekutieli]) <= 0.1 + slack
    assert family[holm] >= family[bonferroni]
    if rho == 0.0:  # exactly the level times the share of true nulls
        assert share[benjamini_hochberg] == pytest.approx(0.1 * 10 / 15, abs=slack)


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


def test_e_bh_of_streams_without_a_test_and_with_proof() -> None:
    assert e_bh([math.nan, 110.0, math.inf], 80.0) == (1, 2)
    assert e_bh([math.nan], 0.0) == ()


def test_there_is_one_e_bh() -> None:
    assert evidence.e_bh is e_bh


@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=15))
def test_e_bh_of_inverse_p_values_is_benjamini_hochberg(p_values: list[float]) -> None:
    # Both compare p with i / (20 m); leave out ties with that line, where rounding decides.
    ratios = np.sort(p_values) * len(p_values) * 20.0
    if np.min(np.abs(ratios - np.round(ratios))) > 1e-9:
        named = e_bh(1.0 / np.asarray(p_values), 20.0)
        assert named == rejected(benjamini_hochberg(p_values), 0.05)


def test_e_bh_controls_false_discoveries_under_dependence() -> None:
    z = equicorrelated(np.random.default_rng(5), 4000, 12, 0.8)
    z[:, :3] += 4.0
    e_values = np.exp(3.0 * z - 4.5)
    shares = [sum(i >= 3 for i in n) / max(1, len(n)) for n in (e_bh(e, 10.0) for e in e_values)]
    assert np.mean(shares) <= 0.1
    assert np.mean([len(e_bh(e, 10.0)) for e in e_values]) > 2.0


def test_average_of_e_values() -> None:
    assert average_e([3.0, math.nan, 5.0]) == 4.0
    assert average_e([math.nan]) == 1.0
    assert average_e([1.0, math.inf]) == math.inf
    with pytest.raises(ValueError, match="never negative"):
        average_e([-1.0])


def test_cauchy_is_its_formula() -> None:
    p_values, weights = np.array([0.02, 0.3, 0.6]), np.array([0.5, 0.2, 0.3])
    expected = 0.5 - math.atan(float(weights @ np.tan((0.5 - p_values) * np.pi))) / math.pi
    assert cauchy(p_values, weights) == pytest.approx(expected, rel=1e-12)
    assert cauchy(p_values, weights * 7.0) == pytest.approx(expected, rel=1e-12)


def test_cauchy_of_tiny_p_values_keeps_its_digits() -> None:
    # In the tail 1 / p adds up: the harmonic mean of the p-values.
    assert cauchy([1e-200, 0.5]) == pytest.approx(2e-200)
    assert 0.0 < cauchy([5e-324, 1.0]) < 1e-299


def test_cauchy_at_the_ends() -> None:
    assert cauchy([0.0, 1.0, 0.5]) == 0.0
    assert cauchy([1.0]) == 1.0
    assert cauchy([0.2]) == 0.2
    assert 0.9 < cauchy([1.0, 1.0, 1.0]) < 1.0
    assert cauchy([0.0001, *[1.0] * 9]) == pytest.approx(0.001, rel=0.1)  # not silenced


def test_cauchy_without_a_test() -> None:
    assert math.isnan(cauchy([]))
    assert math.isnan(cauchy([math.nan, 0.1], [1.0, 0.0]))
    assert cauchy([math.nan, 0.1, 0.3]) == cauchy([0.1, 0.3])


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]])
def test_cauchy_refuses_weights_that_do_not_fit(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        cauchy([0.1, 0.2], weights)


@given(P_VALUES, st.integers(0, 19), st.floats(0.0, 1.0), st.data())
def test_cauchy_is_monotone_and_symmetric(
    p_values: list[float], index: int, smaller: float, data: st.DataObject
) -> None:
    lowered = [*p_values]
    lowered[index % len(p_values)] *= smaller
    whole = cauchy(p_values)
    assert cauchy(lowered) <= whole * (1 + 1e-9)
    assert cauchy(data.draw(st.permutations(p_values))) == pytest.approx(whole, rel=1e-9)


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize(("rho", "limit"), [(0.0, 1.1), (0.5, 1.4), (0.99, 1.1)])
def test_cauchy_keeps_small_levels_however_tests_depend(rho: float, limit: float) -> None:
    z = equicorrelated(np.random.default_rng(6), 40_000, 35, rho)
    combined = np.array([cauchy(row) for row in 2.0 * stats.norm.sf(np.abs(z))])
    level = 0.01
    slack = 3.0 * math.sqrt(level / len(z))
    assert np.mean(combined <= level) <= limit * level + slack
    assert np.mean(combined <= level) >= 0.8 * level - slack


def test_cauchy_finds_one_strong_test_among_many() -> None:
    rng = np.random.default_rng(7)
    rows = rng.random((300, 35))
    rows[:, 3] = stats.norm.sf(rng.normal(4.0, 1.0, 300))
    assert np.mean([cauchy(row) <= 0.05 for row in rows]) > 0.75
