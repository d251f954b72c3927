"""A log in an object store that fails now and then, whose writer is killed at random moments.

    PYTHONPATH=src:tests python benchmarks/log_objects_kill.py [--kills N] [--seed S]

A process appends, labels, rolls, merges and sweeps, behind a relay that refuses, breaks, cuts short
or leaves unanswered one request in twenty. It is killed with SIGKILL within two seconds, N times.
After each kill the log is opened without the relay: every acknowledged row is there once, none is
there twice, and `verify` finds nothing wrong but rolled segments that the catalogue still names.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import numpy as np
from log_world import machine

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.objects import ObjectStore
from homeostat.adapters.predlog.stores import Storage, object_store
from homeostat.adapters.predlog.verify import Trouble, verify
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, labels, predictions
from objects import ENVIRONMENT, Fault, Relay, Server

FAULTS = [Fault.SLOW_DOWN, Fault.RESET, Fault.TRUNCATED, Fault.UNANSWERED]


def _open(folder: Path, bucket: str, port: int) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    storage = Storage(f"s3://{bucket}/logs", f"http://127.0.0.1:{port}", "us-east-1", 2.0, 2)
    make, moments = object_store(storage, os.environ), count(step=1000)

    def place(root: Path, salt: int) -> ObjectStore:
        # No pause is waited for: the more is asked the more fails.
        return replace(make(root, salt), clock=lambda: float(next(moments)))

    return FilePredictionLog(folder / "log", records, settle_rows=30, place=place)


def write(folder: Path, bucket: str, port: int, life: str) -> None:
    """Append and roll until killed; what is acknowledged is written to FOLDER/acks."""
    log = _open(folder, bucket, port)
    acks = os.open(folder / "acks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def keep() -> None:
        turn = 0
        while True:
            turn += 1
            try:
                log.roll(NOW)
                log.tidy(NOW + timedelta(hours=turn), eager=turn % 3 == 0)
            except StorageError:
                os.write(acks, b"failed\n")

    threading.Thread(target=keep, daemon=True).start()
    number = 0
    while True:
        number += 1
        ids = [f"{life}-{number}-{row}" for row in range(3)]
        rows = predictions(ids, T0 + timedelta(hours=7 * (number % 20)))
        try:
            log.append(SPEC, rows)
            log.append(SPEC, rows)
            log.append_labels(SPEC, labels(ids, 1.0, NOW))
        except StorageError:
            continue
        os.write(acks, f"{' '.join(ids)}\n".encode())


def _check(folder: Path, bucket: str, port: int) -> tuple[int, int, int]:
    """Return acknowledged rows, files, and rolls that failed; raise if anything is wrong."""
    log = _open(folder, bucket, port)
    text = (folder / "acks").read_text()
    acked = {name for line in text.splitlines() if line != "failed" for name in line.split()}
    found = log.labelled(SPEC, ALL, NOW)
    ids = texts(found, "prediction_id")
    lost, twice = acked - set(ids), len(ids) - len(set(ids))
    named = dict(zip(ids, found.column("label").to_pylist(), strict=True))
    unlabelled = [name for name in acked - lost if named[name] != 1.0]
    found_wrong = verify(log.upkeep).problems
    # A kill between the deletion of rolled segments and their leaving the catalogue loses no row.
    problems = [one for one in found_wrong if one.trouble is not Trouble.SEGMENT_GONE]
    wrong = (lost, twice, unlabelled, problems)
    if any(wrong):
        raise AssertionError(wrong)
    files = log.status().files
    log.close()
    log.upkeep.catalogue.database.close()
    return len(acked), files, text.count("failed\n")


def main() -> None:
    """Run it."""
    if len(sys.argv) == 6 and sys.argv[1] == "write":
        write(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5])
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(machine())
    moments, luck = np.random.default_rng(asked.seed).spawn(2)
    faults, turn = 0, threading.Lock()
    os.environ.update(ENVIRONMENT)
    server = Server.begin()
    bucket = server.bucket()

    def weather(_method: str, _path: str) -> Fault | None:
        nonlocal faults
        with turn:
            if luck.random() >= 0.05:
                return None
            faults += 1
            return FAULTS[luck.integers(len(FAULTS))]

    relay = Relay(server.port, weather)
    told = (0, 0, 0)
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "acks").write_text("\n")
            for life in range(asked.kills):
                command = [sys.executable, __file__, "write", place, bucket, str(relay.port)]
                child = subprocess.Popen([*command, str(life)])
                while f"\n{life}-" not in (folder / "acks").read_text():
                    threading.Event().wait(0.05)
                threading.Event().wait(moments.random() * 2.0)
                child.send_signal(signal.SIGKILL)
                child.wait()
                told = _check(folder, bucket, server.port)
    finally:
        relay.end()
        server.end()
    print(
        f"{asked.kills} kills, {len(relay.seen):,} requests of which {faults:,} failed, {told[2]} "
        f"rolls failed: {told[0]:,} acknowledged rows in {told[1]} files, none lost, none twice"
    )


if __name__ == "__main__":
    main()
