"""Payload logs of KServe and MLServer, posted as their loggers do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.window import Window
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.events import Event, Pairs
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
COLUMNS = Schema((Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.NUMERIC)))
SPEC = ModelSpec("fraud", Task.BINARY, COLUMNS, LabelSpec(timedelta(days=1)))
ALL = Window(NOW - timedelta(days=1), NOW + timedelta(days=1))
KSERVE, MLSERVER = "org.kubeflow.serving.inference", "io.seldon.serving.inference"
ASKED = {"instances": [[1, 2], [3, 4]]}
ANSWERED = {"predictions": [0.25, 0.75]}


@dataclass
class World:
    log: FilePredictionLog
    client: Caller

    def tell(self, side: str, body: Any, key: str = "k", family: str = KSERVE, **more: str) -> Any:
        headers = {
            "Content-Type": "application/json",
            "Ce-Specversion": "1.0",
            "Ce-Id": key,
            "Ce-Type": f"{family}.{side}",
            "Ce-Time": "2024-03-01T11:00:00Z",
        }
        headers |= {f"Ce-{name}": value for name, value in more.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/api/v1/models/fraud/payloads", content=content, headers=headers)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    routes = api(records, log, [SPEC], clock, Tokens(records))
    yield World(log, Caller(Starlette(routes=routes), "http://127.0.0.1:8420"))
    log.close()
    records.close()


@pytest.mark.parametrize("family", [KSERVE, MLSERVER])
@pytest.mark.parametrize("first", ["request", "response"])
def test_two_halves_make_records_in_either_order(world: World, family: str, first: str) -> None:
    halves = {"request": ASKED, "response": ANSWERED}
    second = "response" if first == "request" else "request"
    waiting = world.tell(first, halves[first], family=family)
    assert (waiting.status_code, waiting.json()) == (202, {"waiting": True})
    assert world.tell(second, halves[second], family=family).json()["accepted"] == 2
    rows = world.log.rows(SPEC, ALL).to_pylist()
    assert [(r["prediction_id"], r["a"], r["score"], r["role"]) for r in rows] == [
        ("k:0", 1.0, 0.25, "champion"),
        ("k:1", 3.0, 0.75, "champion"),
    ]
    assert rows[0]["timestamp"] == NOW - timedelta(hours=1)


def test_a_call_told_twice_counts_once_and_a_canary_is_a_challenger(world: World) -> None:
    for _ in range(2):
        world.tell("request", ASKED, endpoint="canary")
        answer = world.tell("response", ANSWERED | {"model_version": "9"}, endpoint="canary").json()
    assert answer["duplicates"] == 2
    rows = world.log.rows(SPEC, ALL).to_pylist()
    assert {(row["role"], row["version"]) for row in rows} == {("challenger", "9")}


def test_a_repeated_half_goes_on_waiting(world: World) -> None:
    for _ in range(2):
        assert world.tell("request", ASKED).status_code == 202
    assert world.tell("response", ANSWERED).json()["accepted"] == 2


def test_halves_that_do_not_fit_are_quarantined(world: World) -> None:
    world.tell("request", ASKED)
    answer = world.tell("response", {"predictions": [0.5]})
    assert answer.status_code == 422
    assert "2 rows were asked for and 1 answered" in answer.json()["error"]
    world.tell("request", b"\xff", key="z")
    answer = world.tell("response", ANSWERED, key="z")
    assert "the request is not JSON" in answer.json()["error"]
    assert {entry.column for entry in world.log.quarantined("fraud")} == {"payload"}


@pytest.mark.parametrize(
    ("key", "family", "field"), [("", KSERVE, "ce-id"), ("k", "x", "ce-type")], ids=["id", "type"]
)
def test_events_that_are_none(world: World, key: str, family: str, field: str) -> None:
    answer = world.tell("request" if field == "ce-id" else "other", ASKED, key, family)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_halves_that_wait_in_vain_are_given_up() -> None:
    clock = SimulatedClock(NOW)
    pairs = Pairs(clock, most_bytes=100)

    def half(key: str, side: str, size: int = 40) -> list[dict[str, object]] | None:
        body = json.dumps(ASKED if side == "request" else ANSWERED).encode().ljust(size)
        return pairs.rows(SPEC, Event(key, side, "", "", body), NOW.isoformat())

    for key in "abc":
        half(key, "request")
    assert pairs.given_up == 1
    assert half("a", "response") is None, "its request was given up"
    clock.advance(timedelta(minutes=6))
    half("d", "request")
    assert half("d", "response") is not None
    assert pairs.given_up == 4
