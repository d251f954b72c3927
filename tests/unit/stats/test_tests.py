import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats import tests

SAMPLE = st.lists(st.integers(-20, 20).map(float), min_size=3, max_size=40).map(np.array)


@given(SAMPLE, SAMPLE)
def test_ks_statistic_agrees_with_scipy(x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    expected = stats.ks_2samp(x, y, method="asymp").statistic
    assert tests.ks_2samp(x, y).statistic == pytest.approx(expected)


@given(SAMPLE, SAMPLE)
def test_ks_on_counts_equals_ks_on_the_sample(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    cells = np.arange(-20.5, 21.5)
    counts = [np.histogram(sample, cells)[0] for sample in (x, y)]
    found, expected = tests.ks_counts(*counts), tests.ks_2samp(x, y)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.p_value)


@pytest.mark.parametrize(("n", "m"), [(50, 61), (100, 301), (400, 401)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.3])
def test_ks_p_value_is_near_the_exact_one(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=n), rng.normal(shift, size=m)
    expected = stats.ks_2samp(x, y, method="exact").pvalue
    assert tests.ks_2samp(x, y).p_value == pytest.approx(expected, rel=0.1)


def test_ks_keeps_its_level_on_equal_distributions() -> None:
    rng = np.random.default_rng(7)
    p = [tests.ks_2samp(rng.normal(size=80), rng.normal(size=120)).p_value for _ in range(600)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8).filter(
        lambda cells: all(map(any, zip(*cells, strict=True))) and sum(map(any, cells)) > 1
    )
)
def test_chi2_agrees_with_scipy(cells: list[tuple[int, int]]) -> None:
    p, q = np.array(cells, dtype=np.int64).T
    used = (p + q) > 0
    expected = stats.chi2_contingency(np.stack((p, q))[:, used], correction=False)
    found = tests.chi2_counts(p, q)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.dof == expected.dof


def test_dispersion_divides_the_chi2_statistic() -> None:
    p, q = np.array([10, 20]), np.array([20, 10])
    plain, damped = tests.chi2_counts(p, q), tests.chi2_counts(p, q, dispersion=2.0)
    assert damped.statistic == pytest.approx(plain.statistic / 2)
    assert damped.p_value > plain.p_value


def test_two_shares_agree_with_chi2_on_their_table() -> None:
    found = tests.proportion_test(15, 100, 30, 110)
    expected = stats.chi2_contingency([[15, 85], [30, 80]], correction=False)
    assert found.statistic**2 == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.statistic < 0


@pytest.mark.parametrize(
    "result",
    [
        tests.ks_2samp(np.array([]), np.array([1.0])),
        tests.ks_counts(np.array([1, 2]), np.array([0, 0])),
        tests.chi2_counts(np.array([1, 2]), np.array([0, 0])),
        tests.chi2_counts(np.array([3]), np.array([4])),
        tests.proportion_test(0, 0, 1, 2),
        tests.proportion_test(0, 5, 0, 9),
        tests.proportion_test(5, 5, 9, 9),
    ],
)
def test_nothing_to_test_gives_no_p_value(result: tests.Significance) -> None:
    assert np.isnan(result.statistic)
    assert np.isnan(result.p_value)
