"""The line in front of the prediction log."""

import threading
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from homeostat.domain.errors import DataError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.gateway import LogWriter, writer
from homeostat.entrypoints.release import Release
from homeostat.simulation.fakes.log import MemoryLog
from unit.entrypoints.gateway.gateway_world import World, answers


@dataclass
class Unsteady(MemoryLog):
    """A log that can fail or stall."""

    problems: list[Exception] = field(default_factory=list)
    stalled: threading.Event | None = None
    batches: list[int] = field(default_factory=list)

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        if self.stalled is not None:
            self.stalled.wait(10)
        if self.problems:
            raise self.problems.pop(0)
        self.batches.append(rows.num_rows)
        return super().append(spec, rows)


class Stuck:
    """Cannot let go, for a reason that nobody thought of."""

    def release(self) -> None:
        raise RuntimeError("stuck")


@pytest.fixture
def log(world: World) -> Unsteady:
    return Unsteady(world.clock)


def test_trap_logger_backpressure_never_reaches_the_caller(world: World, log: Unsteady) -> None:
    log.stalled = threading.Event()
    line = LogWriter(log, capacity=10)
    taken = [line.put(world.spec, answers(world.spec, f"p{i}")) for i in range(20)]
    assert taken == [True] * 5 + [False] * 15
    assert not line.flush(0.01)
    log.stalled.set()
    assert line.flush(5)
    assert (line.counts.accepted, line.counts.dropped) == (10, 30)
    assert line.waiting == 0


def test_waiting_batches_are_appended_together(world: World, log: Unsteady) -> None:
    log.stalled = threading.Event()
    line = LogWriter(log)
    for i in range(50):
        line.put(world.spec, answers(world.spec, f"p{i}-"))
    log.stalled.set()
    assert line.flush(5)
    assert sum(log.batches) == 100
    assert len(log.batches) <= 3


def test_less_important_rows_go_first(world: World, log: Unsteady) -> None:
    log.stalled = threading.Event()
    line = LogWriter(log, capacity=10)
    assert line.put(world.spec, answers(world.spec, "a", rows=4), share=0.5)
    assert not line.put(world.spec, answers(world.spec, "b", rows=4), share=0.5)
    assert line.put(world.spec, answers(world.spec, "c", rows=4))
    log.stalled.set()


@pytest.mark.parametrize(
    "error",
    [StorageError("locked"), OSError(28, "No space left"), RuntimeError("driver"), ValueError("x")],
    ids=repr,
)
def test_failing_log_is_tried_again(world: World, log: Unsteady, error: Exception) -> None:
    log.problems = [error, error]
    line = LogWriter(log)
    line.put(world.spec, answers(world.spec, "a"))
    assert line.flush(5)
    assert line.counts.accepted == 2


@pytest.mark.parametrize("error", [DataError("no such column"), pa.ArrowInvalid("odd")])
def test_refused_batch_is_counted_and_the_next_one_written(
    world: World, log: Unsteady, error: Exception
) -> None:
    log.problems = [error]
    line = LogWriter(log)
    line.put(world.spec, answers(world.spec, "a"))
    assert line.flush(5)
    line.put(world.spec, answers(world.spec, "b"))
    assert line.flush(5)
    assert (line.counts.failed, line.counts.accepted) == (2, 2)


def test_answers_that_make_no_records_are_counted_and_the_next_ones_written(
    world: World, log: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    line = LogWriter(log)
    good = answers(world.spec, "a")
    line.put(world.spec, good._replace(scores=["odd", "odd"]))  # type: ignore[list-item]
    assert line.flush(5)
    line.put(world.spec, good)
    assert line.flush(5)
    assert (line.counts.failed, line.counts.accepted) == (2, 2)
    assert "fraud: answers that cannot be made into records" in caplog.text


def test_a_log_that_cannot_let_go_is_written_on(
    world: World, log: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    line = LogWriter(log, release=Release(Stuck(), world.clock, every=0.0))
    line.put(world.spec, answers(world.spec, "a"))
    assert line.flush(5)
    assert line.counts.accepted == 2
    assert line.close(5)
    assert "letting go of what is gone from the log failed: RuntimeError: stuck" in caplog.text


def test_quarantined_and_repeated_rows_are_counted(world: World, log: Unsteady) -> None:
    line = LogWriter(log)
    for name, score in (("a", 0.5), ("a", 0.5), ("b", float("nan"))):
        line.put(world.spec, answers(world.spec, name, score))
        assert line.flush(5)
    counts = line.counts
    assert (counts.accepted, counts.duplicates, counts.quarantined) == (2, 2, 2)


def test_close_gives_up_on_a_dead_log_and_counts_it(
    world: World, log: Unsteady, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FIRST_WAIT", 5.0)
    log.problems = [StorageError("gone")] * 100
    line = LogWriter(log)
    line.put(world.spec, answers(world.spec, "a"))
    assert not line.close(0.1)
    assert line.flush(5)
    assert line.counts.dropped == 2
    assert not line.put(world.spec, answers(world.spec, "b"))


def test_close_writes_what_is_left(world: World, log: Unsteady) -> None:
    line = LogWriter(log)
    line.put(world.spec, answers(world.spec, "a"))
    assert line.close(5)
    assert line.counts.accepted == 2
