"""Whatever holds a log for long lets go of what was erased elsewhere, though nothing happens."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import cast

import pytest

from databases import open_records
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.kafka import Feed, Message
from homeostat.adapters.post import FilePost
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Erasure, Target, erase
from homeostat.domain.errors import StorageError
from homeostat.engine.lease import LEASE, Leadership, Lease
from homeostat.engine.loop import Engine
from homeostat.engine.ports import Ports
from homeostat.entrypoints.consume import Consumer
from homeostat.entrypoints.gateway import LogWriter
from homeostat.entrypoints.release import EVERY, Release
from homeostat.entrypoints.worker import Worker
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, predictions
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
    MemoryScorer,
)

SOON = timedelta(milliseconds=10)


class Quiet:
    """A feed that brings nothing."""

    def take(self, wait: float) -> list[Message]:
        Event().wait(SOON.total_seconds())
        return []

    def mine(self, held: Sequence[Message]) -> Sequence[Message]:
        return held

    def done(self, held: Sequence[Message]) -> None:
        assert not held

    def resume(self) -> None:
        pass

    def close(self) -> None:
        pass


class Hasty(SystemClock):
    """Seconds pass as hours do."""

    def monotonic(self) -> float:
        return 3600 * super().monotonic()


@contextmanager
def consumer(log: FilePredictionLog, folder: Path) -> Iterator[Callable[[], object]]:
    consumer = Consumer(cast("Feed", Quiet()), log, {}, Hasty())
    yield consumer.step


@contextmanager
def gateway(log: FilePredictionLog, folder: Path) -> Iterator[Callable[[], object]]:
    writer = LogWriter(MemoryLog(SystemClock()), release=Release(log, SystemClock(), 0.01))
    yield lambda: Event().wait(SOON.total_seconds())
    assert writer.close()


@contextmanager
def standby(log: FilePredictionLog, folder: Path) -> Iterator[Callable[[], object]]:
    shared = MemoryRecords(SystemClock())
    with shared.begin() as uow:
        uow.save(LEASE, Lease("another", 1))
    held = timedelta(seconds=30)
    leadership = Leadership(shared, "me", held, FilePost(folder / ".engine.lock"))
    ports = Ports(shared, log, MemoryRegistry(), MemoryScorer({}), MemoryRoutes(), {}, {})
    worker = Worker(Engine(ports, {}), log, SystemClock(), SOON, leadership=leadership)
    worker.release = Release(log, Hasty())
    worker.start()
    yield lambda: Event().wait(SOON.total_seconds())
    assert not worker.leads
    assert worker.stop()


@pytest.mark.parametrize("kind", [consumer, gateway, standby])
def test_an_idle_process_lets_go_of_what_was_erased_elsewhere(
    tmp_path: Path,
    kind: Callable[[FilePredictionLog, Path], AbstractContextManager[Callable[[], object]]],
) -> None:
    log, other = (FilePredictionLog(tmp_path / "log", open_records(tmp_path)) for _ in range(2))
    log.append(SPEC, predictions(["ada@example.org"]))

    def erased() -> Erasure:
        return erase(other, SPEC, Target(False, ("ada@example.org",)), "me", NOW, tmp_path)

    assert erased().held
    with kind(log, tmp_path) as wait:
        until(wait, lambda: erased().complete)
        until(wait, lambda: not log.upkeep.state.bytes)


def until(wait: Callable[[], object], true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        wait()
    raise AssertionError("it did not happen")


def test_it_is_done_once_a_minute_and_trouble_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        asked = 0

        def release(self) -> None:
            self.asked += 1
            raise StorageError("the disk is away")

    log, clock = Broken(), SimulatedClock(NOW)
    release = Release(log, clock)
    asked = list[int]()
    for seconds in (0.0, EVERY - 1, 1.0, EVERY - 1, EVERY):
        clock.advance(timedelta(seconds=seconds))
        release.step()
        asked.append(log.asked)
    assert asked == [0, 0, 1, 1, 2]
    assert caplog.text.count("the disk is away") == 2
