"""Threads of one process that append to a log and look at it at the same moment."""

import threading
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import pytest

from homeostat.adapters.predlog import state, upkeep
from homeostat.adapters.predlog.catalogue import Catalogue, Change, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import Keys
from homeostat.adapters.predlog.memory import LandedSegment, Snapshot
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.roll import write_files
from homeostat.adapters.predlog.segments import SegmentWriter
from homeostat.simulation.conformance.log import HOUR, NOW, SPEC, T0, labels, predictions
from unit.adapters.predlog.test_log import ids, opened

pytestmark = pytest.mark.usefixtures("both")


def test_a_segment_that_appears_while_another_thread_looks_is_taken_in_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    about_to_write, looking = threading.Event(), threading.Event()
    write, names = SegmentWriter.write, state.segment_names

    def writes(writer: SegmentWriter, frames: list[bytearray]) -> list[tuple[str, int]]:
        about_to_write.set()
        assert looking.wait(60)
        return write(writer, frames)

    def looks(folder: Path) -> list[str]:
        looking.set()
        while not any(path.stat().st_size for path in folder.glob("*.seg")):
            about_to_write.wait(0.001)
        return names(folder)

    monkeypatch.setattr(SegmentWriter, "write", writes)
    monkeypatch.setattr(state, "segment_names", looks)
    appending = threading.Thread(target=log.append, args=(SPEC, predictions(["a"])))
    appending.start()
    assert about_to_write.wait(60)
    log.roll(NOW)
    appending.join()
    log.roll(NOW)
    assert ids(log) == ["a"]


def test_a_segment_that_appears_while_bytes_are_summed_disturbs_nobody(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    landed = log.upkeep.state.landed

    class Slow(LandedSegment):
        @property
        def bytes(self) -> int:
            landed["another"] = LandedSegment()  # as the thread does that writes
            return super().bytes

    (name,) = landed
    landed[name] = Slow(landed[name].parts, landed[name].refused, landed[name].keys)
    assert log.append(SPEC, predictions(["b"])).accepted == 1


@pytest.mark.parametrize("looked_at", [False, True], ids=["unseen", "seen by a reader"])
def test_a_roll_takes_in_what_is_merged_elsewhere_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: bool
) -> None:
    log, other = opened(tmp_path), opened(tmp_path)
    for name in "ab":
        other.append(SPEC, predictions([name]))
        other.roll(NOW)
    log.append(SPEC, predictions(["c"]))
    register = Catalogue.register

    def writes(snapshot: Snapshot, store: FileStore) -> Change:
        change = write_files(snapshot, store)
        if not looked_at:
            merge()
        return change

    def registers(self: Catalogue, change: Change, now: datetime) -> None:
        register(self, change, now)
        if looked_at:
            with log.upkeep.state.lock:
                log.upkeep.state.refresh()
            merge()

    def merge() -> None:
        monkeypatch.undo()
        # Of tidying, only the sweep and the expiry wait for rolls: they were before.
        monkeypatch.setattr(upkeep, "exclusive", lambda path: nullcontext())
        monkeypatch.setattr(FileStore, "sweep", lambda self, registered: None)
        other.tidy(NOW, eager=True)
        monkeypatch.undo()

    monkeypatch.setattr(upkeep, "write_files", writes)
    monkeypatch.setattr(Catalogue, "register", registers)
    log.roll(NOW)
    assert ids(log) == ids(other) == ["a", "b", "c"]
    known = [file.path for file in log.upkeep.files(SPEC.name)[Kind.PREDICTIONS]]
    there = {file.path for file in other.upkeep.files(SPEC.name)[Kind.PREDICTIONS]}
    assert sorted(known) == sorted(there)


def test_who_counts_labels_without_predictions_keeps_no_rows_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    log.append_labels(SPEC, labels(["a", "z"], 1.0, T0))
    log.append(SPEC, predictions(["a"]))
    log.roll(NOW)
    reading, appended = threading.Event(), threading.Event()
    read, found = FileStore.keys, list[object]()

    def slow(self: FileStore, file: FileEntry) -> Keys:
        if file.kind is Kind.LABELS:
            reading.set()
            found.append(appended.wait(20))
        return read(self, file)

    def count() -> None:
        found.append(log.orphans(SPEC, NOW))

    monkeypatch.setattr(FileStore, "keys", slow)
    page = threading.Thread(target=count)
    page.start()
    assert reading.wait(60)
    log.append(SPEC, predictions(["b"], T0 + 48 * HOUR))
    appended.set()
    page.join()
    assert found == [True, 1]
