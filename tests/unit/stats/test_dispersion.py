"""Variation between windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.dispersion import Rate, distance, fit_dispersion, fit_rate


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


@pytest.mark.parametrize("spread", [0.0, 0.2])
@pytest.mark.parametrize("windows", [5, 14])
def test_p_values_are_careful_under_the_references_own_variation(
    spread: float, windows: int
) -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(150):
        table = counts_of(rng, 300, spread, windows + 1)
        model = fit_dispersion(table[:-1])
        found.append(model.p_value(distance(table[-1], table[:-1].sum(axis=0))))
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(found) <= level) <= level + 2.0 * np.sqrt(level / 150)


def test_variation_between_windows_is_told_from_sampling() -> None:
    rng = np.random.default_rng(5)
    still = fit_dispersion(counts_of(rng, 1000, 0.0, 28))
    moving = fit_dispersion(counts_of(rng, 1000, 0.3, 28))
    assert still.inflation(1000) < 2.0
    assert moving.inflation(1000) > 5.0


def test_fewer_windows_make_the_same_distance_less_surprising() -> None:
    rng = np.random.default_rng(6)
    table = counts_of(rng, 500, 0.0, 28)
    moved = distance(counts_of(rng, 500, 0.0, 1)[0][::-1].cumsum(), table.sum(axis=0))
    p_values = [fit_dispersion(table[:n]).p_value(moved) for n in (1, 2, 4, 28)]
    assert min(p_values[:3]) > 0.05
    assert p_values[3] < 1e-5


def test_a_window_far_bigger_than_the_references_is_judged_with_heavy_tails() -> None:
    model = fit_dispersion(np.random.default_rng(7).multinomial(50, [0.25] * 4, size=10))
    share = np.array([0.27, 0.25, 0.25, 0.23])
    reference = np.full(4, 10_000_000)
    near = model.p_value(distance(share * 500, reference))
    far = model.p_value(distance(share * 5_000_000, reference))
    assert near > 0.5
    assert far > 1e-3  # sampling alone would call it 1e-1000


def test_groups_take_a_rhythm_out_of_the_variation() -> None:
    rng = np.random.default_rng(8)
    shares = [[0.7, 0.3], [0.3, 0.7]]
    labels = [index % 2 for index in range(20)]
    table = np.array([rng.multinomial(500, shares[label]) for label in labels])
    assert fit_dispersion(table, labels).inflation(500) * 10 < fit_dispersion(table).inflation(500)


def test_windows_alone_in_their_group_leave_only_the_prior() -> None:
    table = [[10, 10], [12, 8]]
    assert fit_dispersion(table, [0, 1]).windows == fit_dispersion(table[:1]).windows


def test_dispersion_ignores_empty_windows_and_refuses_an_empty_reference() -> None:
    table = [[10, 10], [0, 0], [12, 8]]
    assert fit_dispersion(table) == fit_dispersion([table[0], table[2]])
    with pytest.raises(ValueError, match="no rows"):
        fit_dispersion([[0, 0]])


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
