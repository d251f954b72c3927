from dataclasses import replace

import datasketches
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.whylogs.summary import ColumnSummary, Points, column_of, summary_of
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.profile import CATEGORY_LIMIT, ColumnProfile

FLOATS = st.lists(st.floats() | st.integers(-5, 5).map(float), max_size=30).map(np.array)


def texts(values: list[str | None]) -> ColumnProfile:
    table = pa.table({"x": pa.array(values, pa.string())})
    return profile_table(table, {"x": ColumnKind.CATEGORICAL}).columns["x"]


@given(FLOATS, st.integers(0, 3))
def test_numbers_survive_but_for_where_in_its_bin_a_value_was(
    values: np.ndarray, missing: int
) -> None:
    column = profile_numbers(values.astype(np.float64), missing=missing)
    again = column_of(summary_of(column))
    assert again.kind is ColumnKind.NUMERIC
    assert (again.count, again.missing, again.nan) == (column.count, missing, column.nan)
    assert (again.infinite, again.present) == (column.infinite, column.present)
    assert [repr(again.minimum), repr(again.maximum)] == [
        repr(column.minimum),
        repr(column.maximum),
    ]
    assert again.bins.tolist() == column.bins.tolist()
    assert again.counts.tolist() == column.counts.tolist()
    if not column.infinite and np.isfinite(column.variance):
        assert again.mean == pytest.approx(column.mean, nan_ok=True, rel=1e-12)
        assert again.variance == pytest.approx(column.variance, nan_ok=True, rel=1e-6, abs=1e-300)


@given(st.lists(st.none() | st.text("abäß", min_size=1, max_size=3)))
def test_few_categories_survive(values: list[str | None]) -> None:
    column = texts(values)
    again = column_of(summary_of(column))
    assert again == column


@given(st.lists(st.none() | st.booleans()))
def test_booleans_survive(values: list[bool | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.bool_())})
    column = profile_table(table, {"x": ColumnKind.BOOLEAN}).columns["x"]
    summary = summary_of(column)
    again = column_of(summary)
    assert again.values == column.values
    assert (again.count, again.missing) == (column.count, column.missing)
    if column.present:
        known = [value for value in values if value is not None]
        assert again.kind is ColumnKind.BOOLEAN
        assert summary.mean == pytest.approx(np.mean(known))
        assert summary.squares == pytest.approx(np.var(known) * len(known))


@pytest.mark.parametrize("distinct", [3000, CATEGORY_LIMIT + 1000])
def test_many_categories_come_back_as_a_sketch(distinct: int) -> None:
    column = texts([f"once {i}" for i in range(distinct)] + ["often"] * 500)
    summary = summary_of(column)
    peer = datasketches.hll_sketch.deserialize(summary.cardinality)
    assert peer.get_estimate() == pytest.approx(distinct + 1, rel=0.03)
    again = column_of(summary)
    assert again.values["often"] == 500
    assert again.present == sum(again.values.values()) + again.other == distinct + 500
    assert again.distinct == pytest.approx(distinct, rel=0.03)
    assert (again.distinct == column.distinct) == (column.sketch is not None)
    assert again.bounds("once 1")[1] >= 1


def test_few_distinct_values_with_unknown_rows_keep_their_number() -> None:
    few = datasketches.hll_sketch(12)
    for name in "abc":
        few.update(name)
    summary = ColumnSummary(9, types={"string": 9}, cardinality=few.serialize_updatable())
    column = column_of(summary)
    assert (column.values, column.other, column.distinct) == ({}, 9, 3)
    assert column.bounds("a") == (0, 9)
    assert column_of(replace(summary, cardinality=b"")).distinct == 0


def test_quantiles_of_columns_with_infinite_values_stand_for_the_finite_rows() -> None:
    points = Points(np.array([-np.inf, 1.0, 2.0, 3.0]), np.array([10, 10, 10, 10]))
    summary = ColumnSummary(
        44, 4, 4, 9, types={"fractional": 40}, mean=np.nan, squares=np.nan, points=points
    )
    column = column_of(summary)
    assert (column.count, column.nan, column.infinite, column.present) == (44, 4, 9, 31)
    assert column.counts.sum() == 31
    assert (column.minimum, column.maximum) == (1.0, 3.0)
    assert column.mean == pytest.approx(2.0, abs=0.05)


def test_numbers_mixed_with_texts_are_categories() -> None:
    frequent = datasketches.frequent_strings_sketch(10)
    frequent.update("1", 2)
    frequent.update("many", 1)
    column = column_of(
        ColumnSummary(3, types={"integral": 2, "string": 1}, frequent=frequent.serialize())
    )
    assert (column.kind, column.values) == (ColumnKind.CATEGORICAL, {"1": 2, "many": 1})


ONE = Points(np.array([1.0]), np.array([1]))


@pytest.mark.parametrize(
    "summary",
    [
        ColumnSummary(1, types={"integral": 2}, points=ONE),
        ColumnSummary(1, types={"integral": -1}, points=ONE),
        ColumnSummary(1, nan=-1, types={"integral": 1}, points=ONE),
        ColumnSummary(2, nan=2, types={"integral": 1}, points=ONE),
        ColumnSummary(2, inf=2, types={"integral": 1}, points=ONE),
        ColumnSummary(2, types={"integral": 1}),
        ColumnSummary(2, types={"integral": 0}, points=ONE),
        ColumnSummary(2, true=2, types={"boolean": 1}),
        replace(summary_of(texts(["a", "a"])), types={"string": 1}),
    ],
)
def test_counts_that_contradict_each_other_are_refused(summary: ColumnSummary) -> None:
    with pytest.raises(ValueError, match=r"^its? "):
        column_of(summary)
