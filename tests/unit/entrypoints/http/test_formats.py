"""The formats in which rows come in: the same rows, the same records, the same refusals."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import ARM, TIERS
from homeostat.domain.window import Window
from homeostat.engine.ports import Receipt, Rejected
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.columns import read_json
from homeostat.entrypoints.http.formats import ARROW
from homeostat.entrypoints.http.intake import Intake
from homeostat.entrypoints.http.rows import read_labels, read_predictions
from homeostat.serving.plan import Answerer, Role
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
COLUMNS = Schema(
    (
        Column("amount", ColumnKind.NUMERIC),
        Column("country", ColumnKind.CATEGORICAL),
        Column("night", ColumnKind.BOOLEAN),
    )
)
LABELS = LabelSpec(timedelta(days=30))
SPEC = ModelSpec("fraud", Task.BINARY, COLUMNS, LABELS)
TONE = ModelSpec("tone", Task.MULTICLASS, COLUMNS, LABELS, classes=("bad", "so", "good"))
PRICE = ModelSpec("price", Task.REGRESSION, COLUMNS, LABELS)
ALL = Window(NOW - timedelta(days=1), NOW + timedelta(days=1))
LIMIT = 20_000


@dataclass
class World:
    log: FilePredictionLog
    clock: SimulatedClock
    client: Caller

    def send(self, content: bytes, kind: str, path: str = "fraud/predictions", **more: str) -> Any:
        headers = {"Content-Type": kind} | {k.replace("_", "-"): v for k, v in more.items()}
        return self.client.post(f"/api/v1/models/{path}", content=content, headers=headers)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    intake = Intake(clock, 5 * LIMIT, rows_per_second=10)
    routes = api(records, log, [SPEC, TONE, PRICE], clock, Tokens(records), LIMIT, intake)
    yield World(log, clock, Caller(Starlette(routes=routes), "http://127.0.0.1:8420"))
    log.close()
    records.close()


def record(key: str, **more: Any) -> dict[str, Any]:
    made = {"prediction_id": key, "timestamp": NOW.isoformat(), "version": "1"}
    return made | {"score": 0.7, "amount": 3} | more


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def as_list(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"predictions": rows}, indent=1).encode()


def as_arrow(rows: list[dict[str, Any]]) -> bytes:
    moments = [row | {"timestamp": datetime.fromisoformat(row["timestamp"])} for row in rows]
    names = dict.fromkeys(name for row in moments for name in row)
    return as_stream(pa.table({name: [row.get(name) for row in moments] for name in names}))


def as_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


FORMATS = pytest.mark.parametrize(
    ("kind", "write"),
    [("application/json", as_list), ("application/x-ndjson", as_lines), (ARROW, as_arrow)],
    ids=["json", "lines", "arrow"],
)


@FORMATS
def test_each_format_stores_the_same_records(
    world: World, kind: str, write: Callable[[list[dict[str, Any]]], bytes]
) -> None:
    rows = [
        record("a", country="PT", night=True),
        record("b", score=0.2, role="shadow", version="2", country=None, night=None),
    ]
    body = write(rows)
    assert world.send(body, kind).json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    again = world.send(gzip.compress(body), kind, Content_Encoding="gzip")
    assert again.json()["duplicates"] == 2
    stored = world.log.rows(SPEC, ALL).to_pylist()
    assert [(r["prediction"], r["role"], r["tier"], r["reason"]) for r in stored] == [
        (1.0, "champion", "model", ""),
        (0.0, "shadow", "model", ""),
    ]
    assert [(r["amount"], r["country"], r["night"]) for r in stored] == [
        (3.0, "PT", True),
        (3.0, None, None),
    ]


@FORMATS
def test_a_bad_row_spares_its_neighbours(
    world: World, kind: str, write: Callable[[list[dict[str, Any]]], bytes]
) -> None:
    rows = [record("a"), record("b", role="king"), record(""), record("c")]
    answer = world.send(write(rows), kind).json()
    assert answer["accepted"] == 2
    assert [(r["row"], r["column"]) for r in answer["rejected"]] == [
        (1, "role"),
        (2, "prediction_id"),
    ]
    refused = {entry.column: json.loads(entry.row) for entry in world.log.quarantined("fraud")}
    assert refused["role"]["prediction_id"] == "b"
    assert refused["prediction_id"]["amount"] == 3


def test_a_line_that_is_no_json_costs_itself_only(world: World) -> None:
    body = as_lines([record("a")]) + b'\n{"prediction_id": "x\xff\n\n' + as_lines([record("b")])
    answer = world.send(body, "application/x-ndjson").json()
    assert answer["accepted"] == 2
    assert answer["rejected"][0]["reason"].startswith("line 2 is not JSON")
    (entry,) = world.log.quarantined("fraud")
    assert "prediction_id" in entry.row


def test_classes_come_by_name_in_arrow_too(world: World) -> None:
    chances = [0.1, 0.2, 0.7]
    rows = [{k: v for k, v in record("a", probabilities=chances).items() if k != "score"}]
    assert world.send(as_arrow(rows), ARROW, "tone/predictions").json()["accepted"] == 1
    table = pa.table({"prediction_id": ["a", "b"], "label": ["good", "odd"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = world.send(sink.getvalue().to_pybytes(), ARROW, "tone/labels").json()
    assert (answer["accepted"], answer["rejected"][0]["row"]) == (1, 1)
    labelled = world.log.labelled(TONE, ALL, NOW).to_pylist()
    assert [(r["prediction"], r["label"]) for r in labelled] == [(2.0, 2.0)]


@pytest.mark.parametrize(
    ("content", "kind", "encoding", "status", "said"),
    [
        (b"x", "text/csv", "identity", 415, "content type is 'text/csv'"),
        (b"x", "application/json", "br", 415, "content encoding is 'br'"),
        (b"rows in plain", "application/json", "gzip", 400, "not gzip"),
        (gzip.compress(b"{}")[:-4], "application/json", "gzip", 400, "no whole gzip stream"),
        (gzip.compress(b"{}") + b"x", "application/json", "gzip", 400, "no whole gzip stream"),
        (gzip.compress(bytes(10**7)), "application/json", "gzip", 413, "decompresses to more"),
        (b"ARROW1", ARROW, "identity", 400, "no Arrow IPC stream"),
        (b"", ARROW, "identity", 400, "no Arrow IPC stream"),
        (as_arrow([record("a")])[:-300], ARROW, "identity", 400, "no Arrow IPC stream"),
    ],
    ids=["type", "encoding", "no gzip", "cut", "more", "bomb", "file", "empty", "cut arrow"],
)
def test_bodies_that_cannot_be_read(
    world: World, content: bytes, kind: str, encoding: str, status: int, said: str
) -> None:
    answer = world.send(content, kind, Content_Encoding=encoding)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answer.json()["remedy"]


def test_a_batch_sent_again_with_its_key_is_answered_alike(world: World) -> None:
    body = as_list([record("a"), record("")])
    first, second = (
        world.send(body, "application/json", Idempotency_Key="k").json() for _ in range(2)
    )
    assert first == second
    assert first["accepted"] == 1
    other = world.send(as_list([record("z")]), "application/json", Idempotency_Key="k")
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    long = world.send(body, "application/json", Idempotency_Key="k" * 201)
    assert (long.status_code, long.json()["field"]) == (422, "Idempotency-Key")


def test_answers_are_remembered_for_an_hour_and_not_beyond_so_many_bytes(world: World) -> None:
    intake = Intake(world.clock, 100)

    def known() -> list[str]:
        return [key for key in "abcd" if intake.answered("place", key, b"") is not None]

    for key in "abab":
        intake.remember("place", key, b"", Receipt(1))
    world.clock.advance(timedelta(minutes=59))
    intake.remember("place", "c", b"", Receipt(1))
    assert known() == ["a", "b", "c"]
    world.clock.advance(timedelta(minutes=2))
    assert known() == ["c"]
    refused = tuple(Rejected(row, "score", "is missing") for row in range(10_000))
    for _ in range(3):
        intake.remember("place", "d", b"", Receipt(0, 0, refused))
    assert known() == ["c", "d"], "what is said again takes no more room"
    for number in range(10):
        intake.remember("place", f"{number}", b"", Receipt(0, 0, refused))
    assert known() == []
    assert intake.answered("place", "9", b"") is not None
    intake.remember("place", "a", b"", Receipt(0, 0, refused * 10))
    assert known() == [], "it is larger than all that is kept"


def test_a_sender_that_sends_too_much_is_told_to_wait(world: World) -> None:
    assert (
        world.send(as_list([record(f"{i}") for i in range(90)]), "application/json").status_code
        == 200
    )
    more = as_list([record(f"x{i}") for i in range(20)])
    answer = world.send(more, "application/json")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert "10 rows a second" in answer.json()["error"]
    world.clock.advance(timedelta(seconds=2))
    assert world.send(more, "application/json").status_code == 200


def test_what_does_not_fit_into_memory_waits_outside(world: World) -> None:
    answer = world.send(gzip.compress(b"{}"), "application/json", Content_Encoding="gzip")
    assert answer.status_code == 422
    intake = Intake(world.clock, 100)
    with intake.holding(60):
        with pytest.raises(Exception, match="too many requests"), intake.holding(50):
            pass
        with intake.holding(40):
            pass
    with intake.holding(100):
        pass


@FORMATS
def test_every_role_that_a_gateway_writes_is_taken_and_no_other(
    world: World, kind: str, write: Callable[[list[dict[str, Any]]], bytes]
) -> None:
    good = [*Role, f"{ARM}v2", f"{ARM}{'v' * 200}"]
    bad = ["", "king", "champion\n", "Shadow", ARM, f"{ARM}a\nb", f"{ARM}{'v' * 201}", f"x{ARM}b"]
    rows = [record(str(place), role=role) for place, role in enumerate([*good, *bad])]
    answer = world.send(write(rows), kind).json()
    assert answer["accepted"] == len(good)
    assert [entry["row"] for entry in answer["rejected"]] == list(range(len(good), len(rows)))
    known = "must be one of champion, challenger, shadow, override, arm:VERSION"
    assert all(entry["column"] == "role" for entry in answer["rejected"])
    assert all(entry["reason"].startswith(known) for entry in answer["rejected"])
    stored = world.log.rows(SPEC, ALL).sort_by("prediction_id")
    assert stored["role"].to_pylist() == [str(role) for role in good]


def test_the_log_knows_the_gateways_tiers() -> None:
    assert list(TIERS) == [tier.value for tier in Answerer]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3), st.just([])
)
ROLES = ["champion", "shadow", "override", "arm:2", "king", "arm:", "arm:a\nb", "shadow\n"]
TIMES = ["2024-03-01T11:00:00Z", "2024-03-01", "x", None, "0001-01-01T00:00:00+14:00"]
ROWS = st.lists(
    st.fixed_dictionaries(
        {"prediction_id": st.text(max_size=2), "version": st.just("1")},
        optional={
            "timestamp": st.sampled_from(TIMES),
            "score": VALUES,
            "prediction": VALUES,
            "role": st.sampled_from([*ROLES, None]),
            "amount": VALUES,
            "country": VALUES,
            "night": VALUES,
            "odd": st.none(),
        },
    ),
    max_size=4,
)


@settings(max_examples=300)
@given(ROWS, st.booleans(), st.booleans())
def test_the_fast_ways_read_what_the_slow_one_does_or_nothing(
    rows: list[dict[str, Any]], lines: bool, small: bool
) -> None:
    body = as_lines(rows) if lines else as_list(rows)
    for spec in (SPEC, PRICE):
        fast = read_json(spec, "predictions", body, lines=lines, small=len(body) * small)
        if fast is None:
            continue
        slow = read_predictions(spec, rows, NOW)
        assert not slow.rejected
        assert fast.select(slow.table.column_names).cast(slow.table.schema).equals(slow.table)


@settings(max_examples=200)
@given(
    st.lists(st.fixed_dictionaries({"prediction_id": VALUES, "label": VALUES}), max_size=3),
    st.booleans(),
)
def test_the_fast_ways_of_labels_too(rows: list[dict[str, Any]], small: bool) -> None:
    body = as_lines(rows)
    fast = read_json(PRICE, "labels", body, lines=True, small=len(body) * small)
    if fast is not None:
        slow = read_labels(PRICE, rows, NOW)
        assert not slow.rejected
        assert all(map(math.isfinite, fast.column("label").to_pylist()))
        for name in ("prediction_id", "label"):
            assert fast.column(name).to_pylist() == slow.table.column(name).to_pylist()


PLAIN = {"prediction_id": "a", "timestamp": "2024-03-01T11:00:00Z", "version": "1", "score": 0.5}


@pytest.mark.parametrize("small", [0, 2**20], ids=["as text", "as objects"])
def test_plain_rows_are_read_the_fast_way(small: int) -> None:
    rows = [PLAIN | {"amount": 3, "night": True}, PLAIN | {"amount": None, "night": False}]
    for lines, body in ((True, as_lines(rows)), (False, as_list(rows))):
        fast = read_json(SPEC, "predictions", body, lines=lines, small=small)
        assert fast is not None
        assert fast.column("amount").to_pylist() == [3.0, None]
        assert fast.column("prediction").to_pylist() == [1.0, 1.0]


@pytest.mark.parametrize("small", [0, 2**20], ids=["as text", "as objects"])
def test_what_is_unusual_is_left_to_the_slow_way(small: int) -> None:
    text = as_lines([PLAIN])
    odd = (b"", b"[]", b"3", b"{", text + b"{}", text + b"\n7", text[:-1] + b',"odd":1}')
    for body in (*odd, as_lines([PLAIN | {"amount": True}]), text[:-1] + b',"amount":1e999}'):
        assert read_json(SPEC, "predictions", body, lines=True, small=small) is None, body
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        body = as_lines([PLAIN | {"timestamp": moment}])
        assert read_json(SPEC, "predictions", body, lines=True, small=small) is None, moment
    wrapped = (b"[1]", b'{"predictions":[]}', b'{"predictions":null}', b'{"predictions":[1]}')
    for body in (*wrapped, b'{"predictions":[null]}', b'{"other":[]}', b"{}"):
        assert read_json(SPEC, "predictions", body, lines=False, small=small) is None, body


def test_a_dictionary_column_and_the_same_schema_again(world: World) -> None:
    def body(key: str) -> bytes:
        table = pa.Table.from_pylist([PLAIN | {"prediction_id": key, "country": "PT"}])
        times = table.column("timestamp").cast(pa.timestamp("us", "UTC"))
        table = table.set_column(1, "timestamp", times)
        place = table.column_names.index("country")
        coded = table.column("country").dictionary_encode()
        return as_stream(table.set_column(place, "country", coded))

    for key in ("a", "b"):
        assert world.send(body(key), ARROW).json()["accepted"] == 1
    rows = world.log.rows(SPEC, ALL)
    assert rows.column("country").to_pylist() == ["PT", "PT"]
    assert rows.column("prediction").to_pylist() == [1.0, 1.0]
