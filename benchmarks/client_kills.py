"""Kills a logging process again and again, and counts what is lost.

    export PYTHONPATH=src:client/src:client/tests
    python benchmarks/client_kills.py [--kills 100] [--servers]

A process logs as fast as it may to a server that is now up, now away, and says after which record
nothing was in memory any more: all of them were acknowledged, or on disk. It is killed (SIGKILL)
at a random moment, and the next one begins with what is on disk. In the end the server must have
each record that was ever safe. What it got twice has one id, and is counted once by the control
plane. With ``--servers`` it is the control plane that is killed while one process logs.
"""

# ruff: noqa: TID251 - real processes take real time
from __future__ import annotations

import argparse
import collections
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from odd_peers import Peer, answer, receipt
from real_server import Reader, Server

from homeostat_client import Client

PROGRAM = """
import sys
from homeostat_client import Client
url, spill, life = sys.argv[1:]
client = Client(url, model="fraud", spill=spill, flush_interval=0.02, retry_first=0.01,
                retry_most=0.1, batch_rows=20)
number = 0
while True:
    for _ in range(30):
        client.log_prediction({"amount": 1.0}, 0.5, f"{life}-{number}")
        number += 1
    for _ in range(1000):
        found = client.counters
        if not found.pending and found.queued == number:
            print(number, flush=True)
            break
"""


def live(url: str, spill: str, number: int, seconds: float) -> int:
    """Run one process, kill it, and return how many of its records were safe."""
    command = [sys.executable, "-c", PROGRAM, url, spill, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said = [first, *process.stdout.read().splitlines(keepends=True)]
    # The last line may be torn.
    return max((int(line) for line in said if line.endswith("\n")), default=0)


def kill_servers(kills: int, rng: random.Random) -> int:
    """Kill the control plane instead; return the rows lost or counted twice."""
    reader = Reader()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), reader).start()
        client = Client(server.url, model="fraud", spill=f"{folder}/spill", flush_interval=0.05)
        ids: list[str] = []
        for _ in range(kills):
            end = time.monotonic() + rng.expovariate(2.0)
            while time.monotonic() < end:
                ids += [client.log_prediction({"amount": 1.0}, 0.5) for _ in range(20)]
                time.sleep(0.01)
            server.kill()
            ids += [client.log_prediction({"amount": 1.0}, 0.5) for _ in range(100)]
            server.start()
        delivered = client.flush(120)
        stored = collections.Counter(str(row["prediction_id"]) for row in server.rows())
        client.close()
        server.kill()
    reader.close()
    lost, twice = len(set(ids) - set(stored)), sum(count > 1 for count in stored.values())
    print(f"{kills} kills of the server, {len(ids)} records, {lost} lost, {twice} stored twice")
    print(f"delivered: {delivered}, {client.counters}")
    return lost + twice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--servers", action="store_true", help="kill the control plane instead")
    given = parser.parse_args()
    if given.servers:
        sys.exit(kill_servers(given.kills, random.Random(7)) > 0)
    kill_clients(given.kills)


def kill_clients(kills: int) -> None:
    rng = random.Random(7)
    up, chance = [True], [0.05]
    answered: collections.Counter[str] = collections.Counter()

    def reply(_: dict[str, str], body: bytes) -> bytes:
        up[0] ^= rng.random() < chance[0]
        if not up[0]:
            return answer(503)
        answered.update(row["prediction_id"] for row in json.loads(body)["predictions"])
        return receipt(body)

    safe: set[str] = set()
    with Peer(reply) as peer, tempfile.TemporaryDirectory() as spill:
        for number in range(kills):
            count = live(peer.url, spill, number, rng.expovariate(2.0))
            safe.update(f"{number}-{place}" for place in range(count))
        chance[0], up[0] = 0.0, True
        client = Client(peer.url, model="fraud", spill=spill)
        client.log_prediction({"amount": 1.0}, 0.5, "last")
        while client._shipper.outbox._spill.names():
            time.sleep(0.05)
        client.close()
        dropped = client.counters.dropped
    lost = safe - set(answered)
    print(
        f"{kills} kills, {len(safe)} records safe before them, {len(lost)} of these lost, "
        f"damaged: {dict(dropped)}; {sum(n > 1 for n in answered.values())} ids came more than once"
    )
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
