"""What logging costs the process that serves: the client beside a Prometheus counter + histogram.

    pip install prometheus-client
    PYTHONPATH=client/src python benchmarks/client_overhead.py [--seconds 20] [--modes up,away,...]

A loop plays a server process: now and then a request comes, a "model" works on it (40 features,
some tenths of a millisecond of Python), and the answer is logged. In turn a request is logged with
the client, with a Prometheus pair, and with nothing; all three share the minutes, the threads and
the neighbours on the machine, so compare within a run. For each way the server can be, it prints
the time of the call itself and of the caller's own work around it, in microseconds: median, p99,
p99.9. ``away 0`` is the caller's work before there is a client at all.

The server is a process of its own: it takes everything (up), waits two seconds (slow), answers 503
(refusing), never answers (hung), is killed halfway (killed), or is not there (away).
"""

# ruff: noqa: TID251 - real processes take real time
from __future__ import annotations

import argparse
import gc
import json
import logging
import multiprocessing
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from homeostat_client import Client

MODES = ("up", "away", "slow", "refusing", "hung", "killed")
FEATURES: dict[str, object] = {f"number_{n}": n * 1.1 for n in range(30)}
FEATURES |= {f"category_{n}": f"value {n}" for n in range(5)} | {f"count_{n}": n for n in range(5)}


def serve(mode: str, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if mode == "hung":
                time.sleep(3600)
            if mode == "slow":
                time.sleep(2)
            (rows,) = json.loads(body).values()
            content = json.dumps({"accepted": len(rows), "duplicates": 0, "rejected": []}).encode()
            self.send_response(503 if mode == "refusing" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def prometheus() -> Callable[[], None]:
    from prometheus_client import (  # noqa: PLC0415 - not for the server's process
        CollectorRegistry,
        Counter,
        Histogram,
    )

    registry = CollectorRegistry()
    counter = Counter("predictions", "", ["model"], registry=registry).labels("fraud")
    histogram = Histogram("score", "", ["model"], registry=registry).labels("fraud")

    def log() -> None:
        counter.inc()
        histogram.observe(0.5)

    return log


def nothing() -> None:
    pass


def work(rng: random.Random) -> dict[str, object]:
    """Read, score and answer a row, as a small model in Python does."""
    row = json.loads(json.dumps(FEATURES))
    row["number_0"] = rng.random()
    sum(value * 0.1 for value in row.values() if isinstance(value, float))
    return row


def quantiles(nanoseconds: list[int]) -> str:
    ordered = sorted(nanoseconds)
    found = [ordered[int(len(ordered) * q)] / 1000 for q in (0.5, 0.99, 0.999)]
    return "".join(f"{value:10.1f}" for value in found)


def drive(client: Client | None, seconds: float, rate: float, halfway: Callable[[], None]) -> None:
    """Log for so many seconds, requests at random moments, and print what it cost."""
    rng, clock = random.Random(7), time.perf_counter_ns
    ways: dict[str, Callable[[dict[str, object]], object]] = {"nothing": lambda _: nothing()}
    pair = prometheus()
    ways["prometheus"] = lambda _: pair()
    if client is not None:
        ways["client"] = lambda row: client.log_prediction(row, 0.5, version="3", entity="c1")
    calls: dict[str, list[int]] = {name: [] for name in ways}
    around: dict[str, list[int]] = {name: [] for name in ways}
    names, end, told = list(ways), time.monotonic() + seconds, False
    for number in range(1 << 60):
        if number % 100 == 0:
            now = time.monotonic()
            if not told and now > end - seconds / 2:
                told = True
                halfway()
            if now > end:
                break
        name = names[number % len(names)]
        started = clock()
        row = work(rng)
        before = clock()
        ways[name](row)
        after = clock()
        calls[name].append(after - before)
        around[name].append(after - started)
        time.sleep(rng.expovariate(rate))
    for name in names:
        print(f"  {name:12}{quantiles(calls[name])}   {quantiles(around[name])}")


def kept(client: Client) -> int:
    """Return the objects that 10,000 records leave behind once they are delivered."""
    client.flush(60)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(10):
        for _ in range(1000):
            client.log_prediction(FEATURES, 0.5)
        client.flush(60)
    gc.collect()
    return sys.getallocatedblocks() - before


def tight(client: Client) -> None:
    """Print the median of the bare call, without anything in between to cool the caches."""
    pair = prometheus()
    found = {}
    for name, call in (
        ("nothing", nothing),
        ("prometheus", pair),
        ("client", lambda: client.log_prediction(FEATURES, 0.5, version="3")),
    ):
        times = []
        for _ in range(20_000):
            before = time.perf_counter_ns()
            call()
            times.append(time.perf_counter_ns() - before)
            if not len(times) % 1000:
                time.sleep(0.05)
        found[name] = statistics.median(times) / 1000
    print("back to back, median us: " + ", ".join(f"{n} {v:.2f}" for n, v in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second, at most")
    parser.add_argument("--modes", default=",".join(MODES))
    given = parser.parse_args()
    logging.disable()
    header = "".join(f"{name:>10}" for name in ("median", "p99", "p99.9"))
    print(f"  {'us':12}{header}   {header}\n  {'':12}{'the call':>30}   {'caller with it':>30}")
    print("away 0: no client yet")
    drive(None, min(given.seconds, 60.0), given.rate, nothing)
    context = multiprocessing.get_context("spawn")
    for mode in given.modes.split(","):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        server = None
        if mode != "away":
            server = context.Process(target=serve, args=(mode, port), daemon=True)
            server.start()
            time.sleep(1)
        with tempfile.TemporaryDirectory() as folder:
            client = Client(f"http://127.0.0.1:{port}", model="fraud", spill=folder)
            halfway = server.kill if mode == "killed" and server is not None else nothing
            print(mode)
            drive(client, given.seconds, given.rate, halfway)
            if mode == "up":
                tight(client)
                print(f"objects kept after 10,000 records: {kept(client)}")
            print(f"  {client.counters}", flush=True)
            client.close(0.5)
        if server is not None:
            server.kill()


if __name__ == "__main__":
    main()
