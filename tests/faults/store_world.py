"""A log whose files lie in an object store behind a relay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.objects import LONGEST_PAUSE
from homeostat.adapters.predlog.place import Place
from homeostat.adapters.predlog.stores import object_store
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC
from objects import Relay, Server

TIMEOUT = 0.4


@dataclass
class World:
    """A log whose files lie behind a relay; ``skip`` lets its patience pass."""

    folder: Path
    server: Server
    relay: Relay
    bucket: str
    seconds: float = 0.0

    @contextmanager
    def log(self, most_keys: int | None = None) -> Iterator[FilePredictionLog]:
        records = DatabaseRecords(f"sqlite:///{self.folder}/records.db", SimulatedClock(NOW))
        place = partial(self.place, most_keys=most_keys)
        log = FilePredictionLog(self.folder / "log", records, settle_rows=1, place=place)
        yield log
        log.close()
        records.close()

    def place(self, root: Path, salt: int, most_keys: int | None = None) -> Place:
        storage = self.server.storage(self.bucket, port=self.relay.port, timeout=TIMEOUT)
        made = object_store(storage, os.environ)(root, salt)
        return replace(made, clock=lambda: self.seconds, most_keys=most_keys or made.most_keys)

    def skip(self) -> None:
        self.seconds += LONGEST_PAUSE

    def objects(self, end: str = ".parquet") -> list[str]:
        return [path for path in self.server.paths(self.bucket) if path.endswith(end)]


def ids(log: FilePredictionLog) -> list[str]:
    return sorted(texts(log.rows(SPEC, ALL), "prediction_id"))


def cold(log: FilePredictionLog) -> None:
    """Let a reader ask the store again."""
    store = log.upkeep.store
    for days in log.upkeep.state.files.values():
        for file in (file for found in days.values() for file in found):
            store.forget(file)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
