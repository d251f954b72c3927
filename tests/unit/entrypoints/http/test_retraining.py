"""Retraining asked for over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
COLUMNS = Schema((Column("amount", ColumnKind.NUMERIC),))
SPEC = ModelSpec("fraud", Task.BINARY, COLUMNS, LabelSpec(timedelta(days=30)))
PATH = "/api/v1/models/fraud/retrain"


class World:
    def __init__(self) -> None:
        clock = SimulatedClock(NOW)
        self.records = MemoryRecords(clock)
        self.tokens = Tokens(self.records)  # type: ignore[arg-type]
        log = MemoryLog(clock)
        routes = api(self.records, log, [SPEC], clock, self.tokens)  # type: ignore[arg-type]
        self.client = Caller(Starlette(routes=routes), "http://127.0.0.1:8420")

    def inbox(self) -> Inbox:
        return self.records.read(inbox_key("fraud"), Inbox) or Inbox()

    def emptied(self) -> None:
        with self.records.begin() as uow:
            uow.load(inbox_key("fraud"), Inbox)
            uow.save(inbox_key("fraud"), Inbox())


@pytest.fixture
def world() -> Iterator[World]:
    return World()


def test_a_reason_is_kept_and_one_that_waits_is_asked_for_once(world: World) -> None:
    answer = world.client.post(PATH, json={"reason": "new products"})
    assert (answer.status_code, answer.json()["new"]) == (202, True)
    again = world.client.post(PATH, json={"reason": "hurry"})
    assert (again.status_code, again.json()["new"]) == (200, False)
    (command,) = world.inbox().commands
    assert (command.request, command.reason, command.at) == (Request.RETRAIN, "new products", NOW)


def test_a_key_asks_once_also_after_it_was_done(world: World) -> None:
    headers = {"Idempotency-Key": "release-7"}
    assert world.client.post(PATH, json={"reason": "x"}, headers=headers).status_code == 202
    world.emptied()
    assert world.client.post(PATH, json={"reason": "x"}, headers=headers).status_code == 200
    assert world.inbox().commands == ()
    other = {"Idempotency-Key": "release-8"}
    assert world.client.post(PATH, json={"reason": "x"}, headers=other).status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "reason"), ({"reason": " "}, "reason"), ({"reason": "x" * 2000}, "reason"),
     ({"reason": 1}, "reason"), ({"why": "x"}, "why")],
)  # fmt: skip
def test_what_is_not_taken(world: World, body: dict[str, object], field: str) -> None:
    answer = world.client.post(PATH, json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert world.inbox().commands == ()


def test_a_key_has_an_end_and_the_scope_is_operate(world: World) -> None:
    answer = world.client.post(PATH, json={"reason": "x"}, headers={"Idempotency-Key": "k" * 201})
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
    secret = world.tokens.create("app", [Scope.READ, Scope.INGEST], NOW)
    headers = {"Authorization": f"Bearer {secret}"}
    assert world.client.post(PATH, json={"reason": "x"}, headers=headers).status_code == 403
