"""Orders to breakers over the API."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
COLUMNS = Schema((Column("amount", ColumnKind.NUMERIC),))
SPEC = ModelSpec("fraud", Task.BINARY, COLUMNS, LabelSpec(timedelta(days=30)))
BASE = "/api/v1/models/fraud"


@dataclass
class World:
    tokens: Tokens
    client: Caller

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        answer: httpx.Response = self.client.post(f"{BASE}/{path}", json=body, headers=headers)
        return answer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    tokens = Tokens(records)
    app = Starlette(routes=api(records, log, [SPEC], clock, tokens))
    yield World(tokens, Caller(app, "http://127.0.0.1:8420"))
    log.close()
    records.close()


def test_orders_to_breakers_stand_in_the_records_and_in_the_status(world: World) -> None:
    body = {"version": "v2", "order": "force_open", "reason": "nonsense"}
    answer = world.post("breakers", body)
    assert answer.status_code == 202
    assert answer.json()["order"]["number"] == 1
    (order,) = world.client.get(f"{BASE}/breakers").json()["breakers"]
    assert (order["version"], order["event"], order["actor"]) == ("v2", "force_open", "local")
    assert world.client.get(BASE).json()["breakers"] == [order]
    (decision,) = world.client.get(f"{BASE}/decisions").json()["decisions"]
    assert (decision["action"], decision["reason"]) == ("force_open_breaker", "nonsense")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": "v1"}, "order"),
        ({"version": "v1", "order": "tripped"}, "order"),
        ({"order": "reset"}, "version"),
        ({"version": "v1", "order": "reset", "why": "x"}, "why"),
        ({"version": 1, "order": "reset"}, "version"),
    ],
)
def test_wrong_orders(world: World, body: dict[str, object], field: str) -> None:
    answer = world.post("breakers", body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_orders_need_the_scope_operate(world: World) -> None:
    secret = world.tokens.create("app", [Scope.INGEST, Scope.READ], NOW)
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"version": "v1", "order": "reset"}
    assert world.post("breakers", body, **headers).status_code == 403
