from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, wasserstein_distance

from homeostat.stats import distances

Distance = Callable[[NDArray[np.int64], NDArray[np.int64]], float]

COUNTS = st.integers(1, 12).flatmap(
    lambda k: st.tuples(*[arrays(np.int64, k, elements=st.integers(0, 1000)) for _ in range(2)])
)
SAMPLE = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=20)
ON_CELLS: list[Distance] = [
    distances.psi,
    distances.kl_divergence,
    distances.l_infinity,
    distances.js_distance,
    distances.hellinger,
    distances.total_variation,
    lambda p, q: distances.wasserstein(np.arange(float(p.size)), p, q),
]


@given(COUNTS)
def test_bounded_distances_agree_with_their_definition(
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, q = pair
    assume(p.any() and q.any())
    x, y = p / p.sum(), q / q.sum()
    assert distances.js_distance(p, q) == pytest.approx(jensenshannon(x, y, base=2), abs=1e-7)
    assert distances.total_variation(p, q) == pytest.approx(np.abs(x - y).sum() / 2)
    assert distances.l_infinity(p, q) == pytest.approx(np.abs(x - y).max())
    affinity = np.sqrt(x * y).sum()
    assert distances.hellinger(p, q) ** 2 == pytest.approx(1 - affinity, abs=1e-9)


@given(COUNTS)
def test_wasserstein_agrees_with_scipy(pair: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    p, q = pair
    assume(p.any() and q.any())
    points = np.cumsum(np.arange(p.size) + 0.5)
    expected = wasserstein_distance(points, points, p, q)
    assert distances.wasserstein(points, p, q) == pytest.approx(expected, abs=1e-9)


def test_wasserstein_spans_the_range_of_float64() -> None:
    largest = np.finfo(np.float64).max
    points = np.array([-largest, largest])
    assert distances.wasserstein(points, np.array([1, 0]), np.array([0, 1])) == np.inf
    halves = distances.wasserstein(points, np.array([1, 1]), np.array([3, 5]))
    assert halves == pytest.approx(largest / 4)


def test_psi_follows_the_textbook_where_no_cell_is_empty() -> None:
    p, q = np.array([100, 300, 600]), np.array([20, 30, 50])
    x, y = p / 1000, q / 100
    assert distances.psi(p, q, pseudo=0.0) == pytest.approx(((y - x) * np.log(y / x)).sum())


def test_psi_of_an_empty_cell_is_finite_unless_asked() -> None:
    p, q = np.array([50, 50]), np.array([100, 0])
    assert 0 < distances.psi(p, q) < 10
    assert distances.psi(p, q, pseudo=0.0) == np.inf


def test_psi_ignores_cells_empty_on_both_sides() -> None:
    p, q = np.array([5, 0, 9, 0]), np.array([7, 0, 2, 0])
    assert distances.psi(p, q) == distances.psi(p[::2], q[::2])


@given(COUNTS)
def test_psi_is_symmetric_and_not_negative(
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, q = pair
    assume(p.any() and q.any())
    assert distances.psi(p, q) >= 0
    assert distances.psi(p, q) == pytest.approx(distances.psi(q, p))


def test_psi_by_chance_is_as_its_docstring_says() -> None:
    rng = np.random.default_rng(5)
    p, q = (rng.multinomial(n, np.full(10, 0.1), size=400) for n in (2000, 500))
    mean = np.mean([distances.psi(x, y) for x, y in zip(p, q, strict=True)])
    assert mean == pytest.approx(9 * (1 / 2000 + 1 / 500), rel=0.1)


@pytest.mark.parametrize("distance", ON_CELLS)
def test_equal_shares_are_at_no_distance(distance: Distance) -> None:
    p = np.array([10, 20, 0])
    assert distance(p, p) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("distance", ON_CELLS)
@pytest.mark.parametrize("empty_side", [0, 1])
def test_no_rows_are_never_at_distance_zero(distance: Distance, empty_side: int) -> None:
    sides = [np.array([1, 2]), np.array([3, 4])]
    sides[empty_side] = np.zeros(2, dtype=np.int64)
    assert np.isnan(distance(*sides))


def test_no_cells_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="no cells"):
        distances.shares(np.array([]))


@given(COUNTS)
def test_kl_divergence_agrees_with_scipy(
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    p, q = pair
    assume(p.any() and q.any())
    expected = entropy(q, p)
    assert distances.kl_divergence(p, q, pseudo=0.0) == pytest.approx(expected, abs=1e-12)
    assert 0.0 <= distances.kl_divergence(p, q) < np.inf


def test_psi_is_the_divergence_both_ways() -> None:
    p, q = np.array([5, 0, 9, 30]), np.array([7, 3, 0, 10])
    both_ways = distances.kl_divergence(p, q) + distances.kl_divergence(q, p)
    assert distances.psi(p, q) == pytest.approx(both_ways)


@given(SAMPLE, SAMPLE, st.data())
def test_wasserstein_of_samples_agrees_with_scipy(
    x: list[float], y: list[float], data: st.DataObject
) -> None:
    assert distances.wasserstein_samples(x, y) == pytest.approx(wasserstein_distance(x, y))
    weights = [data.draw(st.floats(0.1, 10.0)) for _ in x]
    found = distances.wasserstein_samples(x, y, weights)
    assert found == pytest.approx(wasserstein_distance(x, y, weights), abs=1e-12)


@given(SAMPLE, SAMPLE, st.floats(1e-3, 1e3))
def test_normed_wasserstein_has_no_unit(x: list[float], y: list[float], scale: float) -> None:
    found = distances.normed_wasserstein(x, y)
    assume(np.std(x) > 0.0)
    assert found == pytest.approx(wasserstein_distance(x, y) / np.std(x), abs=1e-12)
    scaled = distances.normed_wasserstein(np.array(x) * scale, np.array(y) * scale)
    assert scaled == pytest.approx(found)


def test_normed_wasserstein_of_a_constant_reference() -> None:
    assert distances.normed_wasserstein([3.0, 3.0], [3.0]) == 0.0
    assert distances.normed_wasserstein([3.0, 3.0], [3.0, 3.1]) == np.inf
    assert np.isnan(distances.normed_wasserstein([1.0, np.inf], [1.0, 2.0]))
    assert distances.normed_wasserstein([1.0, 2.0], [1.0, np.inf]) == np.inf


def test_equal_shares_at_infinity_cost_nothing() -> None:
    moved = distances.wasserstein_samples([0.0, np.inf, -np.inf], [3.0, -np.inf, np.inf])
    assert moved == pytest.approx(1.0)
    assert distances.wasserstein_samples([0.0, 1.0], [0.0, np.inf]) == np.inf
    weighted = distances.wasserstein_samples([0.0, np.inf], [1.0, np.inf], [0.1, 0.3], [1.0, 3.0])
    assert weighted == pytest.approx(0.25)


def test_wasserstein_of_samples_spans_float64() -> None:
    largest = np.finfo(np.float64).max
    assert distances.wasserstein_samples([-largest], [largest]) == np.inf
    assert distances.normed_wasserstein([0.0, largest], [0.0, largest / 2.0]) == 0.5


@pytest.mark.parametrize("distance", [distances.wasserstein_samples, distances.normed_wasserstein])
@pytest.mark.parametrize(("x", "y"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0])])
def test_no_rows_in_a_sample_are_never_at_distance_zero(
    distance: Callable[[list[float], list[float]], float], x: list[float], y: list[float]
) -> None:
    assert np.isnan(distance(x, y))


def test_distances_agree_with_the_values_that_frouros_publishes() -> None:
    x, y = (np.random.RandomState(31).normal(*law, 100) for law in ((1.0, 1.0), (5.0, 2.0)))
    assert distances.wasserstein_samples(x, y) == pytest.approx(3.85346006)
    edges = np.histogram_bin_edges(np.concatenate((x, y)), 10)
    p, q = (np.histogram(side, edges)[0] for side in (x, y))
    assert distances.hellinger(p, q) == pytest.approx(0.74509099)
    assert distances.total_variation(p, q) == pytest.approx(0.78)
    assert distances.kl_divergence(p, q, pseudo=0.0) == np.inf
    same = np.random.RandomState(31).normal(1.0, 1.0, 1000)
    edges = np.histogram_bin_edges(same, 10)
    p, q = (np.histogram(side, edges)[0] for side in (same[:500], same[500:]))
    assert distances.hellinger(p, q) == pytest.approx(0.04792538)
    assert distances.psi(p, q, pseudo=0.0) == pytest.approx(0.01840072, rel=1e-6)
