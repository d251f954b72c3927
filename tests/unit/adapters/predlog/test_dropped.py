"""Segments that are rolled and deleted while other processes hold their rows."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.predlog import FilePredictionLog, upkeep
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.segments import remove_if_abandoned, segment_names
from homeostat.adapters.predlog.upkeep import GRACE
from homeostat.adapters.predlog.verify import verify
from homeostat.simulation.conformance.log import NOW, SPEC, predictions
from unit.adapters.predlog.test_log import ids, opened

pytestmark = pytest.mark.usefixtures("both")

LATER = NOW + GRACE + timedelta(minutes=1)


def holding(folder: Path) -> tuple[FilePredictionLog, FilePredictionLog]:
    """Return a log that holds the rows of another one's finished segment, and a third one."""
    writer, reader, other = opened(folder), opened(folder), opened(folder)
    writer.append(SPEC, predictions(["a", "b"]))
    writer.close()
    assert ids(reader) == ["a", "b"]
    return reader, other


@pytest.mark.parametrize("long", [False, True], ids=["just now", "long ago"])
def test_rows_that_were_rolled_elsewhere_stay_single(tmp_path: Path, long: bool) -> None:
    reader, other = holding(tmp_path)
    other.roll(NOW)
    assert segment_names(tmp_path / "log" / "landing") == []
    if long:
        other.roll(LATER)
    assert ids(reader) == ["a", "b"]
    assert reader.roll(LATER) == 0
    for log in (reader, other, opened(tmp_path)):
        assert ids(log) == ["a", "b"]
    assert verify(reader.upkeep).problems == ()


@pytest.mark.parametrize("long", [False, True], ids=["just now", "long ago"])
def test_rows_that_were_erased_elsewhere_stay_erased(tmp_path: Path, long: bool) -> None:
    reader, other = holding(tmp_path)
    erase(other, SPEC, Target(False, ("a",)), "me", NOW, tmp_path)
    if long:
        other.roll(LATER)
    assert reader.roll(LATER) == 0
    for log in (reader, other, opened(tmp_path)):
        assert ids(log) == ["b"]


@pytest.mark.parametrize("gone", [False, True], ids=["before", "after"])
def test_who_dies_over_a_segment_leaves_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    reader, other = holding(tmp_path)

    def killed(path: Path, rolled: int) -> bool:
        if gone:
            remove_if_abandoned(path, rolled)
        raise SystemExit

    monkeypatch.setattr(upkeep, "remove_if_abandoned", killed)
    with pytest.raises(SystemExit):
        other.roll(NOW)
    monkeypatch.undo()
    assert verify(reader.upkeep).problems == ()
    reader.roll(LATER)
    assert verify(reader.upkeep).problems == ()
    assert segment_names(tmp_path / "log" / "landing") == []
    assert reader.upkeep.catalogue.poll()[0] == {}
    assert ids(reader) == ids(opened(tmp_path)) == ["a", "b"]
