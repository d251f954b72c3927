"""Variation between windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.dispersion import Rate, distance, fit_rate


def counts_of(rng: np.random.Generator, rows: int, spread: float, windows: int) -> np.ndarray:
    """Histograms over ten cells; `spread` is the size of the batch effects."""
    made = []
    for _ in range(windows):
        values = rng.normal(rng.normal(0.0, spread), 1.0, rows)
        edges = [-np.inf, *stats.norm.ppf(np.arange(1, 10) / 10), np.inf]
        made.append(np.histogram(values, edges)[0])
    return np.array(made)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=8).filter(any))
def test_a_histogram_is_at_no_distance_from_its_multiple(counts: list[int]) -> None:
    found = distance(counts, np.array(counts) * 1000)
    assert found.raw == pytest.approx(0.0, abs=1e-9)
    assert found.effect == 0.0


@given(
    st.lists(st.integers(0, 500), min_size=3, max_size=3).filter(any),
    st.lists(st.integers(0, 500), min_size=3, max_size=3).filter(any),
)
def test_a_distance_is_bounded_and_finite_whatever_is_empty(
    current: list[int], reference: list[int]
) -> None:
    found = distance(current, reference)
    assert 0.0 <= found.effect <= found.raw <= 12.0


def test_distance_is_close_to_psi_for_small_shifts() -> None:
    p, q = np.array([0.25, 0.25, 0.25, 0.25]), np.array([0.28, 0.26, 0.24, 0.22])
    psi = float(((q - p) * np.log(q / p)).sum())
    assert distance(q * 1e9, p * 1e9).raw == pytest.approx(psi, rel=0.01)


def test_distance_is_chi_square_under_sampling() -> None:
    rng = np.random.default_rng(0)
    reference = rng.multinomial(100_000, [0.1] * 10)
    found = [distance(rng.multinomial(500, [0.1] * 10), reference).statistic for _ in range(2000)]
    assert np.mean(found) == pytest.approx(9.0, abs=0.4)
    assert np.mean(np.array(found) > stats.chi2.ppf(0.99, 9)) < 0.02


def test_distance_needs_rows_and_equal_cells() -> None:
    with pytest.raises(ValueError, match="rows on both sides"):
        distance([0, 0], [1, 1])
    with pytest.raises(ValueError, match="2 and 3 cells"):
        distance([1, 1], [1, 1, 1])


@given(st.integers(0, 60))
def test_rate_equals_the_beta_binomial_of_scipy(count: int) -> None:
    rate = Rate(share=0.1, correlation=0.02, rows=1000)
    expected = stats.betabinom.sf(count - 1, 60, 0.1 * 49.0, 0.9 * 49.0)
    assert rate.p_value(count, 60) == pytest.approx(expected, rel=1e-6)


def test_rate_of_a_big_window_is_bounded_by_that_of_fewer_rows() -> None:
    rate = Rate(share=0.1, correlation=0.001, rows=1000)
    big = rate.p_value(1_500_000, 10_000_000)
    assert big == rate.p_value(1500, 10_000)
    assert 0.0 < big < 0.01


def test_rates_that_vary_between_windows_surprise_less() -> None:
    steady = fit_rate([10] * 20, [100] * 20)
    moving = fit_rate([0, 20] * 10, [100] * 20)
    assert steady.share == moving.share
    assert steady.p_value(20, 100) < 0.05 < moving.p_value(20, 100)


def test_rate_of_one_window_rests_on_the_prior() -> None:
    rate = fit_rate([0], [5000])
    assert 0.0 < rate.share < 0.001
    assert rate.correlation == 0.01
    assert rate.p_value(60, 60) < 1e-12


def test_rate_of_single_rows_and_of_none() -> None:
    assert fit_rate([0, 1, 0], [1, 1, 1]).correlation < 0.01
    with pytest.raises(ValueError, match="no rows"):
        fit_rate([0], [0])
