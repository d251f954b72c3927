"""Oracles: chi-square itself, the closed form for pairs of equal weights, and published tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.quadratic import anderson_darling_sf, chi2_mixture_sf, cramer_von_mises_sf


@pytest.mark.parametrize("freedom", [1, 2, 5, 50, 300])
@pytest.mark.parametrize("level", [0.99, 0.5, 0.05, 1e-9, 1e-100])
def test_equal_weights_are_a_chi_square(freedom: int, level: float) -> None:
    x = 3.0 * stats.chi2.isf(level, freedom)
    if x / 3.0 >= 1e-3:
        assert chi2_mixture_sf(np.full(freedom, 3.0), x) == pytest.approx(level, rel=1e-9)


@given(st.floats(0.01, 500.0), st.floats(0.02, 0.4), st.floats(0.5, 0.9))
def test_pairs_of_weights_are_a_sum_of_exponentials(x: float, a: float, b: float) -> None:
    rates = 0.5 / np.array([1.0, a, b])
    others = [np.delete(rates, i) for i in range(3)]
    shares = [np.prod(other / (other - rate)) for rate, other in zip(rates, others, strict=True)]
    expected = float(np.dot(shares, np.exp(-rates * x)))
    found = chi2_mixture_sf(np.array([1.0, 1.0, a, a, b, b]), x)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-300)


def test_what_is_cut_off_shifts() -> None:
    weights = np.array([1.0, 0.5])
    assert chi2_mixture_sf(weights, 4.0, 1.0) == pytest.approx(chi2_mixture_sf(weights, 3.0))


def test_nothing_is_below_zero() -> None:
    assert chi2_mixture_sf(np.array([1.0]), -1.0) == chi2_mixture_sf(np.array([1.0]), 0.0) == 1.0
    assert anderson_darling_sf(-3.0) == 1.0


def test_weights_that_are_all_zero_leave_what_was_cut_off() -> None:
    assert chi2_mixture_sf(np.zeros(2), 0.0) == 1.0
    assert chi2_mixture_sf(np.zeros(2), 1.0) == 0.0
    assert chi2_mixture_sf(np.zeros(2), 1.0, 2.0) == 1.0


@pytest.mark.parametrize(
    ("x", "level"), [(0.34730, 0.10), (0.46136, 0.05), (0.58061, 0.025), (0.74346, 0.01)]
)
def test_cramer_von_mises_table_of_anderson_and_darling(x: float, level: float) -> None:
    assert cramer_von_mises_sf(x) == pytest.approx(level, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "level"), [(1.2478, 0.25), (1.9330, 0.10), (2.4924, 0.05), (3.8781, 0.01)]
)
def test_anderson_darling_table(x: float, level: float) -> None:
    assert anderson_darling_sf(x) == pytest.approx(level, rel=2e-4)


def test_far_tail_falls_as_the_largest_weight_says() -> None:
    # prod (1 - w_j / w_1)**-0.5 is the square root of 3 for weights 1 / (j (j + 1))
    expected = np.sqrt(3.0) * stats.chi2.sf(400.0, 1)
    assert anderson_darling_sf(200.0) == pytest.approx(expected, rel=5e-3)
