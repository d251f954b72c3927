"""Whatever callers put into a record becomes JSON that any strict reader takes, or is named."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat_client.encode import (
    MAX_ROW,
    UnfitError,
    dump,
    iso,
    label,
    moment_of,
    outcome,
    prediction,
)


def strict(text: bytes) -> Any:
    """Parse as a strict reader does: UTF-8, no NaN, no halves of characters, one line."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert b"\n" not in text
    found = json.loads(text.decode(), parse_constant=refuse)
    json.dumps(found, ensure_ascii=False).encode()
    return found


class Scalar:
    """As NumPy's scalars are."""

    def __init__(self, value: object) -> None:
        self._value = value

    def item(self) -> object:
        return self._value


class Color(Enum):
    RED = 1


class NAType:
    """As pandas' mark is called."""


texts = st.text(st.sampled_from('az\ud800\udfffé😀\n\x00"\\\u2028'), max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    plain | plain.map(Scalar) | st.decimals() | st.binary() | st.datetimes() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = texts | st.integers() | st.none() | st.floats() | st.binary()


@given(st.dictionaries(names, values, max_size=5))
def test_any_row_is_strict_json_or_refused(row: dict[object, object]) -> None:
    try:
        text = dump(dict(row))
    except UnfitError as error:
        text = json.dumps({"reason": error.reason}).encode()
    found = strict(text)
    assert len(found) <= len(row) or found == {"reason": "unserialisable"}


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.booleans(), max_size=5))
def test_ordinary_rows_are_what_the_json_module_makes(row: dict[object, object]) -> None:
    assert strict(dump(dict(row))) == json.loads(json.dumps(row))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (math.nan, None),
        (-math.inf, None),
        (Scalar(1.5), 1.5),
        (Scalar(math.nan), None),
        (Scalar(True), True),
        (Decimal("1.5"), 1.5),
        (Decimal("NaN"), None),
        (Fraction(1, 2), 0.5),
        (NAType(), None),
        (b"caf\xc3\xa9\xff", "café\ufffd"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
        ("\ud83d", "?"),
        ("😀", "😀"),
        ("a\nb\u2028", "a\nb\u2028"),
        ([1, math.nan, Scalar(2)], [1, None, 2]),
    ],
    ids=[
        "nan", "inf", "scalar", "nan scalar", "bool scalar", "decimal", "nan decimal", "fraction",
        "na", "bytes", "date", "datetime", "surrogate", "emoji", "lines", "list",
    ],
)  # fmt: skip
def test_values_of_other_libraries(value: object, sent: object) -> None:
    assert strict(dump({"a": value, "b": 1})) == {"a": sent, "b": 1}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "'a' cannot be sent: TypeError"),
        (Color.RED, "Color has no JSON form"),
        (nested(100_000), "nested too deeply"),
    ],
    ids=["object", "enum", "deep"],
)
def test_what_has_no_json_form_is_named(value: object, said: str) -> None:
    with pytest.raises(UnfitError, match=said) as caught:
        dump({"a": value})
    assert caught.value.reason == "unserialisable"


@pytest.mark.parametrize(
    "row",
    [{"a": "x" * (MAX_ROW + 1)}, {str(n): "x" * 1000 for n in range(2000)}],
    ids=["one text", "many"],
)
def test_a_row_that_is_too_large_is_refused(row: dict[object, object]) -> None:
    with pytest.raises(UnfitError) as caught:
        dump(row)
    assert caught.value.reason == "too_large"


def test_fields_of_a_prediction() -> None:
    features = {"amount": 1.0, "score": "a feature of that name gives way"}
    record = (
        "p",
        1_500_000,
        features,
        0.5,
        "",
        7,
        1.25,
        None,
        {"a": 0.5},
        None,
        "model",
        None,
        0.25,
    )
    assert strict(prediction(record, "9")) == {
        "amount": 1.0,
        "prediction_id": "p",
        "timestamp": "1970-01-01T00:00:00.001500+00:00",
        "version": "9",
        "score": 0.5,
        "entity": "7",
        "latency_ms": 1.25,
        "probabilities": {"a": 0.5},
        "tier": "model",
        "arm_share": 0.25,
    }
    assert strict(prediction((7, "now", {}, 1, "3", None, *[None] * 6), ""))["prediction_id"] == "7"
    assert strict(label(("p", 1, 0)))["arrival"] == "1970-01-01T00:00:00+00:00"
    assert strict(outcome((7, "lost", Decimal("2.5"), 0))) == {
        "prediction_id": "7",
        "outcome": "lost",
        "value": 2.5,
        "arrival": "1970-01-01T00:00:00+00:00",
    }


def test_times_as_callers_write_them() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
    assert iso(moment_of(noon)) == iso(moment_of(noon.timestamp())) == "2026-01-02T12:00:00+00:00"
    assert iso(moment_of("2026-01-02T12:00Z")) == "2026-01-02T12:00Z"
