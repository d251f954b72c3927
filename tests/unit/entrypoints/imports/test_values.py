from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.model import Task
from homeostat.entrypoints.imports.values import (
    Column,
    Read,
    classes,
    flags,
    likeliest,
    lists,
    numbers,
    plain,
    texts,
)
from homeostat.simulation.conformance.log import SPEC, THREE


def said(reader: Callable[[Column], Read], values: list[Any], kind: Any = None) -> list[Any]:
    column, bad = reader(plain(pa.chunked_array([pa.array(values, kind)])))
    pairs = zip(column.to_pylist(), bad.tolist(), strict=True)
    return ["bad" if wrong else value for value, wrong in pairs]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))))
def test_numbers_written_by_python_are_read_back(values: list[float | None]) -> None:
    written = [None if value is None else repr(value) for value in values]
    assert said(numbers, written, pa.string()) == values
    assert said(numbers, [*written, "x"], pa.string()) == [*values, "bad"]


@pytest.mark.parametrize("beside", [[], ["x"]], ids=["alone", "beside a bad one"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [(" 1.5 ", 1.5), ("+1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("NaN", None), ("n/a", None),
     ("NULL", None), ("inf", "bad"), ("-Infinity", "bad"), ("0x10", "bad"), ("1_000", "bad"),
     ("1,5", "bad"), ("\u0661", "bad"), ("--1", "bad")],
)  # fmt: skip
def test_numbers_as_text(text: str, expected: object, beside: list[str]) -> None:
    assert said(numbers, [text, *beside])[0] == expected


def test_numbers_of_other_types() -> None:
    assert said(numbers, [True, False, None]) == [1.0, 0.0, None]
    assert said(numbers, [2**60, None]) == [float(2**60), None]
    assert said(numbers, [Decimal("1.5")]) == [1.5]
    assert math.isnan(said(numbers, [float("nan")])[0])
    assert said(numbers, [[1.0], None]) == ["bad", None]


def test_texts() -> None:
    assert said(texts, ["007", None, ""]) == ["007", None, ""]
    assert said(texts, [7, None]) == ["7", None]
    assert said(texts, [7.0, None, 7.5, 1e300, math.inf]) == ["7", None, "bad", "bad", "bad"]
    assert said(texts, [True]) == ["true"]
    assert said(texts, ["a", "a"], pa.dictionary(pa.int8(), pa.string())) == ["a", "a"]
    assert said(texts, [b"a"]) == ["a"]
    assert said(texts, [b"\xff", None]) == ["bad", None]
    assert said(texts, ["a"], pa.large_string()) == ["a"]
    assert said(texts, [{"a": 1}, None]) == ["bad", None]


def test_flags() -> None:
    assert said(flags, [True, None]) == [True, None]
    assert said(flags, [1, 0, 2, None]) == [True, False, "bad", None]
    assert said(flags, [1.0, math.nan]) == [True, None]
    assert said(flags, ["Yes", " f ", "maybe", None, "NA"]) == [True, False, "bad", None, None]
    assert said(flags, [[True]]) == ["bad"]


def test_classes_by_name_or_index() -> None:
    def named(values: list[Any]) -> list[Any]:
        return said(lambda column: classes(SPEC, column), values)

    assert named(["fraud", "0", "Fraud", None, ""]) == [1.0, 0.0, "bad", None, None]
    assert named([True, False]) == [1.0, 0.0]
    regression = replace(SPEC, task=Task.REGRESSION, classes=())
    assert said(lambda column: classes(regression, column), ["1.5", "fraud"]) == [1.5, "bad"]


def test_probabilities() -> None:
    def read(values: list[Any], kind: Any = None) -> list[Any]:
        return said(lambda column: lists(THREE, column), values, kind)

    even = [0.5, 0.25, 0.25]
    assert read([even, None]) == [even, None]
    assert read([[1, 0, 0]]) == [[1.0, 0.0, 0.0]]
    assert read([even], pa.list_(pa.float32(), 3)) == [even]
    assert read([["x"], None]) == ["bad", None]
    texts = ["[0.5, 0.25, 0.25]", '{"neutral": 0.25, "bad": 0.5, "good": 0.25}', None]
    assert read(texts) == [even, even, None]
    bad = ["[0.5", "7", '["a"]', "[true]", '{"bad": 1}', "[" * 10_000, f"[{10**400}]"]
    assert read(bad) == ["bad"] * len(bad)
    assert read([{"bad": 1.0}]) == ["bad"]


@given(st.lists(st.one_of(st.none(), st.lists(st.floats(0, 1), max_size=4))))
def test_likeliest(rows: list[list[float] | None]) -> None:
    expected = [float(row.index(max(row))) if row else None for row in rows]
    column = pa.chunked_array([pa.array(rows, pa.list_(pa.float64()))])
    assert likeliest(column).to_pylist() == expected
