"""Rows into ``homeostat serve`` over HTTP, by clients in a process of their own.

    PYTHONPATH=src python benchmarks/log_serve.py [--folder F] [--seconds S] [--kind K] [--pace R]
    PYTHONPATH=src python benchmarks/log_serve.py --memory 50000000 [--before N] [--folder F]

The server is the real one, with engine, rolls and tidying, in a process of its own; bodies are
Arrow IPC streams, or with ``--kind`` JSON or JSON lines. Without ``--memory``: 32 clients of 100
rows, then 8 of 1,000, beside a loop that writes and syncs the same bodies, with the waits for an
acknowledgement in fsyncs and the rows a CPU second of the server. As fast as they can, 32 clients
that have to wait for each other's 3,200 rows see the rate, not the disk; with ``--pace`` they send
so many rows a second in all, and see what a client sees. With ``--memory``: so many rows from 8
clients, and how the server's memory went (goal 400 MB); some twenty minutes on a quiet machine, 5
GB of disk. With ``--before``: after about so many earlier rows of the day, written at once into
merged files, which is ten times as fast.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from log_world import SPEC, Server, hexes, machine, midnight, predictions, raw_loop

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.catalogue import Change
from homeostat.adapters.predlog.compact import LARGEST
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import ROW_GROUP
from homeostat.adapters.predlog.roll import described_schema
from homeostat.adapters.records import DatabaseRecords

PATH = f"/api/v1/models/{SPEC.name}/predictions"
TYPES = {
    "arrow": "application/vnd.apache.arrow.stream",
    "json": "application/json",
    "lines": "application/x-ndjson",
}
VARIANTS = 8


class Client:
    """Sends batches whose ids and times are new each time, and notes how long each took.

    Rows are made once, but for their ids and times.
    """

    def __init__(self, host: str, port: int, rows: int, seed: int, kind: str) -> None:
        self.connection = http.client.HTTPConnection(host, port, timeout=120)
        self.rng = np.random.default_rng([os.getpid(), seed])  # ids must be new
        self.kind, self.headers = kind, {"Content-Type": TYPES[kind]}
        self.rows, self.waits, self.sent, self.refused = rows, list[float](), 0, 0
        now = SystemClock().now()
        self.tables = [
            predictions(self.rng, rows, now, timedelta(seconds=1), noise=False)
            for _ in range(VARIANTS)
        ]
        self.plain = [] if kind == "arrow" else [table.to_pylist() for table in self.tables]

    def body(self, at: datetime) -> bytes:
        """Return the next body."""
        if self.plain:
            return self.text(at)
        table = self.tables[self.sent // self.rows % VARIANTS]
        times = int(at.timestamp() * 1e6) + np.arange(self.rows)
        moments = pa.array(times, pa.timestamp("us", "UTC"))
        table = table.set_column(0, "prediction_id", hexes(self.rng, self.rows))
        table = table.set_column(1, "timestamp", moments)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        return sink.getvalue().to_pybytes()

    def text(self, at: datetime) -> bytes:
        """Return the next body as JSON."""
        items = self.plain[self.sent // self.rows % VARIANTS]
        for item, key in zip(items, hexes(self.rng, self.rows).to_pylist(), strict=True):
            item["prediction_id"], item["timestamp"] = key, at
        if self.kind == "json":
            return orjson.dumps({"predictions": items})
        return b"\n".join(map(orjson.dumps, items))

    def send(self) -> None:
        """Send one batch until it is taken."""
        body = self.body(SystemClock().now())
        while True:
            before = time.perf_counter()
            self.connection.request("POST", PATH, body, self.headers)
            answer = self.connection.getresponse()
            said = answer.read()
            if answer.status == 429:
                self.refused += 1
                threading.Event().wait(float(answer.headers["Retry-After"]))
                continue
            if answer.status >= 300:
                raise RuntimeError(said.decode()[:500])
            self.waits.append(time.perf_counter() - before)
            self.sent += self.rows
            return


def drive(
    host: str,
    port: int,
    clients: int,
    rows: int,
    seconds: float,
    total: int,
    kind: str,
    pace: float,
) -> str:
    """Send for so long or so many rows; return rows, seconds, refusals and quantiles of waits."""
    all_ = [Client(host, port, rows, number, kind) for number in range(clients)]
    start = time.perf_counter()
    ends = start + seconds
    every = clients * rows / pace if pace else 0.0

    def work(client: Client) -> None:
        due = start + every * client.rng.random()
        while client.sent * clients < total and time.perf_counter() < ends:
            client.send()
            due = max(due + every, time.perf_counter() if not every else 0.0)
            threading.Event().wait(max(due - time.perf_counter(), 0.0))

    threads = [threading.Thread(target=work, args=(client,)) for client in all_]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    waits = np.concatenate([client.waits for client in all_])
    p50, p99 = np.quantile(waits, [0.5, 0.99])
    sent, refused = sum(c.sent for c in all_), sum(c.refused for c in all_)
    return f"{sent} {took:.3f} {refused} {p50:.5f} {p99:.5f}"


def driven(server: Server, *arguments: float | str) -> list[float]:
    """Run `drive` in another process; return its figures."""
    command = [sys.executable, __file__, "--drive", server.host, server.port, *arguments]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)
    return [float(word) for word in done.stdout.split()]


def ingest(folder: Path, clients: int, rows: int, seconds: float, kind: str, pace: float) -> None:
    """Print the rate of a server beside a raw loop of the same bodies."""
    folder.mkdir()
    client = Client("", 0, rows, 0, kind)
    bodies = [client.body(SystemClock().now()) for _ in range(max(20_000 // rows, 50))]
    raw = [raw_loop(folder, bodies)]
    server = Server(folder)
    try:
        driven(server, clients, rows, 1.0, 10**12, kind, 0.0)
        cpu = server.cpu()
        sent, took, refused, p50, p99 = driven(server, clients, rows, seconds, 10**12, kind, pace)
        cpu = server.cpu() - cpu
        raw.append(raw_loop(folder, bodies))
    finally:
        server.stop()
    loop = len(bodies) * rows / float(np.mean([one[0] for one in raw]))
    sync = float(np.mean([one[1] for one in raw]))
    print(
        f"{clients} clients x {rows} rows, {kind}: {sent / took:,.0f} rows/s, "
        f"{sent / cpu:,.0f} a CPU second of the server; raw loop {loop:,.0f}, "
        f"ratio {sent / took / loop:.2f}; fsync "
        f"{sync * 1e3:.2f} ms, acknowledged in {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms = "
        f"{p99 / sync:.1f} fsyncs; {refused:.0f} refused"
    )


def prefill(folder: Path, rows: int) -> int:
    """Put about so many earlier rows of today into merged files; return how many."""
    Server(folder).stop()
    data = folder / "homeostat-data"
    records = DatabaseRecords(f"sqlite:///{data}/records.db", SystemClock())
    log = FilePredictionLog(data / "log", records)
    rng, today = np.random.default_rng(5), midnight()
    metadata = described_schema(SPEC).metadata
    base = predictions(rng, ROW_GROUP, today, timedelta(seconds=1), noise=False)
    base = base.replace_schema_metadata(metadata)
    files = rows // LARGEST
    span = int((SystemClock().now() - today).total_seconds() * 1e6 / (files + 1))
    groups = LARGEST // ROW_GROUP + 1

    def pieces(start: int) -> Iterator[pa.Table]:
        for number in range(groups):
            within = np.sort(rng.integers(0, span // groups, ROW_GROUP))
            times = pa.array(start + number * (span // groups) + within, pa.timestamp("us", "UTC"))
            table = base.set_column(0, base.schema.field(0), hexes(rng, ROW_GROUP))
            yield table.set_column(1, base.schema.field(1), times)

    for number in range(files):
        made = pieces(int(today.timestamp() * 1e6) + number * span)
        file = log.upkeep.store.write(
            Kind.PREDICTIONS, SPEC.name, f"{today:%Y-%m-%d}", f"{number}", made
        )
        log.upkeep.catalogue.register(Change([file]), SystemClock().now())
    log.close()
    records.close()
    return files * groups * ROW_GROUP


def memory(folder: Path, total: int, before: int) -> None:
    """Print how a server's memory goes while rows come in."""
    if before:
        print(f"{prefill(folder, before):,} rows are there already", flush=True)
    server = Server(folder)
    done = most = 0
    try:
        while done < total:
            piece = min(1_000_000, total - done)
            server.forget_most()
            cpu = server.cpu()
            sent, took, refused, _, p99 = driven(server, 8, 1_000, 1e9, piece, "arrow", 0.0)
            done += int(sent)
            cpu = server.cpu() - cpu
            files = server.status("RssFile") + server.status("RssShmem")
            now = server.status("VmHWM")
            most = max(most, now)
            print(
                f"{done:,} rows: resident {server.status('VmRSS') / 2**20:.0f} MB (anonymous "
                f"{server.status('RssAnon') / 2**20:.0f}, files {files / 2**20:.0f}; PSS "
                f"{server.share() / 2**20:.0f}), most of this million {now / 2**20:.0f}, so far "
                f"{most / 2**20:.0f} MB; {sent / took:,.0f} rows/s, {sent / cpu:,.0f} a CPU "
                f"second, p99 {p99 * 1e3:.0f} ms, {refused:.0f} refused",
                flush=True,
            )
    finally:
        server.stop()


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--before", type=int, default=0)
    parser.add_argument("--kind", default="arrow", choices=TYPES)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--drive", nargs=8)
    asked = parser.parse_args()
    if asked.drive:
        host, port, clients, rows, seconds, total, kind, pace = asked.drive
        numbers = int(port), int(clients), int(rows), float(seconds), int(total)
        print(drive(host, *numbers, kind, float(pace)))
        return
    print(machine())
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        if asked.memory:
            memory(Path(place), asked.memory, asked.before)
        else:
            for clients, rows in ((32, 100), (8, 1_000)):
                here = Path(place) / f"{clients}-{rows}"
                ingest(here, clients, rows, asked.seconds, asked.kind, asked.pace)


if __name__ == "__main__":
    main()
