"""A log behind its HTTP interface, and bodies for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from starlette.applications import Starlette

from asgi import Caller
from databases import open_records
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.window import Window
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.formats import ARROW
from homeostat.entrypoints.http.intake import Intake
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
SPEC = ModelSpec("fraud", Task.BINARY, COLUMNS, LABELS, classes=("no", "yes"), outcomes=("money",))
TONE = ModelSpec("tone", Task.MULTICLASS, COLUMNS, LABELS, classes=("bad", "so", "good"))
ALL = Window(NOW - timedelta(days=1), NOW + timedelta(days=1))
JSON, LINES = "application/json", "application/x-ndjson"
LIMIT = 2**21
TIME = pa.timestamp("us", "UTC")


@dataclass
class World:
    records: DatabaseRecords
    log: FilePredictionLog
    client: Caller
    app: Starlette
    intake: Intake

    def send(self, content: bytes, kind: str = ARROW, path: str = "fraud/predictions") -> Any:
        headers = {"Content-Type": kind}
        return self.client.post(f"/api/v1/models/{path}", content=content, headers=headers)


@contextmanager
def opened(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = open_records(tmp_path, clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    intake = Intake(clock, 2 * LIMIT, patience=0.2)
    routes = api(records, log, [SPEC, TONE], clock, Tokens(records), LIMIT, intake)
    app = Starlette(routes=routes)
    yield World(records, log, Caller(app, "http://127.0.0.1:8420"), app, intake)
    log.close()
    records.close()


def record(key: str, **more: Any) -> dict[str, Any]:
    made = {"prediction_id": key, "timestamp": NOW.isoformat(), "version": "1"}
    return made | {"score": 0.7, "amount": 3} | more


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    written = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, table.schema, options=written) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def columns(count: int = 2, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "prediction_id": [f"p{row}" for row in range(count)],
        "timestamp": pa.array([NOW] * count, TIME),
        "version": ["1"] * count,
        "score": [0.7] * count,
    }
    return made | more


def arrow(count: int = 2, **more: Any) -> bytes:
    return stream(pa.table(columns(count, **more)))
