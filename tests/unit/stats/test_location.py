from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats import location
from homeostat.stats.significance import NOTHING, Significance

Sample = NDArray[np.float64]
TESTS: list[Callable[..., Significance]] = [
    location.mann_whitney,
    location.t_test,
    location.z_test,
]
SAMPLE = st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=40).map(np.array)


@given(SAMPLE, SAMPLE)
def test_mann_whitney_with_ties_agrees_with_scipy(x: Sample, y: Sample) -> None:
    both = np.concatenate((x, y))
    assume(1 < np.unique(both).size < both.size)
    expected = stats.mannwhitneyu(x, y, method="asymptotic")
    found = location.mann_whitney(x, y)
    assert found.statistic == expected.statistic
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-7)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 4), (8, 60), (25, 30)])
def test_mann_whitney_is_exact_without_ties(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n), rng.normal(0.5, size=m)
    expected = stats.mannwhitneyu(x, y, method="exact")
    assert location.mann_whitney(x, y).p_value == pytest.approx(expected.pvalue)


def test_mann_whitney_takes_the_limit_where_orders_are_too_many() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=400), rng.normal(0.1, size=700)
    expected = stats.mannwhitneyu(x, y, method="asymptotic")
    assert location.mann_whitney(x, y).p_value == pytest.approx(expected.pvalue)


def test_ranks_take_infinities() -> None:
    found = location.mann_whitney([1.0, 2.0, np.inf, np.nan], [-np.inf, 0.0, 0.5, 3.0])
    assert found == location.mann_whitney([1.0, 2.0, 9.0], [-9.0, 0.0, 0.5, 3.0])


@pytest.mark.filterwarnings("ignore:Precision loss")  # SciPy on one side being constant
@pytest.mark.parametrize("equal_variance", [True, False])
@given(x=SAMPLE, y=SAMPLE)
def test_t_agrees_with_scipy(x: Sample, y: Sample, equal_variance: bool) -> None:
    assume(x.std() + y.std() > 0.0)
    expected = stats.ttest_ind(x, y, equal_var=equal_variance)
    found = location.t_test(x, y, equal_variance=equal_variance)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-7)
    assert found.dof == pytest.approx(expected.df)


@given(SAMPLE, SAMPLE)
def test_z_is_welchs_t_with_a_normal_tail(x: Sample, y: Sample) -> None:
    assume(x.std() + y.std() > 0.0)
    found = location.z_test(x, y)
    assert found.statistic == pytest.approx(location.t_test(x, y).statistic, abs=1e-12)
    assert found.p_value == pytest.approx(2.0 * stats.norm.sf(abs(found.statistic)))


def test_equal_weights_say_almost_what_rows_say() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=500), rng.normal(0.1, size=600)
    plain, weighted = location.z_test(x, y), location.z_test(x, y, np.full(500, 3.0), np.ones(600))
    assert weighted.statistic == pytest.approx(plain.statistic, rel=2e-3)  # n for n - 1


@pytest.mark.statistical
def test_weighted_means_keep_the_level_even_if_weights_follow_values() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(1000):
        x, y = rng.normal(size=400), rng.normal(size=300)
        found.append(location.z_test(x, y, np.exp(x / 2.0), np.exp(y / 2.0)).p_value)
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.022)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1.0, 1e150, 1e308])
def test_units_do_not_matter(scale: float) -> None:
    x, y = np.array([0.1, 0.2, 0.35, 0.5]), np.array([0.4, 0.6, 0.3, 0.9, 1.0])
    for test in TESTS:
        found = test(x * scale, y * scale)
        assert found.p_value == pytest.approx(test(x, y).p_value)


@pytest.mark.parametrize("test", TESTS[1:])
def test_an_infinite_mean_is_no_mean(test: Callable[..., Significance]) -> None:
    assert str(test([1.0, 2.0, np.inf], [1.0, 2.0])) == str(NOTHING)
    assert str(test([1.0, 2.0, 3.0], [1.0, -np.inf])) == str(NOTHING)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([], [1.0, 2.0]), ([np.nan], [1.0, 2.0]), ([0.1] * 7, [0.1] * 4)],
)
def test_nothing_to_test_gives_no_p_value(
    test: Callable[..., Significance], x: list[float], y: list[float]
) -> None:
    assert str(test(x, y)) == str(NOTHING)


@pytest.mark.parametrize("test", TESTS[1:])
def test_means_need_two_rows_and_some_variance(test: Callable[..., Significance]) -> None:
    assert str(test([1.0], [1.0, 2.0])) == str(NOTHING)
    assert str(test([0.1] * 9, [0.2] * 9)) == str(NOTHING)
    assert str(test([0.0] * 9, [0.0] * 9)) == str(NOTHING)
    assert test([0.1] * 9, [0.2, 0.3, 0.2, 0.3]).p_value < 0.05


def test_weights_that_are_all_zero_leave_nothing() -> None:
    assert str(location.z_test([1.0, 2.0], [1.0, 3.0], [0.0, 0.0])) == str(NOTHING)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.statistical
def test_level_holds_at_unequal_sizes(test: Callable[..., Significance], ties: bool) -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(800):
        x, y = rng.normal(size=60), rng.normal(size=250)
        found.append(test(x.round() if ties else x, y.round() if ties else y).p_value)
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.025)


@pytest.mark.statistical
def test_welch_keeps_its_level_where_student_does_not() -> None:
    rng = np.random.default_rng(5)
    pairs = [(rng.normal(0, 3, 10), rng.normal(0, 1, 60)) for _ in range(800)]
    welch = [location.t_test(x, y).p_value < 0.05 for x, y in pairs]
    student = [location.t_test(x, y, equal_variance=True).p_value < 0.05 for x, y in pairs]
    assert np.mean(welch) == pytest.approx(0.05, abs=0.025)
    assert np.mean(student) > 0.2


@pytest.mark.parametrize("test", TESTS)
def test_a_million_rows_against_ten(test: Callable[..., Significance]) -> None:
    rng = np.random.default_rng(6)
    many = rng.normal(size=1_000_000)
    assert test(many, rng.normal(size=10)).p_value > 0.01
    assert test(many, rng.normal(3.0, 1.0, 10)).p_value < 1e-3
