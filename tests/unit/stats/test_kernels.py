from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from homeostat.stats import kernels
from homeostat.stats.significance import NOTHING, Significance

Points = NDArray[np.float64]
Test = Callable[[Points, Points], Significance]
SAMPLE = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=20)
EMPTY: Points = np.zeros((0, 3))


def seeded(seed: int) -> dict[str, Test]:
    rng = np.random.default_rng(seed)
    return {
        "energy": lambda x, y: kernels.energy_test(x, y, rng, permutations=59),
        "linear": lambda x, y: kernels.mmd_linear(x, y, bandwidth=1.0),
        "features": lambda x, y: kernels.mmd_features(x, y, rng, features=30, permutations=99),
        "limit": lambda x, y: kernels.mmd_features(x, y, rng, features=30, permutations=0),
    }


NAMES = list(seeded(0))


@given(SAMPLE, SAMPLE, st.data())
def test_energy_distance_agrees_with_scipy(
    x: list[float], y: list[float], data: st.DataObject
) -> None:
    expected = stats.energy_distance(x, y)
    assert kernels.energy_distance(x, y) == pytest.approx(expected, abs=1e-7)
    assert kernels.energy_distance_nd(x, y) == pytest.approx(expected, abs=1e-6)
    weights = [data.draw(st.floats(0.1, 10.0)) for _ in x]
    expected = stats.energy_distance(x, y, weights)
    assert kernels.energy_distance(x, y, weights) == pytest.approx(expected, abs=1e-7)


def test_energy_distance_agrees_with_the_value_that_frouros_publishes() -> None:
    x, y = (np.random.RandomState(31).normal(*law, 100) for law in ((1.0, 1.0), (5.0, 2.0)))
    assert kernels.energy_distance(x, y) == pytest.approx(2.11059982)


def test_energy_distance_takes_infinities_and_the_range_of_float64() -> None:
    assert kernels.energy_distance([0.0, np.inf], [1.0, np.inf]) == pytest.approx(np.sqrt(0.5))
    assert kernels.energy_distance([0.0, 1.0], [0.0, np.inf]) == np.inf
    assert kernels.energy_distance([np.nan, 1.0], [1.0]) == 0.0
    for pair in (([], [1.0]), ([1.0], []), ([np.nan], [1.0])):
        assert np.isnan(kernels.energy_distance(*pair))
        assert np.isnan(kernels.energy_distance_nd(*pair))


def test_energy_distance_of_points_follows_its_definition() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 4)), rng.normal(0.5, 1.0, size=(70, 4))
    expected = 2.0 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert kernels.energy_distance_nd(x, y) ** 2 == pytest.approx(expected)
    found = kernels.energy_test(x, y, np.random.default_rng(2))
    assert found.statistic == pytest.approx(expected)


def test_energy_distance_of_points_works_in_blocks() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=2500), rng.normal(1.0, 1.0, 2500)
    assert kernels.energy_distance_nd(x, y) == pytest.approx(kernels.energy_distance(x, y))


def test_median_distance_is_the_median_of_all_pairs() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(30, 3))
    both = np.concatenate((x, y))
    expected = np.median(cdist(both, both)[np.triu_indices(50, 1)])
    assert kernels.median_distance(x, y, rng) == pytest.approx(expected)
    many = rng.normal(size=(5000, 3))
    assert kernels.median_distance(many, y, rng) == pytest.approx(expected, rel=0.15)


def test_median_distance_of_coinciding_points() -> None:
    rng = np.random.default_rng(5)
    assert kernels.median_distance([0.0] * 9, [0.0, 4.0], rng) == 4.0
    assert np.isnan(kernels.median_distance([1.0] * 9, [1.0], rng))
    assert np.isnan(kernels.median_distance([], [1.0], rng))


def test_linear_mmd_estimates_the_squared_discrepancy() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=100_000), rng.normal(1.0, 1.0, 100_000)
    # In closed form for normal variables and a Gaussian kernel of width 1.
    expected = 2.0 / np.sqrt(3.0) * (1.0 - np.exp(-1.0 / 6.0))
    assert kernels.mmd_linear(x, y, 1.0).statistic == pytest.approx(expected, rel=0.05)
    found = kernels.mmd_features(x[:2000], y[:2000], rng, 1.0, features=1000, permutations=1)
    assert found.statistic == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.statistical
def test_level_holds_at_unequal_sizes(name: str) -> None:
    rng = np.random.default_rng(7)
    test = seeded(8)[name]
    times = 200
    found = np.array(
        [
            test(rng.normal(size=(60, 3)), rng.normal(size=(100, 3)).round(3)).p_value
            for _ in range(times)
        ]
    )
    for level in (0.2, 0.05):
        assert np.mean(found <= level) <= level + 3.0 * np.sqrt(level / times)
    assert np.mean(found <= 0.2) >= 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.statistical
def test_correlation_without_any_change_of_margins_is_found(name: str) -> None:
    rng = np.random.default_rng(9)
    test = seeded(10)[name]
    n = 20_000 if name == "linear" else 400
    moved = rng.multivariate_normal([0, 0], [[1.0, 0.8], [0.8, 1.0]], size=n)
    assert test(rng.normal(size=(n, 2)), moved).p_value < 0.05


def test_limit_and_permutations_agree() -> None:
    rng = np.random.default_rng(11)
    for shift in (0.0, 0.1, 0.2):
        x, y = rng.normal(size=(300, 2)), rng.normal(shift, 1.0, size=(200, 2))
        drawn, limit = (
            kernels.mmd_features(x, y, np.random.default_rng(12), 1.5, permutations=permutations)
            for permutations in (999, 0)
        )
        assert drawn.statistic == pytest.approx(limit.statistic)
        assert drawn.p_value == pytest.approx(limit.p_value, abs=0.05)


def test_many_permutations_are_drawn_in_batches() -> None:
    rng = np.random.default_rng(13)
    x, y = rng.normal(size=30_000), rng.normal(0.5, 1.0, 30_000)
    found = kernels.mmd_features(x, y, rng, features=5, permutations=199)
    assert found.p_value == 1.0 / 200.0


@pytest.mark.parametrize("name", NAMES)
def test_same_generator_same_answer(name: str) -> None:
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    assert seeded(15)[name](x, y) == seeded(15)[name](x, y)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_finite_are_dropped(name: str) -> None:
    rng = np.random.default_rng(16)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    spoilt = np.concatenate((x, [[np.nan, 1.0], [np.inf, 1.0]]))
    assert seeded(17)[name](spoilt, y) == seeded(17)[name](x, y)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (EMPTY, np.ones((3, 3))),
        (np.ones((3, 3)), EMPTY),
        (np.full((4, 3), np.nan), np.ones((3, 3))),
        (np.ones((9, 3)), np.ones((5, 3))),
    ],
)
def test_nothing_to_test_gives_no_p_value(name: str, x: Points, y: Points) -> None:
    assert str(seeded(18)[name](x, y)) == str(NOTHING)


def test_bandwidths_of_nothing_give_no_p_value() -> None:
    x, y = np.arange(9.0), np.arange(8.0)
    rng = np.random.default_rng(19)
    assert str(kernels.mmd_linear(x, y, 0.0)) == str(NOTHING)
    assert str(kernels.mmd_linear(x, y, float("nan"))) == str(NOTHING)
    assert str(kernels.mmd_features(x, y, rng, 0.0)) == str(NOTHING)


@pytest.mark.parametrize("name", NAMES)
def test_one_row_a_side_proves_nothing(name: str) -> None:
    found = seeded(20)[name](np.array([[0.0, 1.0]]), np.array([[5.0, 1.0]])).p_value
    assert np.isnan(found) or found > 0.05


def test_shapes_that_do_not_match_are_refused() -> None:
    for x, y in ((np.ones((3, 2)), np.ones((3, 3))), (np.ones((2, 2, 2)), np.ones((2, 2, 2)))):
        with pytest.raises(ValueError, match="cannot be compared"):
            kernels.energy_distance_nd(x, y)
