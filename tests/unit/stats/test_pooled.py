import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.stats.pooled import pool, pool_counts

SAMPLE = st.lists(st.integers(-5, 5).map(float), max_size=30)


@given(SAMPLE, SAMPLE)
def test_pooling_counts_rows_up_to_each_distinct_value(x: list[float], y: list[float]) -> None:
    both = pool(x, y)
    assert both.points.tolist() == sorted({*x, *y})
    assert both.reference.tolist() == [sum(v <= p for v in x) for p in both.points]
    assert both.current.tolist() == [sum(v <= p for v in y) for p in both.points]
    assert (both.n, both.m) == (len(x), len(y))


@given(SAMPLE, SAMPLE)
def test_equal_weights_say_what_rows_say(x: list[float], y: list[float]) -> None:
    plain, weighted = pool(x, y), pool(x, y, np.full(len(x), 7.0), np.full(len(y), 0.1))
    assert weighted.reference == pytest.approx(plain.reference)
    assert weighted.current == pytest.approx(plain.current)
    assert (plain.whole, weighted.whole) == (True, False)


def test_counts_pool_as_the_rows_behind_them() -> None:
    rows = pool([0.0, 0.0, 2.0], [2.0, 3.0])
    counts = pool_counts([2, 0, 1, 0], [0, 0, 1, 1])
    assert counts.points.tolist() == rows.points.tolist()
    assert counts.rows().tolist() == rows.rows().tolist() == [2.0, 2.0, 1.0]
    assert counts.whole
    assert not pool_counts([0.5, 1.0], [1, 1]).whole


def test_counts_over_different_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 3 cells"):
        pool_counts([1, 2], [1, 2, 3])


def test_both_zeros_are_one_point() -> None:
    assert pool([-0.0], [0.0]).points.size == 1
