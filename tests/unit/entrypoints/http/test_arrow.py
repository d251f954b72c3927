"""Arrow streams of any layout: a bad value costs its row, a hostile stream is not unpacked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.window import Window
from homeostat.entrypoints.http.formats import ARROW
from homeostat.entrypoints.quarantine import quarantine_of
from ingesting import (
    ALL,
    LIMIT,
    LINES,
    SPEC,
    TIME,
    TONE,
    World,
    arrow,
    columns,
    opened,
    stream,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        yield made


def bomb(name: str) -> bytes:
    count = 100_000
    text = "x" * 1000
    index = pa.array([0] * count, pa.int8())
    match name:
        case "zstd" | "lz4":
            return stream(pa.table(columns(2, country=["x" * 10**7] * 2)), compression=name)
        case "dictionary":
            values: Any = pa.DictionaryArray.from_arrays(index, pa.array([text]))
        case "runs":
            values = pa.RunEndEncodedArray.from_arrays(
                pa.array([count], pa.int32()), pa.array([text])
            )
        case "views":
            _, view, content = pa.array([text], pa.string_view()).buffers()
            assert view is not None
            buffers = [None, pa.py_buffer(view.to_pybytes() * count), content]
            values = pa.Array.from_buffers(pa.string_view(), count, buffers)
        case _:
            return stream(pa.table({"amount": pa.nulls(2**31 - 1)}))
    return stream(pa.table({"country": values}))


@pytest.mark.parametrize("name", ["zstd", "lz4", "dictionary", "runs", "views", "nulls"])
def test_a_stream_that_would_burst_is_refused_unread(world: World, name: str) -> None:
    content = bomb(name)
    assert len(content) < LIMIT
    before = pa.total_allocated_bytes()
    answer = world.send(content)
    assert answer.status_code == 413
    assert "memory" in answer.json()["error"]
    assert pa.total_allocated_bytes() - before < LIMIT


SENT = pa.array(["PT", None])
TAKEN: dict[str, dict[str, Any]] = {
    "views": {
        "country": SENT.cast(pa.string_view()),
        "version": pa.array(["1"] * 2, pa.string_view()),
    },
    "large": {"country": SENT.cast(pa.large_string())},
    "dictionary": {"country": SENT.dictionary_encode()},
    "dictionary of views": {
        "country": pa.DictionaryArray.from_arrays(
            pa.array([0, None], pa.int8()), pa.array(["PT"], pa.string_view())
        )
    },
    "runs": {"country": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), SENT)},
    "runs of numbers": {
        "amount": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array([3, 4])),
        "country": SENT,
    },
    "all null": {"role": pa.nulls(2), "night": pa.nulls(2), "reason": pa.nulls(2), "country": SENT},
    "decimals": {"amount": pa.array([Decimal("3.00"), Decimal("4.00")]), "country": SENT},
    "nanoseconds": {
        "timestamp": pa.array([1_000_000_001] * 2, pa.timestamp("ns", "Europe/Lisbon")),
        "country": SENT,
    },
    "bits": {"night": pa.array([0, 1], pa.uint8()), "country": SENT},
    "half": {"score": pa.array(np.array([0.5, 1], np.float16)), "country": SENT},
    "compressed": {"country": SENT},
}


@pytest.mark.parametrize("path", ["fraud", "tone"])
@pytest.mark.parametrize("name", TAKEN)
def test_any_layout_of_a_type_is_taken(world: World, name: str, path: str) -> None:
    given = {"amount": [3, 4], "score": [0.0, 1.0]} | TAKEN[name]
    if path == "tone":
        given["score"] = [0.0, 1.0]
    options = {"compression": "zstd"} if name == "compressed" else {}
    answer = world.send(
        stream(pa.table(columns(2, **given)), **options), path=f"{path}/predictions"
    )
    assert answer.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    spec = SPEC if path == "fraud" else TONE
    ever = Window(datetime(1970, 1, 1, tzinfo=UTC), ALL.end)
    stored = world.log.rows(spec, ever).to_pylist()
    assert [(row["country"], row["amount"], row["role"]) for row in stored] == [
        ("PT", 3.0, "champion"),
        (None, 4.0, "champion"),
    ]


ONE_BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "beyond doubles": ({"amount": [3, 2**60 + 1]}, "amount", "is beyond 2**53"),
    "unsigned": ({"amount": pa.array([3, 2**64 - 1], pa.uint64())}, "amount", "is beyond 2**53"),
    "bits": ({"night": [1, 7]}, "night", "is neither true nor false, 0 nor 1"),
    "seconds": (
        {"timestamp": pa.array([0, 2**62], pa.timestamp("s", "UTC"))},
        "timestamp",
        "lies beyond",
    ),
    "future": ({"timestamp": pa.array([0, 2**62], TIME)}, "timestamp", "lies in the future"),
    "role": ({"role": ["shadow", "king"]}, "role", "must be one of champion"),
    "tier": ({"tier": pa.array([None, "x"]).dictionary_encode()}, "tier", "must be one of model"),
    "integer role": ({"role": pa.array([None, 1])}, "role", "is int64, not string"),
    "struct": ({"amount": [None, {"x": 1}]}, "amount", "is struct<x: int64>, not double"),
    "text": ({"amount": [None, "3"]}, "amount", "is string, not double"),
    "no zone": ({"timestamp": pa.array([None, 0], pa.timestamp("us"))}, "timestamp", "is "),
    "score": ({"score": [0.5, 1.5]}, "score", "is no probability"),
}


@pytest.mark.parametrize("name", ONE_BAD)
def test_one_bad_value_in_a_column_costs_its_row_only(world: World, name: str) -> None:
    given, column, reason = ONE_BAD[name]
    answer = world.send(arrow(2, **given)).json()
    told = {entry["row"]: (entry["column"], entry["reason"]) for entry in answer["rejected"]}
    assert told[1][0] == column
    assert told[1][1].startswith(reason)
    assert answer["accepted"] == (0 if name == "no zone" else 1)
    kept = {entry.column: json.loads(entry.row) for entry in world.log.quarantined("fraud")}
    assert kept[column]["prediction_id"] in {"p0", "p1"}


@pytest.mark.parametrize("path", ["fraud/predictions", "tone/predictions", "fraud/labels"])
def test_a_row_with_an_unknown_column_is_kept_whatever_its_format(world: World, path: str) -> None:
    rows: list[dict[str, Any]] = [
        {"prediction_id": "a", "odd": {"x": [1, 2]}},
        {"prediction_id": "b", "odd": None},
    ]
    answers = []
    for kind, content in (
        (LINES, "\n".join(map(json.dumps, rows)).encode()),
        (ARROW, stream(pa.Table.from_pylist(rows))),
    ):
        answers.append(world.send(content, kind, path))
    assert answers[0].json() == answers[1].json()
    assert answers[1].status_code == 422
    spec = SPEC if path.startswith("fraud") else TONE
    assert quarantine_of(world.log, spec).counts()[0].rows == 2, "the same rows are kept once"


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ({}, "outcome"),
        ({"outcome": pa.nulls(2)}, "outcome"),
        ({"outcome": ["", "label"]}, "outcome"),
        ({"outcome": ["money"] * 2, "label": [1.0, 2.0]}, "label"),
    ],
    ids=["absent", "null", "other", "label and value"],
)
def test_an_outcome_without_a_name_is_no_label(
    world: World, given: dict[str, Any], column: str
) -> None:
    table = pa.table({"prediction_id": ["a", "b"], "value": [1.0, 0.0]} | given)
    answer = world.send(stream(table), path="fraud/outcomes")
    assert answer.status_code == 422
    assert {entry["column"] for entry in answer.json()["rejected"]} == {column}
    assert world.log.status().labels == 0


def test_outcomes_and_labels_of_any_layout(world: World) -> None:
    outcomes = pa.table(
        {
            "prediction_id": pa.array(["a", "b"], pa.string_view()),
            "outcome": pa.array(["money", "money"]).dictionary_encode(),
            "value": [True, False],
        }
    )
    assert world.send(stream(outcomes), path="fraud/outcomes").json()["accepted"] == 2
    for number, label in enumerate(
        (
            pa.array(["yes", "no"]).dictionary_encode(),
            pa.array([True, False]),
            pa.array([1, 0], pa.int8()),
        )
    ):
        table = pa.table(
            {
                "prediction_id": [f"{number}", f"{number}b"],
                "label": label,
                "arrival": pa.nulls(2),
            }
        )
        answer = world.send(stream(table), path="fraud/labels").json()
        assert answer == {"accepted": 2, "duplicates": 0, "rejected": []}
    table = pa.table({"prediction_id": ["x", "y"], "label": ["yes", "odd"]})
    (refused,) = world.send(stream(table), path="fraud/labels").json()["rejected"]
    assert refused == {"row": 1, "column": "label", "reason": "unknown class; there are no, yes"}


def odd_streams() -> dict[str, bytes]:
    shared = pa.array([["a"], ["b"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    union = pa.UnionArray.from_sparse(
        pa.array([0, 0], pa.int8()), [pa.array([1.0, 2.0]), pa.array(["a", "b"])]
    )
    return {
        "lists of dictionaries": arrow(2, country=shared),
        "union": arrow(2, amount=union),
        "list views": arrow(2, amount=pa.array([[1.0], [2.0]], pa.list_view(pa.float64()))),
        "names": arrow(1, ZZZZ=["a"]).replace(b"ZZZZ", b"\xff\xfe\xfd\xfc"),
        "zone": stream(pa.table({"timestamp": pa.array([0], pa.timestamp("us", "ZZZZ"))})).replace(
            b"ZZZZ", b"UT\xda\0"
        ),
        "twice": stream(pa.table([["a"], ["b"]], names=["country", "country"])),
    }


@pytest.mark.parametrize("name", odd_streams())
def test_a_stream_of_odd_types_is_refused_by_column_and_type(world: World, name: str) -> None:
    answer = world.send(odd_streams()[name])
    assert answer.status_code == (400 if name in {"names", "zone"} else 422)
    assert answer.json()["remedy"]


@pytest.mark.parametrize("count", [0, 3])
def test_a_table_without_columns_or_rows(world: World, count: int) -> None:
    sent = stream(pa.table({"amount": pa.array([], pa.float64())}))
    assert world.send(sent).json() == {"accepted": 0, "duplicates": 0, "rejected": []}
    assert world.send(stream(pa.table({}))).status_code == 200
    del count
