from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats import tables
from homeostat.stats.significance import NOTHING, Significance

OnCounts = Callable[..., Significance]
OnShares = Callable[[int, int, int, int], Significance]

CELLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8).filter(
    lambda cells: all(map(any, zip(*cells, strict=True))) and sum(map(any, cells)) > 1
)


@pytest.mark.parametrize(
    ("test", "power"), [(tables.chi2_counts, "pearson"), (tables.g_counts, "log-likelihood")]
)
@given(cells=CELLS)
def test_homogeneity_agrees_with_scipy(
    test: OnCounts, power: str, cells: list[tuple[int, int]]
) -> None:
    p, q = np.array(cells, dtype=np.int64).T
    used = (p + q) > 0
    table = np.stack((p, q))[:, used]
    expected = stats.chi2_contingency(table, correction=False, lambda_=power)
    found = test(p, q)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.dof == expected.dof


def test_chi2_agrees_with_the_value_that_frouros_publishes() -> None:
    found = tables.chi2_counts(np.array([4, 2, 0]), np.array([1, 1, 4]))
    assert found.statistic == pytest.approx(6.13333333)
    assert found.p_value == pytest.approx(0.04657615, rel=1e-6)


@pytest.mark.parametrize("test", [tables.chi2_counts, tables.g_counts])
def test_dispersion_divides_the_statistic(test: OnCounts) -> None:
    p, q = np.array([10, 20]), np.array([20, 10])
    plain, damped = test(p, q), test(p, q, dispersion=2.0)
    assert damped.statistic == pytest.approx(plain.statistic / 2)
    assert damped.p_value > plain.p_value


@pytest.mark.parametrize("test", [tables.chi2_counts, tables.g_counts])
@pytest.mark.statistical
def test_homogeneity_keeps_its_level_with_both_sides_random(test: OnCounts) -> None:
    rng = np.random.default_rng(1)
    shares = [0.5, 0.3, 0.15, 0.05]
    found = [
        test(rng.multinomial(300, shares), rng.multinomial(900, shares)).p_value
        for _ in range(2000)
    ]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_two_shares_agree_with_chi2_on_their_table() -> None:
    found = tables.proportion_test(15, 100, 30, 110)
    expected = stats.chi2_contingency([[15, 85], [30, 80]], correction=False)
    assert found.statistic**2 == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.statistic < 0


@given(st.integers(1, 80), st.integers(1, 80), st.data())
def test_fisher_agrees_with_scipy(n: int, m: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    found = tables.fisher_exact(x, n, y, m)
    if x + y in {0, n + m}:
        assert str(found) == str(NOTHING)
        return
    expected = stats.fisher_exact([[x, n - x], [y, m - y]])
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-8)
    missing = tables.missing_test(x, n, y, m)
    assert missing.statistic == pytest.approx(y / m - x / n)
    assert missing.p_value == found.p_value


def test_fisher_of_millions_of_rows() -> None:
    near = tables.fisher_exact(500_000, 2_000_000, 501_000, 2_000_000)
    limit = tables.proportion_test(500_000, 2_000_000, 501_000, 2_000_000)
    assert near.p_value == pytest.approx(limit.p_value, rel=0.01)
    assert tables.fisher_exact(0, 2_000_000, 1_000_000, 2_000_000).p_value == 0.0


@pytest.mark.parametrize("test", [tables.fisher_exact, tables.missing_test])
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3])
@pytest.mark.statistical
def test_exact_tests_of_shares_keep_their_level(test: OnShares, share: float) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.binomial(5000, share, 500), rng.binomial(400, share, 500)
    found = [test(int(a), 5000, int(b), 400).p_value for a, b in zip(x, y, strict=True)]
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(found) <= level) <= level + 3.0 * np.sqrt(level / 500)


def test_missing_rate_from_one_to_five_percent_is_found_in_a_thousand_rows() -> None:
    rng = np.random.default_rng(3)
    now = rng.binomial(1000, 0.05, 200)
    found = [tables.missing_test(100, 10_000, int(k), 1000).p_value for k in now]
    assert np.mean(np.array(found) < 1e-4) > 0.95


def test_the_first_missing_values_of_a_clean_column() -> None:
    assert tables.missing_test(0, 10_000, 1, 1000).p_value > 0.05
    assert tables.missing_test(0, 10_000, 5, 1000).p_value < 1e-4


EMPTY: NDArray[np.int64] = np.array([0, 0])


@pytest.mark.parametrize(
    "result",
    [
        tables.chi2_counts(np.array([1, 2]), EMPTY),
        tables.chi2_counts(np.array([3]), np.array([4])),
        tables.g_counts(EMPTY, np.array([1, 2])),
        *[
            test(*table)
            for test in (tables.proportion_test, tables.fisher_exact, tables.missing_test)
            for table in ((0, 0, 1, 2), (1, 2, 0, 0), (0, 5, 0, 9), (5, 5, 9, 9))
        ],
    ],
)
def test_nothing_to_test_gives_no_p_value(result: Significance) -> None:
    assert str(result) == str(NOTHING)
