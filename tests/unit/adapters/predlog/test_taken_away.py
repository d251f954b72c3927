"""Segments and folders that somebody takes away while a process writes to them."""

import shutil
from pathlib import Path

import pytest

from databases import open_records
from homeostat.adapters.backup import back_up, restore
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.verify import Trouble, verify
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions


def opened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder))


def take_segments(folder: Path) -> None:
    for path in (folder / "log" / "landing").glob("*.seg"):
        path.unlink()


@pytest.mark.parametrize("other", [False, True], ids=["alone", "beside another"])
def test_what_is_acknowledged_survives_the_loss_of_the_segment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: bool
) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a", "b"]))
    (mine,) = (tmp_path / "log" / "landing").glob("*.seg")
    beside = opened(tmp_path)
    beside.append(SPEC, predictions(["x"]))
    if other:
        beside.roll(NOW)
    else:
        beside.close()
    log.append(SPEC, predictions(["c"]))
    log.append(SPEC, predictions(["a"]))
    mine.unlink()
    assert log.append(SPEC, predictions(["d"])).accepted == 1
    assert "somebody took the segment" in caplog.text
    if other:
        beside.roll(NOW)
    for reader in (log, beside, opened(tmp_path)):
        assert sorted(texts(reader.rows(SPEC, ALL), "prediction_id")) == list("abcdx")
    assert log.append(SPEC, predictions(["a", "d", "e"])).accepted == 1
    log.roll(NOW)
    found = verify(log.upkeep)
    assert [problem.trouble for problem in found.problems] == [Trouble.SEGMENT_GONE]
    assert found.rows == 6
    assert log.status().predictions == 6


def test_a_roll_by_another_process_does_not_forget_what_only_this_one_has(tmp_path: Path) -> None:
    log, other = opened(tmp_path), opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    other.append(SPEC, predictions(["x"]))
    take_segments(tmp_path)
    other.close()
    assert log.append(SPEC, predictions(["b"])).accepted == 1
    assert sorted(texts(log.rows(SPEC, ALL), "prediction_id")) == ["a", "b"]
    assert sorted(texts(opened(tmp_path).rows(SPEC, ALL), "prediction_id")) == ["a", "b"]


def test_nothing_is_acknowledged_into_a_folder_that_was_replaced(tmp_path: Path) -> None:
    """A backup is restored where a running server's folder was moved away."""
    records = open_records(tmp_path)
    log = FilePredictionLog(tmp_path / "log", records)
    log.append(SPEC, predictions(["a"]))
    models = tmp_path / "models"
    back_up(records, log, models, tmp_path / "backup", NOW)
    (tmp_path / "log").rename(tmp_path / "moved")
    with pytest.raises(StorageError):
        log.append(SPEC, predictions(["b"]))
    (tmp_path / "new").mkdir()
    restore(open_records(tmp_path / "new"), tmp_path / "log", models, tmp_path / "backup")
    with pytest.raises(StorageError):
        log.append(SPEC, predictions(["c"]))
    anew = FilePredictionLog(tmp_path / "log", open_records(tmp_path / "new"))
    for _ in range(2):
        with pytest.raises(StorageError, match="start it again"):
            log.append(SPEC, predictions(["d"]))
        with pytest.raises(StorageError, match="start it again"):
            log.roll(NOW)
    assert texts(anew.rows(SPEC, ALL), "prediction_id") == ["a"]


def test_a_landing_folder_that_is_gone_stops_acknowledgements(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    shutil.rmtree(tmp_path / "log" / "landing")
    with pytest.raises(StorageError, match="nothing of this call was stored"):
        log.append(SPEC, predictions(["b"]))
