"""Return periods from the highest values of blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.stats.peaks import CEILING, FEWEST, FLOOR, MOST, Peaks

VALUES = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))
BLOCKS = st.lists(st.tuples(*(VALUES for _ in range(3))), min_size=1, max_size=2 * FEWEST + 10)


def of(blocks: list[tuple[float, ...]]) -> Peaks:
    peaks = Peaks.of(len(blocks[0]))
    for block in blocks:
        peaks = peaks.noting(block).closed()
    return peaks


def test_the_period_is_that_of_hydrologys_ranks() -> None:
    """Weibull's plotting position: the m-th highest of n has the return period (n + 1) / m."""
    values = np.random.default_rng(2).gumbel(10.0, 1.0, FEWEST)
    peaks = of([(float(v),) for v in values])
    for rank, value in enumerate(np.sort(values)[::-1].tolist(), 1):
        # A new value that is the same as one of the n, and the empty block under way: n + 1.
        assert peaks.blocks_to_one(peaks.on_scale((value,))) == pytest.approx(29 / (rank + 1))


def test_of_blocks_that_are_alike_the_next_passes_the_limit_as_often_as_asked() -> None:
    """Any distribution, any number of statistics: 1 in 8 of 600, within 3 standard errors."""
    rng, passed = np.random.default_rng(3), 0
    rounds = 600
    for _ in range(rounds):
        draws = np.exp(rng.standard_t(3, (16, 2)))
        peaks = of([(float(a), float(a * b)) for a, b in draws[:-1]])
        last = (float(draws[-1, 0]), float(draws[-1, 0] * draws[-1, 1]))
        passed += peaks.blocks_to_one(peaks.on_scale(last)) >= 8.0
    expected = rounds / 8
    assert abs(passed - expected) < 3.0 * math.sqrt(expected * 7 / 8)


@settings(max_examples=60, deadline=None)
@given(blocks=BLOCKS, scale=st.floats(1e-6, 1e6))
def test_units_do_not_matter(blocks: list[tuple[float, ...]], scale: float) -> None:
    peaks = of(blocks)
    other = of([tuple(scale * v for v in block) for block in blocks])
    assert other.heights == pytest.approx(peaks.heights, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(blocks=BLOCKS, periods=st.floats(1.0, 1e4))
def test_limit_and_period_are_two_sides_of_one_thing(
    blocks: list[tuple[float, ...]], periods: float
) -> None:
    peaks = of(blocks)
    limit = peaks.limit(periods)
    assert peaks.blocks_to_one(limit + 1e-6) >= periods * (1.0 - 1e-9)
    assert len(peaks.past) == len(peaks.heights) == min(len(blocks), max(FEWEST, len(blocks) // 2))
    if limit > FLOOR and peaks.blocks_to_one(limit) >= 2.0:
        assert peaks.blocks_to_one(limit - 1e-3) <= periods


@settings(max_examples=60, deadline=None)
@given(blocks=BLOCKS, low=st.floats(0.0, 1e6), more=st.floats(0.0, 1e6))
def test_what_is_higher_is_not_less_rare(
    blocks: list[tuple[float, ...]], low: float, more: float
) -> None:
    peaks = of(blocks)
    heights = [peaks.on_scale((value, 0.0, 0.0)) for value in (low, low + more)]
    periods = [peaks.blocks_to_one(height) for height in heights]
    assert 1.0 <= periods[0] <= periods[1]


def test_beyond_the_highest_an_exponential_tail_carries_on() -> None:
    peaks = of([(1.0,), (2.0,), (4.0,)])
    top = max(peaks.heights)
    assert peaks.blocks_to_one(top + 1.0) == pytest.approx(4.0 * math.e)
    assert peaks.limit(4.0 * math.e) == pytest.approx(top + 1.0)


def test_where_there_never_was_anything_anything_is_beyond_all() -> None:
    peaks = of([(0.0, 1.0), (0.0, 2.0)])
    assert peaks.one_on_scale(0, 1e-300) == CEILING
    assert peaks.one_on_scale(0, 0.0) == FLOOR
    assert peaks.at_height(0, 10.0) == 0.0


def test_where_most_blocks_have_nothing_the_mean_is_the_measure() -> None:
    assert of([(0.0,), (0.0,), (5e-324,)]).middles == (5e-324,)
    peaks = of([(0.0,), (0.0,), (0.0,), (4.0,)])
    assert peaks.middles == (1.0,)
    assert peaks.blocks_to_one(peaks.on_scale((4.0,))) == 2.5


def test_a_block_under_way_counts_as_one() -> None:
    peaks = of([(1.0,), (2.0,), (3.0,)]).noting((9.0,))
    assert peaks.blocks_to_one(peaks.on_scale((9.0,))) == 2.0
    assert peaks.closed().past[-1] == (9.0,)


def test_of_the_first_blocks_the_older_half_is_forgotten_and_no_more_than_a_bound_is_kept() -> None:
    peaks, kept = Peaks.of(1), []
    for block in range(150):
        peaks = peaks.noting((float(block + 1),)).closed()
        kept.append(len(peaks.past))
    assert (kept[27], kept[55], kept[79], kept[111], kept[149]) == (28, 28, 40, MOST, MOST)
    assert peaks.past[-1] == (150.0,)


def test_a_value_goes_to_the_scale_and_back() -> None:
    peaks = of([(1.0, 5.0), (2.0, 8.0), (3.0, 9.0)])
    assert peaks.at_height(1, peaks.one_on_scale(1, 7.0)) == pytest.approx(7.0)
