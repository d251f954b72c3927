import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.model import ColumnKind
from homeostat.profiles.categories import profile_categories
from homeostat.profiles.profile import CATEGORY_LIMIT, ColumnProfile, category_rank

CATEGORICAL = ColumnKind.CATEGORICAL


def profiled(values: list[str | None], *, hide: bool = False) -> ColumnProfile:
    column = pa.chunked_array([pa.array(values, pa.string())])
    return profile_categories("x", column, CATEGORICAL, hide=hide)


def many(distinct: int, often: dict[str, int]) -> list[str | None]:
    names = [f"once {i}" for i in range(distinct)]
    return [*names, *(name for name, rows in often.items() for _ in range(rows)), None]


@given(st.lists(st.none() | st.text("abäß界", max_size=3)), st.booleans())
def test_values_are_counted_one_by_one_up_to_the_limit(
    values: list[str | None], hide: bool
) -> None:
    column = profiled(values, hide=hide)
    present = [value for value in values if value is not None]
    shown = [f"#{category_rank(value):016x}" if hide else value for value in present]
    assert column.values == {value: shown.count(value) for value in shown}
    assert (column.count, column.missing) == (len(values), values.count(None))
    assert (column.other, column.sketch, column.distinct) == (0, None, len(set(present)))


def test_the_limit_itself_is_still_exact() -> None:
    exact = profiled(many(CATEGORY_LIMIT, {}))
    assert (len(exact.values), exact.other, exact.sketch) == (CATEGORY_LIMIT, 0, None)
    beyond = profiled(many(CATEGORY_LIMIT, {"one more": 1}))
    assert (beyond.values, beyond.other) == ({}, CATEGORY_LIMIT + 1)


def test_frequent_values_among_many_have_their_exact_counts() -> None:
    often = {"a": 500, "b": 400, "c": 2}
    column = profiled(many(20_000, often))
    assert list(column.values.items()) == [("a", 500), ("b", 400), ("c", 2)]
    assert column.present == 20_902
    assert column.other == 20_000
    assert column.bounds("a") == (499, 500)
    assert column.bounds("once 7") == (0, 1)
    assert column.distinct == pytest.approx(20_003, rel=0.03)


def test_the_order_of_rows_leaves_no_trace() -> None:
    values = many(15_000, {"a": 30, "b": 30})
    shuffled = np.random.default_rng(1).permutation(np.array(values, dtype=object)).tolist()
    assert profiled(values) == profiled(shuffled)


def test_many_personal_values_are_hidden() -> None:
    column = profiled(many(15_000, {"ada@example.org": 30}), hide=True)
    assert column.values == {f"#{category_rank('ada@example.org'):016x}": 30}
    assert column.distinct == pytest.approx(15_001, rel=0.03)


def test_a_million_values_take_bounded_memory() -> None:
    values = pa.array(np.arange(1_000_000)).cast(pa.string())
    column = profile_categories("x", pa.chunked_array([values]), CATEGORICAL)
    assert column.sketch is not None
    assert len(column.sketch.counts) <= CATEGORY_LIMIT
    assert column.distinct == pytest.approx(1_000_000, rel=0.03)
