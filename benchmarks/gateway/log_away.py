"""What the log's absence costs the callers of a gateway: latency and memory, phase by phase.

    PYTHONPATH=src nice python benchmarks/gateway/log_away.py [--rate 1000] [--seconds 20]

One gateway in this process, a linear model, requests of one row at a fixed rate (an open model).
The log is there, then fails each append, then lets appends hang, then is back. It prints a line a
phase and exits 1 if an answer was dropped or is not in the log in the end.
"""

# ruff: noqa: TID251 - real threads take real time
from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.spill import Spill
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.errors import StorageError
from homeostat.domain.model import (
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.route import Route
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.entrypoints.gateway.process import PAGE

COLUMNS = tuple(Column(f"x{place}", ColumnKind.NUMERIC) for place in range(30))
SPEC = ModelSpec("fraud", Task.BINARY, Schema(COLUMNS), LabelSpec(timedelta(days=1)))
PHASES = ("there", "failing", "hanging", "back")
HANG = 5.0


@dataclass
class Moody:
    """A log in one of the phases."""

    log: FilePredictionLog
    phase: str = "there"

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        if self.phase == "failing":
            raise StorageError("the database is locked")
        if self.phase == "hanging":
            time.sleep(HANG)
            raise StorageError("no answer in five seconds")
        return self.log.append(spec, rows)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE >> 20


async def drive(gateway: Gateway, rate: int, seconds: float) -> list[float]:
    """Ask at a fixed rate; a request that is late counts from when it was due."""
    loop, times = asyncio.get_running_loop(), []
    row = {f"x{place}": place / 30 for place in range(30)}
    start = loop.time()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        await gateway.answer("fraud", [row])
        times.append(loop.time() - due)
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), SystemClock()
        records = DatabaseRecords(f"sqlite:///{folder / 'records.db'}", clock)
        log = Moody(FilePredictionLog(folder / "log", records))
        registry = LocalRegistry(folder / "models", clock)
        save_linear(folder / "made", 0.0, [Term("x1", 1.0)])
        card = ModelVersion("fraud", "v1", "linear", "", datetime(2024, 1, 1, tzinfo=UTC))
        registry.register(card, folder / "made")
        table = RouteTable(registry, [ServedModel(SPEC)], clock)
        table.publish(Route("fraud", "v1"))
        writer = LogWriter(log, spill=Spill(folder / "spill"), specs=[SPEC])
        gateway = Gateway(table, writer, clock)
        total = 0
        for log.phase in PHASES:
            times = asyncio.run(drive(gateway, asked.rate, asked.seconds)) or [0.0]
            total += len(times)
            low, high = np.percentile(times, [50, 99]) * 1000
            print(
                f"{log.phase:8} p50 {low:6.2f} ms  p99 {high:6.2f} ms  memory {resident()} MB  "
                f"in line {writer.waiting}  on disk {writer.spilled}  dropped "
                f"{writer.counts.dropped}",
                flush=True,
            )
        began = time.monotonic()
        done = gateway.flush(120)
        print(f"all in the log {time.monotonic() - began:.1f} s later: {done}")
        good = done and writer.counts.accepted == total and not writer.counts.dropped
        gateway.close()
        log.log.close()
        records.close()
    print(f"{total} answers, {writer.counts}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
