"""A process that appends, labels, rolls and tidies until it is done or killed.

    python writer.py FOLDER NAME BATCHES [careless-log] [careless-records]

What is acknowledged is appended to FOLDER/acks, a line each: ``p ID``, ``l ID`` (both labels of the
id), ``s NUMBER`` (a state in the records). "Careless" parts do not sync: a test that cannot find
their loss proves nothing.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.errors import ConflictError
from homeostat.domain.route import Route
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, T0, labels, predictions

ROWS = 4
THREADS = 3
EVERY = timedelta(minutes=97)
SEGMENT = 30_000
"""Bytes of a segment: small, so that some are finished, rolled and deleted."""


class Writer:
    def __init__(self, folder: Path, name: str, batches: int, careless: set[str]) -> None:
        self.name, self.batches = name, batches
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self.acks = os.open(folder / "acks", flags, 0o644)
        mode = "OFF" if "careless-records" in careless else "FULL"
        self.clock = SimulatedClock(NOW)
        self.records = DatabaseRecords(f"sqlite:///{folder}/records.db", self.clock, mode)
        fsync = "careless-log" not in careless
        self.log = FilePredictionLog(folder / "log", self.records, fsync=fsync, settle_rows=30)
        self.log._writer.segment_bytes = SEGMENT
        self.done = threading.Event()

    def say(self, kind: str, names: list[str]) -> None:
        os.write(self.acks, "".join(f"{kind} {name}\n" for name in names).encode())

    def send(self, thread: int) -> None:
        """Append predictions; label each batch before it is there, and correct it after."""
        for number in range(self.batches):
            names = [f"{self.name}-{thread}-{number}-{i}" for i in range(ROWS)]
            at = T0 + number * EVERY
            rows = predictions(names, at)
            if number % 3 == 0:
                self.log.append_labels(SPEC, labels(names, 0.0, at))
            self.log.append(SPEC, rows)
            self.say("p", names)
            if number % 4 == 0:  # a client that did not hear the answer sends again
                assert self.log.append(SPEC, rows).duplicates == ROWS
            if number % 3 == 1:
                self.log.append_labels(SPEC, labels(names, 0.0, at))
            self.log.append_labels(SPEC, labels(names, 1.0, at + timedelta(hours=1)))
            self.say("l", names)

    def decide(self) -> None:
        number = 0
        while not self.done.wait(0.01):
            with self.records.begin() as unit:
                key = f"probe:{self.name}"
                unit.load(key, Route)
                unit.save(key, Route(self.name, str(number)))
            self.say("s", [f"{self.name} {number}"])
            number += 1

    def keep_up(self) -> None:
        turn = 0
        while not self.done.wait(0.02):
            turn += 1
            self.clock.advance(timedelta(minutes=6))  # replaced files are deleted in time
            try:
                self.log.roll(self.clock.now())
                if turn % 3 == 0:
                    self.log.tidy(self.clock.now(), eager=turn % 2 == 0)
            except ConflictError:  # another process was first
                continue

    def run(self) -> None:
        """Raise what a thread raised."""
        problems: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:
                problems.append(error)
                raise

        work: list[Callable[[], None]] = [self.decide, self.keep_up]
        work += [partial(self.send, thread) for thread in range(THREADS)]
        threads = [threading.Thread(target=guarded, args=(part,), daemon=True) for part in work]
        for thread in threads:
            thread.start()
        for thread in threads[2:]:
            thread.join()
        self.done.set()
        for thread in threads[:2]:
            thread.join()
        if problems:
            raise problems[0]


if __name__ == "__main__":
    Writer(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), set(sys.argv[4:])).run()
