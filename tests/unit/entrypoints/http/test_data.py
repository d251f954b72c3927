import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.data import NEXT, data_api
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

MODEL = replace(SPEC, name="fraud")
BASE = "/api/v1/models/fraud"


@dataclass
class World:
    log: FilePredictionLog
    tokens: Tokens
    client: Caller

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"{BASE}/{path}", params=query)

    def change(self, **body: Any) -> Any:
        return self.client.post(f"{BASE}/quarantine", json=body)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    tokens = Tokens(records)
    routes = [
        *data_api(log, [MODEL], clock, tokens),
        *api(records, log, [MODEL], clock, tokens),
    ]
    yield World(log, tokens, Caller(Starlette(routes=routes), "http://127.0.0.1:8420"))
    log.close()
    records.close()


def table(answer: Any) -> pa.Table:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()


def test_rows_come_page_by_page_as_arrow_streams(world: World) -> None:
    ids = [f"id {i}" for i in range(25)]
    world.log.append(MODEL, predictions(ids))
    world.log.append_labels(MODEL, labels(ids[:3], 1.0, T0 + HOUR))
    world.log.roll(NOW)
    found, since = list[pa.Table](), T0.isoformat()
    while since:
        answer = world.get("rows", since=since, limit=10)
        found.append(table(answer))
        since = answer.headers.get(NEXT, "")
    assert [len(page) for page in found] == [10, 10, 5]
    assert pa.concat_tables(found).equals(world.log.rows(MODEL, ALL))
    assert table(world.get("rows")).num_rows == 25, "all of it, by default"
    until = (T0 + timedelta(minutes=2)).isoformat()
    assert table(world.get("rows", until=until)).num_rows == 2
    known = table(world.get("rows", labels="true", limit=4))
    assert known.column("label").to_pylist() == [1.0, 1.0, 1.0, None]
    early = table(world.get("rows", as_of=T0.isoformat(), limit=4))
    assert early.column("label").null_count == 4
    assert table(world.get("rows", since=until, until=NOW.isoformat(), limit=1)).num_rows == 1


def test_a_window_of_millennia_is_that_of_the_rows(world: World) -> None:
    world.log.append(MODEL, predictions([f"id {i}" for i in range(5)]))
    last = "9999-12-31T23:59:59.999999Z"
    whole = table(world.get("rows", since="0001-01-01T00:00:00Z", until=last))
    assert whole.equals(world.log.rows(MODEL, ALL))
    for since, until in (("3000-01-01T00Z", last), ("0001-01-01T00Z", "1000-01-01T00Z")):
        assert table(world.get("rows", since=since, until=until)).num_rows == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "2024-02-01T00:00:00Z", "until": "2024-01-01T00:00:00Z"}, "until"),
        ({"labels": "maybe"}, "labels"),
        ({"limit": "0"}, "limit"),
        ({"since": "yesterday"}, "since"),
    ],
    ids=["order", "labels", "limit", "since"],
)
def test_what_cannot_be_meant_is_told(world: World, query: dict[str, str], field: str) -> None:
    answer = world.get("rows", **query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_status_says_what_the_log_holds_and_where(world: World, tmp_path: Path) -> None:
    world.log.append(MODEL, predictions(["a", "b"]))
    found = world.client.get("/api/v1/status").json()["log"]
    assert (found["landed"], found["predictions"], found["files"]) == (2, 2, 0)
    assert (found["place"], found["trouble"]) == (str(tmp_path / "log"), "")


def test_a_damaged_file_is_told(world: World, tmp_path: Path) -> None:
    world.log.append(MODEL, predictions(["a"]))
    world.log.roll(NOW)
    (path,) = (tmp_path / "log/predictions").rglob("*.parquet")
    path.write_bytes(b"junk")
    answer = world.get("rows")
    assert (answer.status_code, "repair" in answer.json()["error"]) == (503, True)


def test_scopes_are_asked_for(world: World) -> None:
    secret = world.tokens.create("gateway", [Scope.INGEST], NOW)
    headers = {"authorization": f"Bearer {secret}"}
    assert world.client.get(f"{BASE}/rows", headers=headers).status_code == 403
    assert world.client.get(f"{BASE}/quarantine/counts", headers=headers).status_code == 403
    body = {"action": "replay"}
    answer = world.client.post(f"{BASE}/quarantine", json=body, headers=headers)
    assert answer.status_code == 403
    other = f"{BASE.replace('fraud', 'other')}/rows"
    reader = {"authorization": f"Bearer {world.tokens.create('r', [Scope.READ], NOW)}"}
    assert world.client.get(other, headers=reader).status_code == 404


def test_refused_rows_are_counted_mended_replayed_and_dropped(world: World) -> None:
    bad = [{"prediction_id": name, "version": "1", "timestamp": T0.isoformat(), "score": "x"}
           for name in ("a", "b", "c")]  # fmt: skip
    world.client.post(f"{BASE}/predictions", json={"predictions": bad})
    (count,) = world.get("quarantine/counts").json()["counts"]
    assert (count["column"], count["rows"]) == ("score", 3)
    third, second, first = world.get("quarantine").json()["quarantine"]
    mended = json.loads(first["row"]) | {"score": 0.5}
    fixed = world.change(action="fix", numbers=[first["number"]], row=mended)
    assert json.loads(fixed.json()["fixed"]["row"])["score"] == 0.5
    done = world.change(action="replay", numbers=[first["number"], second["number"]]).json()
    assert (done["accepted"], [r["row"] for r in done["refused"]]) == (1, [second["number"]])
    assert world.change(action="drop", numbers=[third["number"]]).json() == {"dropped": 1}
    assert world.change(action="replay").json()["refused"][0]["row"] == second["number"]
    assert world.log.rows(MODEL, ALL).num_rows == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"action": "burn"}, 422, "action"),
        ({"action": "drop"}, 422, "numbers"),
        ({"action": "drop", "numbers": "7"}, 422, "numbers"),
        ({"action": "drop", "numbers": [True]}, 422, "numbers"),
        ({"action": "fix", "numbers": [7]}, 422, "row"),
        ({"action": "replay", "rows": []}, 422, "rows"),
        ({"action": "replay", "numbers": [7]}, 404, ""),
    ],
    ids=["action", "all", "text", "flag", "row", "unknown", "number"],
)
def test_wrong_orders_are_told(
    world: World, body: dict[str, object], status: int, field: str
) -> None:
    answer = world.change(**body)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
