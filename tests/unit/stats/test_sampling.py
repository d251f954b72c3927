"""Unequal chances: right on average, and honest about the error."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.stats.sampling import hajek, horvitz_thompson, inclusion_probabilities, systematic


@given(
    priority=st.lists(st.floats(0.0, 1e300), min_size=1, max_size=60),
    size=st.integers(1, 70),
    floor=st.floats(0.01, 1.0),
)
def test_every_row_has_a_chance_and_they_sum_to_the_size(
    priority: list[float], size: int, floor: float
) -> None:
    chances = inclusion_probabilities(np.array(priority), size, floor)
    least = min(1.0, floor * size / len(priority))
    assert ((chances >= least * (1.0 - 1e-9)) & (chances <= 1.0)).all()
    assert chances.sum() == pytest.approx(min(size, len(priority)))
    order = np.argsort(priority, kind="stable")
    assert (np.diff(chances[order]) >= -1e-12).all()
    drawn = systematic(chances, np.random.default_rng(0))
    assert drawn.size == np.unique(drawn).size == min(size, len(priority))
    assert set(np.flatnonzero(chances == 1.0)) <= set(drawn.tolist())


def test_rows_are_drawn_with_their_chances() -> None:
    rng = np.random.default_rng(1)
    chances = inclusion_probabilities(rng.gamma(0.3, 1.0, 200), 40)
    draws = 4000
    counts = np.zeros(200)
    for _ in range(draws):
        counts[systematic(chances, rng)] += 1.0
    open_rows = chances < 1.0
    z = (counts / draws - chances)[open_rows] / np.sqrt(
        (chances * (1.0 - chances))[open_rows] / draws
    )
    assert np.abs(z).max() < 4.5
    assert z.std() < 1.2


def test_estimates_are_unbiased_and_their_errors_are_right() -> None:
    rng = np.random.default_rng(2)
    priority = rng.gamma(1.0, 1.0, 2000)
    values = priority * rng.normal(1.0, 0.5, 2000) + 3.0
    chances = inclusion_probabilities(priority, 400)
    found = []
    for _ in range(1500):
        drawn = systematic(chances, rng)
        total = horvitz_thompson(values[drawn], chances[drawn])
        mean = hajek(values[drawn], chances[drawn])
        found.append((total.value, total.error, mean.value, mean.error))
    totals, total_errors, means, mean_errors = np.array(found).T
    assert abs(totals.mean() - values.sum()) < 4.0 * totals.std() / math.sqrt(1500)
    assert abs(means.mean() - values.mean()) < 4.0 * means.std() / math.sqrt(1500)
    assert np.sqrt((total_errors**2).mean()) == pytest.approx(totals.std(), rel=0.1)
    assert np.sqrt((mean_errors**2).mean()) == pytest.approx(means.std(), rel=0.1)
    covered = np.abs(means - values.mean()) < 1.96 * mean_errors
    assert 0.93 < covered.mean() < 0.97


def test_an_even_sample_has_the_textbook_error() -> None:
    values = np.arange(10.0)
    even = hajek(values, np.full(10, 0.2))
    assert even.error == pytest.approx(values.std(ddof=1) / math.sqrt(10) * math.sqrt(0.8))


def test_too_little_and_all() -> None:
    assert math.isnan(hajek(np.empty(0), np.empty(0)).value)
    assert math.isnan(horvitz_thompson(np.empty(0), np.empty(0)).error)
    assert math.isnan(hajek(np.array([3.0]), np.array([0.5])).error)
    assert hajek(np.array([3.0, 5.0]), np.ones(2)).error == 0.0
    assert inclusion_probabilities(np.zeros(4), 2).tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ("priority", "floor"),
    [([-1.0, 2.0], 0.1), ([math.nan, 2.0], 0.1), ([1.0, 2.0], 0.0), ([1.0, 2.0], 1.5)],
    ids=["negative", "missing", "no floor", "too high"],
)
def test_what_is_no_priority_is_an_error(priority: list[float], floor: float) -> None:
    with pytest.raises(ValueError, match=r"priorities|floor"):
        inclusion_probabilities(np.array(priority), 1, floor)
