"""The log away or slow: answers go to the disk and come back."""

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.adapters.predlog import spill as spilling
from homeostat.adapters.predlog.spill import Spill
from homeostat.domain.errors import DataError, OverloadError, StorageError
from homeostat.domain.model import Handling, ModelSpec
from homeostat.domain.personal import Protector
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.gateway import LogWriter, writer
from homeostat.entrypoints.gateway.answered import records
from homeostat.entrypoints.gateway.batch import to_batch
from homeostat.simulation.fakes.log import MemoryLog
from unit.entrypoints.gateway.gateway_world import NOW, World, answers


@dataclass
class Distant(MemoryLog):
    """A log that is away while `problem` is set, and slow until `free` is."""

    problem: Exception | None = None
    free: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.free.set()

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        self.free.wait(20)
        if self.problem is not None:
            raise self.problem
        return super().append(spec, rows)


@dataclass
class Odd(Spill):
    """A disk whose file system has a fault of its own."""

    def keep(self, batches: Sequence[tuple[str, pa.Table]], share: float = 1.0) -> bool:
        raise RuntimeError("odd")


@pytest.fixture
def log(world: World) -> Distant:
    return Distant(world.clock)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spill"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.02)
    monkeypatch.setattr(writer, "LINGER", 0.01)
    monkeypatch.setattr(writer, "LONGEST_WAIT", 0.05)


def until(true: Callable[[], object]) -> None:
    for _ in range(2000):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("did not happen")


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def put(line: LogWriter, world: World, names: range, share: float = 1.0) -> list[bool]:
    return [line.put(world.spec, answers(world.spec, f"p{i}-"), share) for i in names]


@pytest.mark.parametrize(
    "problem",
    [
        StorageError("database is locked"),
        OSError(5, "Input/output error"),
        OverloadError("full"),
        RuntimeError("nobody thought of it"),
    ],
    ids=["storage", "disk", "overload", "unknown"],
)
def test_rows_wait_on_disk_while_the_log_is_away_and_come_back(
    world: World, log: Distant, folder: Path, problem: Exception
) -> None:
    log.problem = problem
    line = LogWriter(log, 20, Spill(folder))
    for start in range(0, 100, 5):
        assert all(put(line, world, range(start, start + 5))), "memory is free again"
        until(lambda: line.waiting == 0)
    assert (line.spilled, line.counts.dropped) == (200, 0)
    assert not line.flush(0.01)
    log.problem = None
    assert line.flush(10)
    assert (line.counts.accepted, line.spilled) == (200, 0)
    assert list(folder.iterdir()) == []
    put(line, world, range(100, 101))
    assert line.close(5)
    assert line.counts.accepted == 202


def test_what_comes_while_an_append_hangs_goes_to_the_disk(
    world: World, log: Distant, folder: Path
) -> None:
    line = LogWriter(log, 10, Spill(folder))
    log.free.clear()
    put(line, world, range(1))
    until(lambda: line._busy)
    for number in range(1, 40):
        assert all(put(line, world, range(number, number + 1)))
        until(lambda: line.waiting <= 2)
    assert line.spilled == 78
    log.free.set()
    assert line.flush(10)
    assert (line.counts.accepted, line.counts.dropped) == (80, 0)


def test_rows_left_by_a_dead_process_are_replayed_by_the_next(
    world: World, log: Distant, folder: Path
) -> None:
    dead = Spill(folder)
    assert dead.keep([("fraud", records([answers(world.spec, f"p{i}-")])) for i in range(10)])
    dead.close()
    line = LogWriter(log, 100, Spill(folder), [world.spec])
    assert line.flush(10)
    assert (line.counts.accepted, list(folder.iterdir())) == (20, [])


def test_close_brings_the_line_and_what_is_under_way_to_the_disk(
    world: World, log: Distant, folder: Path
) -> None:
    log.free.clear()
    line = LogWriter(log, 100, Spill(folder))
    put(line, world, range(3))
    assert line.close(0.05)
    assert not line.put(world.spec, answers(world.spec, "late"))
    sent: list[int] = []
    Spill(folder).replay(lambda _, rows: sent.append(rows.num_rows))
    assert sum(sent) == 6
    log.free.set()


def test_a_full_spill_drops_and_counts_shadows_first(
    world: World, log: Distant, folder: Path
) -> None:
    log.problem = StorageError("away")
    line = LogWriter(log, 1000, Spill(folder, most_bytes=20_000))
    put(line, world, range(1))
    until(lambda: line.spilled == 2)
    handed = 2
    while line.counts.dropped == 0:
        put(line, world, range(handed, handed + 1), share=0.5)
        handed += 2
        until(lambda: line.waiting == 0)
    dropped = line.counts.dropped
    put(line, world, range(-1, 0))
    until(lambda: line.waiting == 0)
    assert line.counts.dropped == dropped, "there is room for answers still"
    while line.counts.dropped == dropped:
        put(line, world, range(handed, handed + 1))
        handed += 2
        until(lambda: line.waiting == 0)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20_000


def test_no_disk_either_holds_rows_in_line(world: World, log: Distant, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Spill(tmp_path / "file" / "spill"))
    put(line, world, range(5))
    threading.Event().wait(0.1)
    assert (line.waiting, line.spilled, line.counts.dropped) == (10, 0, 0)
    log.problem = None
    assert line.flush(10)
    assert line.counts.accepted == 10


def test_close_without_log_and_disk_counts_what_is_lost(
    world: World, log: Distant, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Spill(tmp_path / "file" / "spill"))
    put(line, world, range(5))
    assert not line.close(0.05)
    assert line.counts.dropped == 10


def test_a_disk_that_fails_in_a_way_nobody_thought_of_holds_rows_in_line(
    world: World, log: Distant, folder: Path
) -> None:
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Odd(folder))
    put(line, world, range(5))
    threading.Event().wait(0.05)
    assert (line.waiting, line.spilled, line.counts.dropped) == (10, 0, 0)
    log.problem = None
    assert line.flush(10)
    assert line.counts.accepted == 10


def test_refused_rows_are_set_aside(
    world: World, log: Distant, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Spill(folder))
    put(line, world, range(2))
    until(lambda: line.spilled == 4)
    log.problem = DataError("no such column: land")
    until(lambda: line.spilled == 0)
    assert [path.suffix for path in folder.iterdir()] == [".refused"]
    assert "refused by the log" in caplog.text
    line.close()


def test_what_was_refused_takes_no_room_from_what_waits(
    world: World, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [("fraud", answers(world.spec, "a", rows=50).records())]
    spill = Spill(folder, 40_000)

    def refuse(_: str, __: pa.Table) -> None:
        raise DataError("no such column: land")

    names = list[list[str]]()
    for _ in range(3):
        count = 0
        while spill.keep(batch):
            count += 1
        assert count > 2, "there is room again"
        spill.replay(refuse)
        names.append(sorted(path.name for path in folder.iterdir()))
    assert [len(found) for found in names] == [1, 1, 1], "the oldest goes"
    assert len({found[0] for found in names}) == 3
    assert "were refused" in caplog.text


def test_rows_of_a_model_that_is_gone_are_set_aside(
    world: World, log: Distant, folder: Path
) -> None:
    spill = Spill(folder)
    assert spill.keep([("gone", answers(world.spec, "a").records())])
    spill.close()
    line = LogWriter(log, 100, Spill(folder), [world.spec])
    until(lambda: [path.suffix for path in folder.iterdir()] == [".refused"])
    line.close()


def test_the_segment_of_a_living_process_is_left_to_it(world: World, folder: Path) -> None:
    rows = answers(world.spec, "a").records()
    ours, theirs = Spill(folder), Spill(folder)
    ours.keep([("fraud", rows)])
    theirs.keep([("fraud", rows)])
    sent: list[int] = []
    ours.replay(lambda _, found: sent.append(found.num_rows))
    assert (sent, theirs.rows, theirs.waiting) == ([2], 2, True)
    theirs.close()
    ours.replay(lambda _, found: sent.append(found.num_rows))
    assert (sent, ours.waiting) == ([2, 2], False)


def test_rows_that_another_process_brought_to_the_log_are_waited_for_no_more(
    world: World, log: Distant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilling, "SEGMENT_BYTES", 1)
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Spill(folder))
    for number in range(3):
        put(line, world, range(number, number + 1))
        until(lambda: line.waiting == 0)
    assert line.spilled == 6
    sent: list[int] = []
    other = Spill(folder)
    while other.waiting:
        other.replay(lambda _, rows: sent.append(rows.num_rows))
    log.problem = None
    assert line.flush(5)
    assert (sum(sent), line.spilled, line.counts.accepted) == (6, 0, 0)


def test_what_another_process_is_at_is_looked_for_until_it_is_done(
    world: World, log: Distant, folder: Path
) -> None:
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Spill(folder))
    put(line, world, range(1))
    until(lambda: line.spilled == 2)
    (segment,) = folder.iterdir()
    with segment.open("rb") as file:
        until(lambda: locked(file.fileno()))
        log.problem = None
        put(line, world, range(1, 2))
        until(lambda: line.counts.accepted == 2)
        assert not line.flush(0.1)
        segment.unlink()
    assert line.flush(5)
    assert line.counts.accepted == 2


def test_a_write_cut_short_costs_only_itself(world: World, folder: Path) -> None:
    rows = answers(world.spec, "a").records()
    spill = Spill(folder)
    spill.keep([("fraud", rows)])
    spill.keep([("fraud", rows)])
    spill.close()
    (segment,) = folder.iterdir()
    os.truncate(segment, segment.stat().st_size - 7)
    sent: list[int] = []
    Spill(folder).replay(lambda _, found: sent.append(found.num_rows))
    assert sent == [2]


def test_what_is_kept_is_on_the_disk_when_that_is_said(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, sync = dict[str, int](), os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        synced[str(Path(f"/proc/self/fd/{descriptor}").readlink())] = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fsync", watched)
    spill = Spill(folder)
    for name in "ab":
        assert spill.keep([("fraud", answers(world.spec, name).records())])
        (segment,) = folder.iterdir()
        assert synced[str(segment)] == segment.stat().st_size
    assert str(folder) in synced, "so is its name"


def test_a_failing_replay_keeps_what_is_left(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilling, "SEGMENT_BYTES", 1)  # each in a segment of its own
    spill = Spill(folder)
    for name in "abc":
        spill.keep([("fraud", answers(world.spec, name).records())])
    sent: list[str] = []

    def send(_: str, rows: pa.Table) -> None:
        if len(sent) == 1:
            raise StorageError("away again")
        sent.append(rows["prediction_id"][0].as_py())

    with pytest.raises(StorageError):
        spill.replay(send)
    assert (sent, spill.rows) == (["a0"], 4)
    spill.replay(lambda _, rows: sent.append(rows["prediction_id"][0].as_py()))
    assert sent == ["a0", "b0", "c0"]
    Spill(folder / "nothing").replay(send)


def test_personal_values_do_not_reach_the_disk(world: World, log: Distant, folder: Path) -> None:
    personal = replace(world.spec, entity_handling=Handling.HASH)
    columns = {"prediction_id": ["p1"], "card": ["4711-0815"]}
    batch = to_batch(personal, pa.table(columns), NOW, "")
    given = answers(personal, "p", rows=1)._replace(batch=batch)
    log.problem = StorageError("away")
    line = LogWriter(log, 100, Spill(folder), protector=Protector(b"0123456789abcdef"))
    line.put(personal, given)
    until(lambda: line.spilled == 1)
    (segment,) = folder.iterdir()
    assert b"4711" not in segment.read_bytes()
    assert b"hmac:" in segment.read_bytes()
    line.close()
