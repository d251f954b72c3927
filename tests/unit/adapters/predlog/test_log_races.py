"""Threads of one process that append to a log and look at it at the same moment."""

import threading
from pathlib import Path

import pytest

from homeostat.adapters.predlog import state
from homeostat.adapters.predlog.segments import SegmentWriter
from homeostat.simulation.conformance.log import NOW, SPEC, predictions
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
