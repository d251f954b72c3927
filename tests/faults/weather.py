"""A log on a disk that gets full, read-only, broken and slow: run with `cut.c` preloaded.

    python weather.py FOLDER FAULTS

FAULTS is the file by which `cut.c` is told what to do. Ends with 1 if anything is silent or lost.
"""

from __future__ import annotations

import errno
import mmap
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions
from homeostat.simulation.conformance.raising import must_raise

SLOW = 2_000


class Weather:
    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)

    def set(self, write: int = 0, room: int = 0, sync: int = 0, slow: int = 0) -> None:
        self._map[:32] = struct.pack("<4q", write, room, sync, slow)


def main(folder: Path, weather: Weather) -> None:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    log = FilePredictionLog(folder / "log", records, settle_rows=1)
    stored = list[str]()

    def append(count: int = 3) -> list[str]:
        names = [f"{len(stored)}-{i}" for i in range(count)]
        assert log.append(SPEC, predictions(names, T0 + len(stored) * HOUR)).accepted == count
        stored.extend(names)
        return names

    def look(reader: FilePredictionLog) -> None:
        found = texts(reader.rows(SPEC, ALL), "prediction_id")
        assert set(stored) <= set(found), "an acknowledged row is lost"
        assert len(found) == len(set(found)), "a row counts twice"

    append()
    log.append_labels(SPEC, labels(stored, 1.0, NOW))
    log.roll(NOW)
    lost = predictions(["lost"], T0 + 900 * HOUR)
    for write, room, sync in (
        (errno.ENOSPC, 0, 0),
        (errno.ENOSPC, 300, 0),
        (errno.EROFS, 0, 0),
        (0, 0, errno.EIO),
    ):
        append()
        weather.set(write, room, sync)
        with must_raise(StorageError):
            log.append(SPEC, lost)
        look(log)
        with must_raise(StorageError):
            log.roll(NOW)
        look(log)
        weather.set()
        append()
        look(log)
        assert log.roll(NOW) >= 6
        look(log)
        log.tidy(NOW, eager=True)
        look(log)
    weather.set(slow=SLOW)
    read_meanwhile(log, append)
    weather.set()
    log.roll(NOW)
    look(FilePredictionLog(folder / "log", records))
    assert log.status().landed == 0


def read_meanwhile(log: FilePredictionLog, append: Callable[[], object]) -> None:
    """A slow sync holds up no readers."""
    done = threading.Event()

    def write() -> None:
        append()
        done.set()

    writer = threading.Thread(target=write)
    before = len(log.rows(SPEC, ALL))
    writer.start()
    reads = 0
    while not done.is_set():
        assert len(log.rows(SPEC, ALL)) >= before
        reads += 1
    writer.join()
    assert reads > 1, "reads waited for the slow disk"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Weather(Path(sys.argv[2])))
