import numpy as np
import pytest
from scipy import stats

from homeostat.stats.windows import compare_window


def test_windows_of_equal_rows_give_the_t_test_of_one_against_many() -> None:
    rng = np.random.default_rng(1)
    for spread in (0.0, 1.0, 10.0):
        usual = rng.normal(0.0, 0.1 + spread, 12)
        found = compare_window(0.7, 100, usual, np.full(12, 100), row_variance=4.0)
        oracle = stats.ttest_ind([0.7], usual)
        assert found.statistic == pytest.approx(oracle.statistic)
        assert found.p_value == pytest.approx(oracle.pvalue)
        assert found.freedom == 11
        assert found.expected == pytest.approx(usual.mean())


@pytest.mark.parametrize("between", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("windows", [3, 14])
def test_the_level_holds_for_windows_of_any_size(between: float, windows: int) -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(1500):
        sizes = np.exp(rng.uniform(np.log(50), np.log(5000), windows + 1)).round()
        means = rng.normal(0.0, np.sqrt(between**2 + 1.0 / sizes))
        shift = compare_window(means[0], sizes[0], means[1:], sizes[1:], row_variance=1.0)
        found.append(shift.p_value)
    rate = np.mean(np.array(found) < 0.05)
    assert 0.01 <= rate <= 0.07


def test_variation_between_windows_is_estimated() -> None:
    rng = np.random.default_rng(3)
    sizes = np.full(400, 100.0)
    means = rng.normal(5.0, np.sqrt(0.04 + 1.0 / sizes))
    found = compare_window(5.0, 100, means, sizes, row_variance=1.0)
    assert found.between == pytest.approx(0.2, abs=0.02)
    assert found.expected == pytest.approx(5.0, abs=0.04)
    calm = compare_window(5.0, 100, rng.normal(5.0, 0.05, 400), sizes, row_variance=1.0)
    assert calm.between == 0.0


def test_a_shift_beyond_what_windows_vary_is_seen() -> None:
    usual = np.random.default_rng(4).normal(0.0, 0.1, 14)
    assert compare_window(1.0, 100, usual, np.full(14, 100), 1.0).p_value < 1e-4
    assert compare_window(-1.0, 100, usual, np.full(14, 100), 1.0).statistic < -5


@pytest.mark.parametrize(
    ("means", "row_variance"), [([], 1.0), ([1.0], 1.0), ([1.0, 1.0], 0.0), ([1.0, 1.0], 2.0)]
)
def test_nothing_to_go_by_gives_no_p_value(means: list[float], row_variance: float) -> None:
    found = compare_window(3.0, 10, means, [10] * len(means), row_variance)
    assert np.isnan(found.statistic)
    assert np.isnan(found.p_value)


def test_rows_that_never_vary_leave_the_variation_of_the_windows() -> None:
    found = compare_window(4.0, 10, [1.0, 2.0, 3.0], [10, 20, 30], row_variance=0.0)
    assert found.statistic == pytest.approx(stats.ttest_ind([4.0], [1.0, 2.0, 3.0]).statistic)
