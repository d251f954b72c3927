"""The prediction log in an object store, at a distance.

    PYTHONPATH=src:tests python benchmarks/log_objects.py [--delay MS] [--files N] [--rows N]

A server that speaks S3 runs behind a relay that holds each request back for a while. Printed are,
in the same run, for the log's own folder and for the store: a roll of one file, a day's window of
five columns whose files and footers are not known yet (one file at a time and several), the same
again, and an append of which the keys are near.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from log_world import DAY, SPEC, machine, median, midnight, predictions

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog import FilePredictionLog, parquet
from homeostat.adapters.predlog.stores import object_store
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.window import Window
from objects import ENVIRONMENT, Fault, Relay, Server

FIVE = ["score", "prediction", "n0", "n1", "c0"]


@contextmanager
def _opened(folder: Path, server: Server | None, delay: float) -> Iterator[FilePredictionLog]:
    folder.mkdir()
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SystemClock())
    place = relay = None
    if server is not None:
        pause = threading.Event()

        def late(_method: str, _path: str) -> Fault | None:
            pause.wait(delay)
            return None

        relay = Relay(server.port, late)
        place = object_store(server.storage(port=relay.port), os.environ)
    log = FilePredictionLog(folder / "log", records, place=place)
    try:
        yield log
    finally:
        log.close()
        records.close()
        if relay is not None:
            relay.end()


def _forget(log: FilePredictionLog) -> None:
    for days in log.upkeep.state.files.values():
        for files in days.values():
            for file in files:
                log.upkeep.store.forget(file)


def _measure(name: str, log: FilePredictionLog, files: int, rows: int) -> None:
    rng, now = np.random.default_rng(1), SystemClock().now()
    start = midnight() - DAY
    step = DAY / files
    rolls = list[float]()
    for number in range(files):
        log.append(SPEC, predictions(rng, rows // files, start + number * step, step))
        rolls.append(median(lambda: log.roll(now), 1))
    asked = Window(start, start + DAY)

    def cold() -> None:
        _forget(log)
        log.rows(SPEC, asked, FIVE)

    parquet.AT_ONCE = 1
    alone = median(cold, 3)
    parquet.AT_ONCE = 8
    together = median(cold, 5)
    again = median(lambda: log.rows(SPEC, asked, FIVE), 5)
    log.append(SPEC, predictions(rng, 100, start, DAY))
    append = median(lambda: log.append(SPEC, predictions(rng, 100, start, DAY)), 5)
    print(
        f"{name}: roll {np.median(rolls) * 1e3:.0f} ms; window of {files} files, one at a time "
        f"{alone * 1e3:.0f} ms, eight {together * 1e3:.0f} ms, again {again * 1e3:.1f} ms; "
        f"append of 100 rows {append * 1e3:.1f} ms"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--delay", type=float, default=30.0)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--rows", type=int, default=100_000)
    asked = parser.parse_args()
    print(machine())
    os.environ.update(ENVIRONMENT)
    server = Server.begin()
    try:
        with tempfile.TemporaryDirectory() as place:
            for name, used, delay in (
                ("folder", None, 0.0),
                ("store", server, 0.0),
                (f"store, {asked.delay:g} ms away", server, asked.delay / 1e3),
            ):
                with _opened(Path(place) / name.replace(" ", ""), used, delay) as log:
                    _measure(name, log, asked.files, asked.rows)
    finally:
        server.end()


if __name__ == "__main__":
    main()
