"""Messages as rows: however they are packed, and what is set aside with its place."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.kafka import Message
from homeostat.domain.columns import texts
from homeostat.domain.refusal import MOST_REFUSED
from homeostat.entrypoints.http.formats import ARROW, JSON
from homeostat.entrypoints.messages import KEPT_CHARACTERS, Parsed, Reader
from homeostat.simulation.conformance.log import NOW, SPEC, T0, THREE, predictions

MONEY = replace(SPEC, outcomes=("lost",))
LIMIT = 200_000
SENT = T0 + timedelta(days=3)


def message(
    value: bytes | None, offset: int = 0, at: datetime | None = SENT, **headers: str
) -> Message:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Message("t", 7, offset, at, value, named)


def row(name: str, **more: object) -> bytes:
    whole = {"prediction_id": name, "timestamp": T0.isoformat(), "version": "1", "score": 0.5}
    return orjson.dumps(whole | more)


def ids(parsed: Parsed) -> list[str]:
    return [name for table in parsed.tables for name in texts(table.rows, "prediction_id")]


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


READER = Reader(SPEC, "predictions", JSON, LIMIT)


@given(
    st.lists(
        st.sampled_from(["good", "wide", "list", "lines", "poison", "odd", "empty"]), max_size=30
    )
)
def test_no_message_harms_another(kinds: list[str]) -> None:
    values: dict[str, list[bytes | None]] = {
        "good": [row("a")],
        "wide": [orjson.dumps({"predictions": [orjson.loads(row("a"))]})],
        "list": [b"[" + row("a") + b", " + row("b") + b"]"],
        "lines": [row("a") + b"\n\n" + row("b") + b"\n"],
        "poison": [b"{"],
        "odd": [row("a", size=44)],
        "empty": [None],
    }
    messages = [message(values[kind][0], place) for place, kind in enumerate(kinds)]
    parsed = READER.read(messages, NOW)
    of_two = kinds.count("list") + kinds.count("lines")
    assert ids(parsed).count("a") == kinds.count("good") + kinds.count("wide") + of_two
    assert ids(parsed).count("b") == of_two
    assert parsed.empty == kinds.count("empty")
    assert parsed.poisoned == kinds.count("poison")
    assert len(parsed.refused) == kinds.count("poison") + kinds.count("odd")
    places = [place for place, kind in enumerate(kinds) if kind == "poison"]
    told = [reason for _, reason, _ in parsed.refused if reason.startswith("the message")]
    assert [
        reason.endswith(f"topic t, partition 7, offset {n})")
        for reason, n in zip(told, places, strict=True)
    ] == [True] * len(places)


def test_one_odd_message_among_many_costs_only_its_neighbours_the_fast_way() -> None:
    messages = [message(row(f"r{n}")) for n in range(5000)]
    messages[1234] = message(b"nonsense", 1234)
    parsed = READER.read(messages, NOW)
    assert sorted(ids(parsed)) == sorted(f"r{n}" for n in range(5000) if n != 1234)
    assert len(parsed.tables) == 1
    assert parsed.tables[0].rows.column("score").null_count == 0
    assert parsed.poisoned == 1


def test_a_line_that_is_cut_short_spares_the_others() -> None:
    parsed = READER.read([message(row("a") + b'\n{"predic\n' + row("b"), 3)], NOW)
    assert ids(parsed) == ["a", "b"]
    ((column, reason, kept),) = parsed.refused
    assert (column, json.loads(kept)) == ("", '{"predic')
    assert reason.startswith("line 2 is not JSON")
    assert "topic t, partition 7, offset 3" in reason


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "by row"])
def test_a_label_arrived_when_its_message_was_sent(*, fast: bool) -> None:
    reader = Reader(THREE if not fast else replace(SPEC, classes=()), "labels", JSON, LIMIT)
    named = (T0 + timedelta(days=1)).isoformat()
    bodies: list[dict[str, object]] = [{}, {"arrival": named}, {"arrival": None}, {}, {}]
    times = [SENT, SENT, SENT, NOW + timedelta(hours=1), None]
    messages = [
        message(orjson.dumps({"prediction_id": "a", "label": 1, **body}), place, at)
        for place, (body, at) in enumerate(zip(bodies, times, strict=True))
    ]
    (table,) = reader.read(messages, NOW).tables
    arrivals = table.rows.column("arrival").to_pylist()
    # A producer's clock that is ahead is not believed.
    assert arrivals == [SENT, T0 + timedelta(days=1), SENT, NOW, NOW]
    again = reader.read(messages[:3], NOW + timedelta(days=9)).tables[0].rows
    assert again.column("arrival").to_pylist() == arrivals[:3]


def test_labels_that_name_no_arrival_at_all_get_theirs_too() -> None:
    reader = Reader(replace(SPEC, classes=()), "labels", JSON, LIMIT)
    parsed = reader.read([message(b'{"prediction_id":"a","label":1}')] * 2, NOW)
    assert parsed.tables[0].rows.column("arrival").to_pylist() == [SENT, SENT]


def test_outcomes_by_name() -> None:
    reader = Reader(MONEY, "outcomes", JSON, LIMIT)
    good, bad = ({"prediction_id": "a", "outcome": name, "value": 3} for name in ("lost", "won"))
    parsed = reader.read([message(orjson.dumps(item)) for item in (good, bad, 7)], NOW)
    (table,) = parsed.tables
    assert table.rows.to_pylist() == [
        {"prediction_id": "a", "label": 3.0, "arrival": SENT, "outcome": "lost"}
    ]
    assert [column for column, _, _ in parsed.refused] == ["", "outcome"]
    assert parsed.poisoned == 1


def test_streams_of_one_schema_are_stored_together() -> None:
    reader = Reader(SPEC, "predictions", ARROW, LIMIT)
    one, two = predictions(["a"]), predictions(["b"])
    other = predictions(["c"]).drop_columns(["amount"])
    wrong = predictions(["d"]).set_column(3, "role", pa.array(["king"]))
    tables = (one, two, other, wrong)
    parsed = reader.read([message(stream(t), n) for n, t in enumerate(tables)], NOW)
    assert [[m.offset for m in table.messages] for table in parsed.tables] == [[0, 1], [2]]
    assert ids(parsed) == ["a", "b", "c"]
    assert [column for column, _, _ in parsed.refused] == ["role"]
    assert parsed.poisoned == 0


def test_headers_say_what_a_message_is() -> None:
    reader = Reader(SPEC, "predictions", ARROW, LIMIT)
    packed = gzip.compress(row("zipped"))
    bomb = gzip.compress(b" " * 10 * LIMIT)
    messages = [
        message(row("a"), content_type="Application/JSON; charset=utf-8"),
        message(packed, content_type="application/x-ndjson", content_encoding="gzip"),
        message(row("b"), content_type="text/plain"),
        message(row("c"), content_type=JSON, content_encoding="br"),
        message(bomb, content_type=JSON, content_encoding="gzip"),
        message(b"[" + b" " * LIMIT + b"]", content_type=JSON),
        message(packed[:-4], content_type=JSON, content_encoding="gzip"),
    ]
    parsed = reader.read(messages, NOW)
    assert ids(parsed) == ["a", "zipped"]
    wrong = ("text/plain", "'br'", "decompresses", "bytes, more than", "no whole gzip")
    for said, (_, reason, _) in zip(wrong, parsed.refused, strict=True):
        assert said in reason


def test_of_a_message_that_cannot_be_read_a_part_is_kept() -> None:
    parsed = READER.read([message(b"\xff" + b"x" * 2 * KEPT_CHARACTERS)], NOW)
    ((_, _, kept),) = parsed.refused
    assert len(json.loads(kept)) == KEPT_CHARACTERS + 3


@pytest.mark.parametrize("kind", ["json", "arrow"])
def test_a_message_of_which_nearly_all_is_refused_is_set_aside_whole(kind: str) -> None:
    many = MOST_REFUSED + 1
    if kind == "json":
        bad = message(b"[" + b"1," * MOST_REFUSED + b"1]", 1)
    else:
        bad = message(stream(pa.table({"odd": pa.array([True] * many)})), 1, content_type=ARROW)
    parsed = replace(READER, limit=10**7).read([message(row("a")), bad, message(row("b"), 2)], NOW)
    assert ids(parsed) == ["a", "b"]
    assert parsed.poisoned == 1
    ((_, reason, _),) = parsed.refused
    assert reason.startswith("more than 10,000 rows are refused, and none is taken: row 0: ")
