"""Unequal chances: every row has one, and is drawn with it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.stats.sampling import inclusion_probabilities, systematic


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


@pytest.mark.parametrize(
    ("priority", "floor"),
    [([-1.0, 2.0], 0.1), ([math.nan, 2.0], 0.1), ([1.0, 2.0], 0.0), ([1.0, 2.0], 1.5)],
    ids=["negative", "missing", "no floor", "too high"],
)
def test_what_is_no_priority_is_an_error(priority: list[float], floor: float) -> None:
    with pytest.raises(ValueError, match=r"priorities|floor"):
        inclusion_probabilities(np.array(priority), 1, floor)


def test_without_priorities_all_chances_are_alike() -> None:
    assert inclusion_probabilities(np.zeros(4), 2).tolist() == [0.5] * 4
