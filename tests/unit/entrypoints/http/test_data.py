import json
from collections.abc import Iterator
from dataclasses import dataclass
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

BASE = "/api/v1/models/fraud%20%2F%20model"


@dataclass
class World:
    log: FilePredictionLog
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
    spec = SPEC
    routes = [
        *data_api(log, [spec], clock, tokens),
        *api(records, log, [spec], clock, tokens),
    ]
    with Caller(Starlette(routes=routes)) as client:
        yield World(log, client)
    log.close()
    records.close()


def table(answer: Any) -> pa.Table:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()
