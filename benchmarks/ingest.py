"""Durable ingest beside a raw write + fsync loop of the same bytes, in one run.

    PYTHONPATH=src python benchmarks/ingest.py [FOLDER]

Appends from 32 threads, 100 rows of 40 columns a call, then from one, 1,000 rows a call. The limit
is a loop that writes and syncs the same frames. `log_serve.py` does the same over HTTP.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.frames import Kind, pack
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import prediction_schema

NUMERIC, TEXT = 26, 4
COLUMNS = [Column(f"n{i}", ColumnKind.NUMERIC) for i in range(NUMERIC)]
COLUMNS += [Column(f"c{i}", ColumnKind.CATEGORICAL) for i in range(TEXT)]
SPEC = ModelSpec("fraud", Task.BINARY, Schema(tuple(COLUMNS)), LabelSpec(timedelta(days=30)))


def batch(rng: np.random.Generator, rows: int, at: datetime) -> pa.Table:
    """Return rows of a fraud-like model, ten fields of the log and thirty features."""
    ids = [f"{x:016x}-{y:016x}" for x, y in rng.integers(0, 2**63, (rows, 2)).tolist()]
    times = [at + timedelta(microseconds=int(x)) for x in np.sort(rng.integers(0, 10**6, rows))]
    columns: dict[str, object] = {
        "prediction_id": ids,
        "timestamp": times,
        "version": ["7"] * rows,
        "role": ["champion"] * rows,
        "tier": ["model"] * rows,
        "reason": [""] * rows,
        "entity": ids,
        "score": rng.random(rows),
        "prediction": rng.integers(0, 2, rows).astype(float),
        "latency_ms": rng.gamma(2, 4, rows),
    }
    columns |= {f"n{i}": rng.normal(size=rows) for i in range(NUMERIC)}
    columns |= {f"c{i}": rng.choice(["red", "green", "blue"], rows) for i in range(TEXT)}
    return pa.table(columns, schema=prediction_schema(SPEC))


def raw(folder: Path, frames: list[bytearray]) -> tuple[float, float]:
    """Return the seconds of writing and syncing each frame, and the median of a sync."""
    syncs = []
    began = time.perf_counter()
    with (folder / "raw").open("wb", buffering=0) as file:
        for frame in frames:
            file.write(frame)
            before = time.perf_counter()
            os.fsync(file.fileno())
            syncs.append(time.perf_counter() - before)
    return time.perf_counter() - began, float(np.median(syncs))


def measure(folder: Path, threads: int, rows: int, calls: int) -> None:
    """Print the rate of appends beside the raw loop."""
    rng = np.random.default_rng(1)
    now = SystemClock().now() - timedelta(hours=1)
    tables = [[batch(rng, rows, now) for _ in range(calls)] for _ in range(threads)]
    frames = [pack(Kind.PREDICTIONS, SPEC.name, table) for own in tables for table in own]
    raw_seconds, sync = raw(folder, frames)
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SystemClock())
    log = FilePredictionLog(folder / "log", records)
    waits: list[float] = []

    def send(own: list[pa.Table]) -> None:
        for table in own:
            before = time.perf_counter()
            log.append(SPEC, table)
            waits.append(time.perf_counter() - before)

    workers = [threading.Thread(target=send, args=(own,)) for own in tables]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    total = threads * calls * rows
    p99 = float(np.quantile(waits, 0.99))
    print(
        f"{threads} x {rows} rows: {total / seconds:,.0f} rows/s, {total / cpu:,.0f} a CPU second, "
        f"raw loop {total / raw_seconds:,.0f}, ratio {raw_seconds / seconds:.2f}; "
        f"fsync {sync * 1e3:.2f} ms, p99 {p99 * 1e3:.1f} ms = {p99 / sync:.1f} fsyncs"
    )
    log.close()
    records.close()


if __name__ == "__main__":
    for threads, rows, calls in ((32, 100, 40), (1, 1000, 100)):
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as place:
            measure(Path(place), threads, rows, calls)
