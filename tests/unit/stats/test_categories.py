"""Oracles: draws without replacement, enumerated or simulated."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats.categories import cardinality_test, new_category_test
from homeostat.stats.significance import NOTHING, Significance

Counts = NDArray[np.int64]
Test = Callable[[Counts, Counts], Significance]
TESTS: list[Test] = [new_category_test, cardinality_test]


def zipf(categories: int) -> NDArray[np.float64]:
    weights = 1.0 / np.arange(1.0, categories + 1.0)
    return weights / weights.sum()


WORLDS = {
    "few": np.full(12, 1 / 12),
    "long tail": zipf(2000),
    "rare": np.array([0.999, *[1e-4] * 10]),
    "ids": np.full(100_000, 1e-5),
}


def draw(rng: np.random.Generator, shares: NDArray[np.float64], n: int) -> Counts:
    return np.bincount(rng.choice(shares.size, n, p=shares), minlength=shares.size)


def shuffled(
    reference: Counts, current: Counts, statistic: Callable[[Counts, Counts], float], times: int
) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    pooled = reference + current
    m = int(current.sum())
    now = rng.multivariate_hypergeometric(pooled, m, size=times, method="count")
    return np.array([statistic(pooled - drawn, drawn) for drawn in now])


def unseen(reference: Counts, current: Counts) -> float:
    return float(current[reference == 0].sum())


def short_of(exact: float) -> float:
    """Return what a p-value may be: short by 2 % at 0.05, by 4 % at 0.1, and more only beyond."""
    exact = min(1.0, exact)
    return exact * (1.0 - 0.4 * exact)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4))
def test_p_values_are_hardly_smaller_than_enumerated_ones(cells: list[tuple[int, int]]) -> None:
    reference, current = np.array(cells, dtype=np.int64).T
    n, m = int(reference.sum()), int(current.sum())
    assume(n > 0 and m > 0 and n + m <= 10)
    pooled = reference + current
    rows = np.repeat(np.arange(pooled.size), pooled)
    hands = np.array(list(combinations(range(n + m), m)))
    now = np.stack([(rows[hands] == cell).sum(axis=1) for cell in range(pooled.size)], axis=1)
    new = (now * (now == pooled)).sum(axis=1)
    exact = float(np.mean(new >= unseen(reference, current)))
    assert new_category_test(reference, current).p_value >= short_of(exact)
    found, distinct = (now > 0).sum(axis=1), int((current > 0).sum())
    exact = 2.0 * float(min(np.mean(found >= distinct), np.mean(found <= distinct)))
    assert cardinality_test(reference, current).p_value >= short_of(exact)


@pytest.mark.parametrize(("n", "m"), [(1000, 100), (300, 300), (50, 800)])
def test_a_long_tail_agrees_with_shuffled_rows(n: int, m: int) -> None:
    rng = np.random.default_rng(m)
    reference, current = draw(rng, zipf(300), n), draw(rng, zipf(300), m)
    nulls = shuffled(reference, current, unseen, 2000)
    exact = float(np.mean(nulls >= unseen(reference, current)))
    found = new_category_test(reference, current).p_value
    assert exact - 0.03 <= found <= exact + 0.1
    counts = shuffled(reference, current, lambda _, now: float((now > 0).sum()), 2000)
    distinct = float((current > 0).sum())
    tails = float(np.mean(counts >= distinct)), float(np.mean(counts <= distinct))
    both = min(1.0, 2.0 * min(tails))
    assert both - 0.05 <= cardinality_test(reference, current).p_value <= both + 0.15
    assert cardinality_test(reference, current).statistic == pytest.approx(
        distinct / counts.mean(), rel=0.01
    )


def test_unseen_categories_seen_once_follow_the_urn() -> None:
    reference, current = np.array([900, 0, 0]), np.array([98, 1, 1])
    # Both of two singletons among the 100 drawn out of 1000.
    expected = (100 / 1000) * (99 / 999)
    assert new_category_test(reference, current).p_value == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("n", "m"), [(2000, 200), (200, 2000), (10, 1000), (400, 400)])
@pytest.mark.statistical
def test_false_alarms_stay_within_the_level(test: Test, world: str, n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    shares = WORLDS[world]
    times = 120
    found = [test(draw(rng, shares, n), draw(rng, shares, m)).p_value for _ in range(times)]
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(found) <= level) <= level + 3.0 * np.sqrt(level / times)


@pytest.mark.statistical
def test_level_is_not_wasted_on_a_long_tail() -> None:
    rng = np.random.default_rng(9)
    pairs = [(draw(rng, zipf(2000), 2000), draw(rng, zipf(2000), 500)) for _ in range(300)]
    for test in TESTS:
        found = np.array([test(*pair).p_value for pair in pairs])
        assert 0.07 <= np.mean(found <= 0.2) <= 0.27


def test_an_unknown_country_is_found() -> None:
    reference, current = np.array([6000, 3000, 1000, 0]), np.array([600, 300, 90, 10])
    assert new_category_test(reference, current).p_value < 1e-9
    one_typo = np.array([600, 300, 99, 1])
    assert new_category_test(reference, one_typo).p_value == pytest.approx(1000 / 11_000)


def test_a_flood_of_new_ids_is_one_of_expected_ones_in_a_column_of_ids() -> None:
    ids = np.ones(5000, dtype=np.int64)
    reference, current = np.concatenate((ids, 0 * ids)), np.concatenate((0 * ids, ids))
    assert new_category_test(reference, current).p_value == 1.0
    assert cardinality_test(reference, current).p_value == 1.0


def test_a_collapse_and_an_explosion_of_categories_are_found() -> None:
    rng = np.random.default_rng(10)
    reference = draw(rng, np.full(500, 1 / 500), 10_000)
    fine = draw(rng, np.full(500, 1 / 500), 1000)
    collapsed = draw(rng, np.array([1 / 300] * 300 + [0.0] * 200), 1000)
    wide = np.concatenate((fine, np.ones(100, dtype=np.int64)))
    assert cardinality_test(reference, fine).p_value > 0.05
    assert cardinality_test(reference, collapsed).p_value < 1e-9
    exploded = cardinality_test(np.concatenate((reference, np.zeros(100, dtype=np.int64))), wide)
    assert exploded.p_value < 1e-9
    assert exploded.statistic > 1.1


@pytest.mark.parametrize("test", TESTS)
def test_millions_of_distinct_values(test: Test) -> None:
    rng = np.random.default_rng(11)
    size = 2_500_000
    reference, current = (rng.poisson(rate, size) for rate in (1.5, 1.0))
    assert test(reference, current).p_value > 0.001
    moved = np.concatenate((current[:-20_000], np.full(20_000, 3)))
    emptied = np.where(np.arange(size) < size - 20_000, reference, 0)
    assert test(emptied, moved).p_value < 1e-9


def test_few_big_new_categories_against_ten_rows_prove_little() -> None:
    reference = np.array([3, 2, 2, 2, 1, 0])
    current = np.full(6, 30_000)
    assert new_category_test(reference, current).p_value > 0.05
    assert new_category_test(np.array([10, 0]), np.array([500, 3])).p_value > 0.5


@pytest.mark.parametrize("test", TESTS)
def test_no_rows_give_no_p_value_and_one_category_no_evidence(test: Test) -> None:
    rows, none = np.array([3, 4]), np.array([0, 0])
    assert str(test(rows, none)) == str(test(none, rows)) == str(NOTHING)
    assert str(test(none[:0], none[:0])) == str(NOTHING)
    assert test(np.array([50]), np.array([70])).p_value == 1.0


@pytest.mark.parametrize("test", TESTS)
def test_no_p_value_is_zero(test: Test) -> None:
    reference = np.concatenate((np.full(100, 1000), np.zeros(100, dtype=np.int64)))
    assert 0.0 < test(reference, reference[::-1]).p_value < 1e-20
