import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, active_count

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.post import FilePost
from homeostat.domain.errors import StorageError
from homeostat.engine.lease import LEASE, Leadership, Lease
from homeostat.engine.loop import Engine
from homeostat.engine.ports import PendingEffect, Ports
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
from homeostat.simulation.fakes.records import MemoryUnit


class Log(MemoryLog):
    """A log on a disk that may be full."""

    full = False
    rolls = 0

    tidied = 0

    def tidy(self, now: datetime) -> int:
        self.tidied += 1
        return super().tidy(now)

    def roll(self, now: datetime) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.rolls += 1
        return super().roll(now)


class Records(MemoryRecords):
    """Records that fail, or hang, on demand: the engine asks them at each tick what is pending."""

    problem: Exception | None = None
    gate: Event | None = None
    looks = 0

    def pending(self, now: datetime) -> tuple[PendingEffect, ...]:
        self.looks += 1
        if self.gate is not None:
            self.gate.wait(20)
        if self.problem is not None:
            raise self.problem
        return super().pending(now)


class World:
    def __init__(self, *, live: bool = False) -> None:
        self.clock = SimulatedClock(NOW)
        self.records, self.log = Records(self.clock), Log(self.clock)
        ports = Ports(
            self.records, self.log, MemoryRegistry(), MemoryScorer({}), MemoryRoutes(), {}, {}
        )
        clock = SystemClock() if live else self.clock
        self.worker = Worker(Engine(ports, {}), self.log, clock, timedelta(milliseconds=10))


def wait(true: Callable[[], object]) -> None:
    for _ in range(1000):
        if true():
            return
        Event().wait(0.01)
    raise AssertionError("it did not happen")


def test_ticks_until_it_is_stopped_and_rolls_on_schedule() -> None:
    world = World(live=True)
    threads = active_count()
    world.worker.start()
    wait(lambda: world.records.looks >= 3)
    assert world.worker.stop()
    assert active_count() == threads
    seen = world.records.looks
    Event().wait(0.1)
    assert world.records.looks == seen
    assert world.log.rolls == 1
    assert world.worker.last_tick is not None


def test_the_log_is_rolled_again_when_it_is_due() -> None:
    world = World()
    for minutes in (0, 4, 2, 3, 3):
        world.clock.advance(timedelta(minutes=minutes))
        world.worker.once()
    assert world.log.rolls == 3


def test_a_full_disk_keeps_the_log_where_it_is_but_not_the_engine_from_looking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    world.log.append(SPEC, predictions(["a"], NOW))
    world.log.full = True
    for _ in range(3):
        world.worker.once()
    assert world.worker.problems == ("[Errno 28] No space left on device",)
    assert world.worker.last_tick == NOW, "the engine goes on looking"
    pulse = world.worker.pulse
    assert (pulse.ticks, pulse.failed, pulse.succeeded) == (3, 3, None)
    world.log.full = False
    world.worker.once()
    assert (pulse.ticks, pulse.failed, pulse.succeeded) == (4, 3, NOW)
    assert (world.log.rolls, world.worker.problems) == (1, ())
    said = [record.getMessage() for record in caplog.records]
    assert said == ["[Errno 28] No space left on device", "well again"], "each change is told once"


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (StorageError("the records database failed: full"), "the records database failed: full"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_a_failed_tick_is_tried_again(
    problem: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(live=True)
    world.records.problem = problem
    world.worker.start()
    wait(lambda: world.records.looks >= 2)
    assert world.worker.problems == (said,)
    assert world.worker.last_tick is None
    world.records.problem = None
    wait(lambda: world.worker.last_tick)
    assert world.worker.stop()
    assert ("Traceback" in caplog.text) == isinstance(problem, ValueError)


def test_stop_lets_the_tick_under_way_finish() -> None:
    world = World(live=True)
    world.records.gate = Event()
    world.worker.start()
    wait(lambda: world.records.looks)
    assert not world.worker.stop(0.05)
    assert world.worker.last_tick is None
    world.records.gate.set()
    assert world.worker.stop()
    assert world.worker.last_tick is not None
    looks = world.records.looks
    Event().wait(0.1)
    assert world.records.looks == looks, "no other tick began"


def test_one_that_never_began_can_be_stopped() -> None:
    assert World().worker.stop()


def test_the_log_is_rolled_between_ticks_once_it_is_full() -> None:
    world = World()
    world.worker.every = timedelta(hours=1)
    world.worker.start()
    while not world.worker.last_tick:
        Event().wait(0.01)
    before = world.log.rolls
    world.worker.full.set()
    while world.log.rolls == before:
        Event().wait(0.01)
    assert world.worker.stop()
    assert world.log.rolls == before + 1


def test_a_full_log_is_rolled_while_it_is_tidied() -> None:
    class Long(Log):
        begun, done = Event(), Event()

        def tidy(self, now: datetime) -> int:
            self.begun.set()
            assert self.done.wait(20)
            return super().tidy(now)

    world = World()
    log = Long(world.clock)
    every = timedelta(hours=1)
    worker = Worker(world.worker.engine, log, SystemClock(), every, timedelta(milliseconds=10))
    worker.start()
    assert log.begun.wait(20)
    before = log.rolls
    worker.full.set()
    wait(lambda: log.rolls > before)
    assert log.tidied == 0
    log.done.set()
    assert worker.stop()
    assert log.tidied


def leading(world: World, folder: Path, records: MemoryRecords) -> Worker:
    """A worker of a control plane that shares its records with others."""
    post = FilePost(folder / "post")
    world.worker.leadership = Leadership(records, str(id(world)), timedelta(seconds=0.6), post)
    return world.worker


def test_only_the_leader_ticks_and_another_follows_when_it_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shared = MemoryRecords(SystemClock())
    worlds = [World(live=True), World(live=True)]
    first, second = (leading(world, tmp_path, shared) for world in worlds)
    first.start()
    wait(lambda: worlds[0].records.looks)
    second.start()
    Event().wait(0.3)
    assert worlds[1].records.looks == 0
    assert (first.leads, second.leads) == (True, False)
    assert first.stop()
    wait(lambda: worlds[1].records.looks)
    assert worlds[1].log.rolls == 1
    assert second.stop()
    assert len([m for m in caplog.messages if m.endswith(" leads")]) == 2


def test_a_log_that_is_always_full_is_tidied_all_the_same() -> None:
    class Busy(Log):
        def roll(self, now: datetime) -> int:
            worker.full.set()
            return super().roll(now)

    world = World()
    log = Busy(world.clock)
    every = timedelta(milliseconds=10)
    worker = Worker(world.worker.engine, log, SystemClock(), every, roll_every=every)
    worker.full.set()
    worker.start()
    wait(lambda: log.tidied > 1)
    assert worker.stop()
    assert log.tidied > 1


def test_one_that_does_not_lead_rolls_a_full_log_and_tidies_nothing(tmp_path: Path) -> None:
    shared = MemoryRecords(SystemClock())
    with shared.begin() as uow:
        uow.save(LEASE, Lease("another", 1))
    world = World(live=True)
    worker = leading(world, tmp_path, shared)
    worker.roll_every = timedelta(milliseconds=1)
    worker.start()
    Event().wait(0.1)
    assert (world.log.rolls, world.log.tidied) == (0, 0)
    worker.full.set()
    wait(lambda: world.log.rolls == 1)
    assert worker.stop()


def test_trouble_with_the_lease_is_told_and_nothing_ticks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemoryRecords):
        @contextmanager
        def begin(self) -> Iterator[MemoryUnit]:
            raise StorageError("the records database failed: gone")
            yield MemoryUnit(self)

    world = World(live=True)
    worker = leading(world, tmp_path, Broken(SystemClock()))
    worker.start()
    wait(lambda: "the lease: the records database failed: gone" in caplog.messages)
    assert worker.stop()
    assert world.records.looks == 0


def test_a_chore_is_done_beside_the_ticks_and_its_trouble_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def chore() -> tuple[str, ...]:
        done.append(worker.stopping)
        return ("no folder",) if len(done) < 4 else ()

    done: list[bool] = []
    worker = World(live=True).worker
    worker.chore = chore
    worker.start()
    wait(lambda: len(done) >= 6)
    assert worker.stop()
    assert not any(done)
    assert worker.stopping
    assert caplog.messages.count("no folder") == 1


def test_one_that_does_not_lead_does_no_chore(tmp_path: Path) -> None:
    shared = MemoryRecords(SystemClock())
    with shared.begin() as uow:
        uow.save(LEASE, Lease("another", 1))
    worker = leading(World(live=True), tmp_path, shared)
    done: list[int] = []
    worker.chore = lambda: (done.append(1), ())[1]  # type: ignore[func-returns-value]
    worker.start()
    Event().wait(0.1)
    assert worker.stop()
    assert not done
