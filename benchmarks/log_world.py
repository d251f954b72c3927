"""Rows, deployments and small tools that the benchmarks of the prediction log share."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema

NUMERIC, TEXT = 26, 4
COLUMNS = [Column(f"n{i}", ColumnKind.NUMERIC) for i in range(NUMERIC)]
COLUMNS += [Column(f"c{i}", ColumnKind.CATEGORICAL) for i in range(TEXT)]
SPEC = ModelSpec(
    "fraud", Task.BINARY, Schema(tuple(COLUMNS)), LabelSpec(timedelta(days=30)), classes=("n", "y")
)
FEATURES = "".join(f"      {column.name}: {column.kind.value}\n" for column in COLUMNS)
CONFIG = f"""\
server: {{port: 0, tick: 60s, max_request_mb: 64}}
models:
  - name: fraud
    task: binary
    classes: [n, y]
    labels: {{maturity: 30d}}
    features:
{FEATURES}"""
DAY = timedelta(days=1)
MAIN = "import sys; from homeostat.entrypoints.cli import main; main(sys.argv[1:])"


def midnight() -> datetime:
    """Return the beginning of today."""
    return SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)


def hexes(rng: np.random.Generator, rows: int, size: int = 16) -> pa.Array[Any]:
    """Return random ids of so many bytes, as text."""
    text = rng.bytes(rows * size).hex().encode()
    offsets = np.arange(rows + 1, dtype=np.int32) * (2 * size)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets.tobytes()), pa.py_buffer(text))


def _pick(rng: np.random.Generator, values: list[str], rows: int) -> pa.Array[Any]:
    weights = 1 / np.arange(1, len(values) + 1)
    drawn = rng.choice(len(values), rows, p=weights / weights.sum())
    return pa.array(values, pa.string()).take(pa.array(drawn))


def _real(rng: np.random.Generator, number: int, rows: int) -> np.ndarray[Any, Any]:
    """Return a column as they come: amounts with cents, counts, seconds, rates, flags, scores."""
    match number % 6:
        case 0:
            return np.round(rng.lognormal(3.5, 1.2, rows), 2)
        case 1:
            return rng.poisson(2.0, rows).astype(float)
        case 2:
            return np.round(rng.gamma(2.0, 300.0, rows), 1)
        case 3:
            return np.round(rng.beta(2.0, 5.0, rows), 4)
        case 4:
            return (rng.random(rows) < 0.1).astype(float)
        case _:
            return rng.normal(size=rows) if number == 5 else rng.normal(0, 9, rows).round(3)


def predictions(
    rng: np.random.Generator, rows: int, start: datetime, span: timedelta, *, noise: bool = True
) -> pa.Table:
    """Return rows of 40 columns: ten fields of the log and thirty features.

    With `noise` numbers have all 52 bits of their mantissas at random: nothing can compress them.
    Else they look as features of payments do, and their model's score is of single precision.
    """
    width = span // timedelta(microseconds=1)
    at = np.sort(rng.integers(0, width, rows)) + int(start.timestamp() * 1e6)
    score = rng.random(rows) if noise else rng.beta(0.5, 5.0, rows).astype(np.float32).astype(float)
    latency = rng.gamma(2, 4, rows)
    cards = [f"card-{number:06d}" for number in range(50_000)]
    columns: dict[str, object] = {
        "prediction_id": hexes(rng, rows),
        "timestamp": pa.array(at, pa.timestamp("us", "UTC")),
        "version": pa.repeat("7", rows),
        "role": pa.repeat("champion", rows),
        "tier": pa.repeat("model", rows),
        "reason": pa.repeat("", rows),
        "entity": pa.array(cards).take(pa.array(rng.integers(0, len(cards), rows))),
        "score": score,
        "prediction": (score > 0.5).astype(float),
        "latency_ms": latency if noise else np.round(latency, 3),
    }
    for number in range(NUMERIC):
        values = rng.normal(size=rows) if noise else _real(rng, number, rows)
        columns[f"n{number}"] = values
    for number in range(TEXT):
        columns[f"c{number}"] = _pick(rng, [f"value {i}" for i in range(4 * 3**number)], rows)
    return pa.table(columns, schema=prediction_schema(SPEC))


def labels(rng: np.random.Generator, ids: pa.Array[Any], arrival: datetime) -> pa.Table:
    """Return a label for each id."""
    truth = (rng.random(len(ids)) < 0.02).astype(float)
    columns = {"prediction_id": ids, "label": truth, "arrival": [arrival] * len(ids)}
    return pa.table(columns, schema=LABEL_SCHEMA)


@contextlib.contextmanager
def opened(
    folder: Path, *, fsync: bool = True, settle_rows: int = 500_000
) -> Iterator[FilePredictionLog]:
    """Open the log in a folder, as a server does."""
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SystemClock())
    log = FilePredictionLog(folder / "log", records, fsync=fsync, settle_rows=settle_rows)
    try:
        yield log
    finally:
        log.close()
        records.close()


def fill(log: FilePredictionLog, rows: int, days: int, *, noise: bool = True) -> None:
    """Log so many rows of so many days up to today, rolled and merged."""
    rng, piece = np.random.default_rng(1), 100_000
    each = rows // days
    first = midnight() - days * DAY
    for day in range(days):
        for begin in range(0, each, piece):
            n = min(piece, each - begin)
            log.append(SPEC, predictions(rng, n, first + day * DAY, DAY, noise=noise))
            if log.full.is_set():
                log.roll(SystemClock().now())
    log.roll(SystemClock().now())
    log.tidy(SystemClock().now(), eager=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def median(work: Callable[[], object], runs: int) -> float:
    """Return the median seconds of some runs."""
    times = []
    for _ in range(runs):
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return float(np.median(times))


def raw_loop(folder: Path, frames: list[bytes] | list[bytearray]) -> tuple[float, float]:
    """Write and sync each frame; return the seconds, and the median of a sync."""
    syncs = []
    began = time.perf_counter()
    with (folder / "raw").open("wb", buffering=0) as file:
        for frame in frames:
            file.write(frame)
            before = time.perf_counter()
            os.fsync(file.fileno())
            syncs.append(time.perf_counter() - before)
    seconds = time.perf_counter() - began
    (folder / "raw").unlink()
    return seconds, float(np.median(syncs))


class Server:
    """``homeostat serve`` as a process of its own, for the model of this module."""

    def __init__(self, folder: Path) -> None:
        (folder / "homeostat.yaml").write_text(CONFIG)
        self._err = folder / "serve.err"
        with self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "serve"], cwd=folder, stderr=err, stdout=err
            )
        while "startup complete" not in self._err.read_text():
            if self.process.poll() is not None:
                raise RuntimeError(self._err.read_text())
            Event().wait(0.05)
        found = re.search(r"on http://([\w.]+):(\d+)/", self._err.read_text())
        assert found is not None
        self.host, self.port = found[1], int(found[2])

    def status(self, name: str) -> int:
        """Return a figure of /proc/PID/status in bytes, such as VmRSS or VmHWM."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    def share(self) -> int:
        """Return its proportional set size in bytes: of what it shares with others, its share."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = re.search(r"Pss:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    def forget_most(self) -> None:
        """Have VmHWM begin again at what is resident now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def cpu(self) -> float:
        """Return the seconds of CPU spent so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it, as an operator does."""
        self.process.terminate()
        self.process.wait(60)


def machine() -> str:
    """Return when and on what this runs, for the head of a result."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{SystemClock().now():%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load {load}"
