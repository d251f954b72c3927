"""Casting: the values that Python would make of them, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.casting import as_objects, cast_column, unfolded

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def cast(values: Any, target: pa.DataType, kind: pa.DataType | None = None) -> list[Any]:
    column = pa.chunked_array([pa.array(values, kind)])
    made, bad, reason = cast_column(column, target)
    assert made.type == target
    assert all(reason.strip() for wrong in bad if wrong)
    found: list[Any] = made.to_pylist()
    return ["bad" if wrong else value for value, wrong in zip(found, bad, strict=True)]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_integers_are_exact_or_refused(values: list[int | None]) -> None:
    for value, made in zip(values, cast(values, pa.float64(), pa.int64()), strict=True):
        if value is None:
            assert made is None
        elif abs(value) > 2**53:
            assert made == "bad"
        else:
            assert Fraction(made) == value


@given(st.lists(st.decimals(-(10**9), 10**9, places=4)))
def test_decimals_are_the_nearest_number(values: list[Decimal]) -> None:
    assert cast(values, pa.float64(), pa.decimal128(20, 4)) == pytest.approx(
        list(map(float, values))
    )


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_times_of_any_unit_keep_their_moment(counts: list[int | None], unit: str) -> None:
    per: Any = {"s": 10**6, "ms": 10**3, "us": 1, "ns": Fraction(1, 1000)}[unit]
    timestamp: Any = pa.timestamp
    sent: Any = pa.array(counts, timestamp(unit, "UTC"))
    made = cast_column(pa.chunked_array([sent]), TIME)
    micros: list[Any] = made[0].cast(pa.int64()).to_pylist()
    for count, found, wrong in zip(counts, micros, made[1], strict=True):
        if count is None:
            assert (found, wrong) == (None, False)
        elif abs(count * per) > 2**63 - 1:
            assert wrong
        else:
            assert not wrong or abs(count * per) > 2**63 - 10**6
            assert wrong or abs(found - count * per) < 1


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (pa.array(["1"]), pa.float64()),
        (pa.array([1]), pa.string()),
        (pa.array([True]), pa.float64()),
        (pa.array([0.5]), pa.bool_()),
        (pa.array([0], pa.timestamp("us")), TIME),
        (pa.array([0], pa.date32()), TIME),
        (pa.array([{"x": 1}]), pa.string()),
        (pa.array([1.0]), pa.list_(pa.float64())),
        (pa.array([["a"]]), pa.list_(pa.float64())),
        (pa.array([b"x"], pa.binary_view()), pa.string()),
    ],
    ids=str,
)
def test_another_type_is_refused_where_there_is_a_value(column: Any, target: pa.DataType) -> None:
    values = pa.chunked_array([column, pa.nulls(1, column.type)])
    made, bad, reason = cast_column(values, target)
    assert made.null_count == 2
    assert bad.tolist() == [True, False]
    assert reason == f"is {column.type}, not {target}"


def test_lists_of_numbers_are_cast_and_empty_ones_are_no_mistake() -> None:
    target = pa.list_(pa.float64())
    assert cast([[1, 2], None, []], target, pa.large_list(pa.int8())) == [[1.0, 2.0], None, []]
    assert cast([[None]], target, pa.list_(pa.null())) == [[None]]
    assert cast([None], target, pa.null()) == [None]


@pytest.mark.parametrize("inner", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_folded_texts_are_what_they_stand_for(inner: pa.DataType) -> None:
    values = pa.array(["b", None, "a"], inner)
    looked_up: Any = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 1], pa.int8()), values)
    runs: Any = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5], pa.int16()), values)
    for folded, plain in (
        (looked_up, ["a", "b", None, None]),
        (runs, ["b", "b", None, "a", "a"]),
        (values, ["b", None, "a"]),
    ):
        made = unfolded(pa.chunked_array([folded, folded.slice(1)]))
        assert made.to_pylist() == plain + plain[1:]
        assert made.type == pa.string()


def test_rows_are_told_whatever_is_in_them() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], ["x", "x"])
    table = pa.table(
        {
            "at": pa.array([None, -62_135_596_800_000_001], TIME),
            "ns": pa.array([1, None], pa.timestamp("ns", "Mars/Olympus")),
            "plain": pa.array([EPOCH + timedelta(microseconds=1)] * 2, pa.timestamp("us")),
            "twice": twice,
            "money": pa.array([Decimal("1.50"), None]),
        }
    )
    first, second = as_objects(table, [0, 1])
    assert first["at"] is None
    assert second["at"] == "-62135596800000001 us since 1970"
    assert first["ns"] == "1970-01-01T00:00:00.000000001Z"
    assert first["plain"] == "1970-01-01T00:00:00.000001"
    assert first["twice"] == f"<{twice.type}>"
    assert first["money"] == Decimal("1.50")
    assert as_objects(pa.table({}), [0, 1]) == [{}, {}]
