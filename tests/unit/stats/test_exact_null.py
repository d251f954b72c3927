import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.exact_null import (
    binomial,
    countable,
    cramer_von_mises_exact_sf,
    hypergeometric,
    mann_whitney_exact_sf,
)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (6, 6), (5, 11), (12, 8)])
def test_cramer_von_mises_agrees_with_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(m)
    x, y = rng.normal(size=n), rng.normal(0.7, size=m)
    expected = stats.cramervonmises_2samp(x, y, method="exact")
    found = cramer_von_mises_exact_sf(expected.statistic, n, m)
    assert found == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (8, 8), (4, 100), (25, 30)])
def test_mann_whitney_agrees_with_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n), rng.normal(size=m)
    expected = stats.mannwhitneyu(x, y, alternative="greater", method="exact")
    assert mann_whitney_exact_sf(expected.statistic, n, m) == pytest.approx(expected.pvalue)


def test_mann_whitney_counts_only_what_fits() -> None:
    assert countable(30, 30)
    assert not countable(40, 40)
    assert not countable(8, 10**6)
    assert mann_whitney_exact_sf(-1.0, 3, 4) == 1.0
    with pytest.raises(ValueError, match="too many orders"):
        mann_whitney_exact_sf(3.0, 40, 40)


@given(st.integers(1, 300), st.data())
def test_hypergeometric_agrees_with_scipy(total: int, data: st.DataObject) -> None:
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    lowest, found = hypergeometric(total, marked, drawn)
    expected = stats.hypergeom(total, marked, drawn).pmf(lowest + np.arange(found.size))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-200)


@given(st.integers(0, 500), st.floats(1e-200, 1.0))
def test_binomial_agrees_with_scipy(n: int, share: float) -> None:
    lowest, found = binomial(n, share)
    expected = stats.binom(n, share).pmf(lowest + np.arange(found.size))
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-200)


def test_shares_beyond_precision_are_none_or_all() -> None:
    assert binomial(4, 0.0)[0] == 0
    assert binomial(4, 1.0)[0] == 4
    assert binomial(4, 5e-324)[1].sum() == 1.0


def test_a_window_of_a_wide_distribution_leaves_nothing_out() -> None:
    lowest, found = hypergeometric(4_000_000, 1_000_000, 2_000_000)
    assert found.size < 100_000
    expected = stats.hypergeom(4_000_000, 1_000_000, 2_000_000).pmf(500_300)
    assert found[500_300 - lowest] == pytest.approx(expected, rel=1e-6)
