from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.profiles.build import profile_numbers, profile_predictions, profile_table
from homeostat.profiles.profile import ColumnProfile, category_rank

NUMERIC, CATEGORICAL, BOOLEAN = ColumnKind


def only(values: object, kind: ColumnKind, **options: Collection[str]) -> ColumnProfile:
    return profile_table(pa.table({"x": values}), {"x": kind}, **options).columns["x"]


def test_missing_nan_infinite_and_zero_are_counted_apart() -> None:
    values = pa.array([None, float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 3.0, None, None])
    column = only(values, NUMERIC)
    assert (column.count, column.missing, column.nan, column.infinite) == (9, 3, 1, 2)
    assert (column.zeros, column.present) == (2, 3)
    assert column.counts.sum() == 3
    assert str(column.minimum) == "0.0"


def test_small_columns_profiled_together_equal_columns_profiled_alone() -> None:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "plain": rng.normal(size=50),
            "holes": pa.array([None if i % 3 else float(i) for i in range(50)]),
            "broken": np.where(rng.random(50) < 0.5, np.nan, np.inf),
            "wide": rng.normal(size=50) * 10.0 ** rng.integers(-300, 300, 50),
            "void": pa.nulls(50, pa.float64()),
        }
    )
    kinds = dict.fromkeys(table.column_names, NUMERIC)
    together = profile_table(table, kinds)
    for name in table.column_names:
        alone = profile_table(table, {name: NUMERIC})
        assert together.columns[name] == alone.columns[name], name


def test_a_large_table_is_profiled_in_groups_of_columns() -> None:
    values = np.random.default_rng(2).normal(size=(3, 40_000))
    profile = profile_table(
        pa.table(list(values), names=["a", "b", "c"]), dict.fromkeys("abc", NUMERIC)
    )
    for name, column in zip("abc", values, strict=True):
        assert profile.columns[name] == profile_numbers(column)


def test_columns_come_in_the_order_asked_for() -> None:
    table = pa.table({"a": [1.0], "b": ["x"], "c": [True], "unused": [0]})
    kinds = {"c": BOOLEAN, "b": CATEGORICAL, "a": NUMERIC}
    assert list(profile_table(table, kinds).columns) == ["c", "b", "a"]


def test_a_table_without_rows_has_empty_columns() -> None:
    table = pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.string())})
    profile = profile_table(table, {"a": NUMERIC, "b": CATEGORICAL})
    assert profile.rows == 0
    assert profile.columns["a"] == ColumnProfile(NUMERIC)
    assert profile.columns["b"] == ColumnProfile(CATEGORICAL)


def test_a_table_of_no_columns_still_counts_rows() -> None:
    assert profile_table(pa.table({"a": [1, 2]}), {}).rows == 2


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2, None], pa.int8()),
        pa.array([Decimal(1), Decimal(2), None]),
        pa.array(["1", "2.0", None]),
        pa.chunked_array([[1.0], [2.0, None]]),
    ],
)
def test_numbers_of_any_type_are_read(values: object) -> None:
    column = only(values, NUMERIC)
    assert (column.missing, column.sum, column.maximum) == (1, 3.0, 2.0)


def test_integers_beyond_float64_are_rounded_not_refused() -> None:
    assert only(pa.array([2**53 + 1]), NUMERIC).maximum == 2.0**53


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b", "a", None]),
        pa.array(["a", "b", "a", None]).dictionary_encode(),
        pa.chunked_array([["a", "b"], ["a", None]]),
    ],
)
def test_categories_of_any_encoding_are_counted(values: object) -> None:
    column = only(values, CATEGORICAL)
    assert (column.values, column.missing, column.count) == ({"a": 2, "b": 1}, 1, 4)


def test_booleans_are_counted_as_true_and_false() -> None:
    column = only(pa.array([True, False, None, True]), BOOLEAN)
    assert (column.values, column.missing) == ({"true": 2, "false": 1}, 1)


def test_an_absent_column_is_named() -> None:
    with pytest.raises(ValueError, match="no column 'y', 'z'"):
        profile_table(pa.table({"x": [1]}), {"x": NUMERIC, "y": NUMERIC, "z": BOOLEAN})


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["1", "many"], NUMERIC, "column 'x' cannot be read as numbers"),
        ([[1.0], [2.0]], NUMERIC, "column 'x' cannot be read as numbers"),
        ([datetime(2024, 1, 1, tzinfo=UTC)], NUMERIC, "column 'x' cannot be read as numbers"),
        (["perhaps"], BOOLEAN, "column 'x' cannot be read as boolean"),
        ([{"a": 1}], CATEGORICAL, "column 'x' cannot be read as categorical"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(
    values: object, kind: ColumnKind, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        only(values, kind)


def test_personal_values_are_not_kept() -> None:
    schema = Schema(
        (
            Column("email", CATEGORICAL, personal=True),
            Column("salary", NUMERIC, personal=True),
            Column("amount", NUMERIC),
        )
    )
    rows = pa.table(
        {
            "email": ["ada@example.org", None, "ada@example.org"],
            "salary": [51_234.56, 0.0, None],
            "amount": [51_234.56, 1.0, 2.0],
            "score": [0.1, 0.2, 0.3],
        }
    )
    columns = profile_predictions(rows, schema).columns
    assert columns["email"].values == {f"#{category_rank('ada@example.org'):016x}": 2}
    assert columns["salary"].maximum == pytest.approx(51_234.56, rel=2**-7)
    assert columns["salary"].maximum != 51_234.56
    assert columns["salary"].sum == columns["salary"].maximum
    assert (
        columns["salary"].bins.tolist() == profile_numbers(np.array([0.0, 51_234.56])).bins.tolist()
    )
    assert (columns["salary"].zeros, columns["salary"].missing) == (1, 1)
    assert columns["amount"].maximum == 51_234.56
    assert columns["score"].count == 3
    assert "score" not in profile_predictions(rows.drop_columns("score"), schema).columns
