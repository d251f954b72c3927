"""Ids that two processes acknowledged with different contents, before one saw the other's row."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from homeostat.adapters.predlog import FilePredictionLog, catalogue, upkeep
from homeostat.adapters.predlog.catalogue import Catalogue, Change, Quarantined
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.quarantine import OTHER_CONTENT, Quarantine
from homeostat.adapters.predlog.verify import verify
from homeostat.domain.columns import floats
from homeostat.domain.errors import StorageError
from homeostat.entrypoints.quarantine import replay_all
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions
from unit.adapters.predlog.test_log import ids, opened

SCORES = (0.25, 0.75)


def both_acknowledge(folder: Path) -> list[FilePredictionLog]:
    """Return two logs on one root that hold one id with different scores."""
    logs = [opened(folder) for _ in SCORES]
    for log, score in zip(logs, SCORES, strict=True):
        assert log.append(SPEC, predictions(["x", f"{score}"], score=score)).accepted == 2
    return logs


def refused(log: FilePredictionLog) -> list[float]:
    """Return the scores of the rows in quarantine, which are all of the id."""
    found = log.quarantined(SPEC.name)
    assert {(entry.column, entry.reason) for entry in found} <= {OTHER_CONTENT}
    rows = [json.loads(entry.row) for entry in found]
    assert {row["prediction_id"] for row in rows} <= {"x"}
    return [row["score"] for row in rows]


def stored(log: FilePredictionLog) -> list[float]:
    assert sorted(ids(log)) == ["0.25", "0.75", "x"]
    table = log.rows(SPEC, ALL)
    return [
        score for name, score in zip(ids(log), floats(table, "score"), strict=True) if name == "x"
    ]


@pytest.mark.parametrize("who", range(3), ids=["first", "second", "third"])
def test_one_content_is_stored_and_the_other_is_kept_in_quarantine(
    tmp_path: Path, who: int, caplog: pytest.LogCaptureFixture
) -> None:
    logs = [*both_acknowledge(tmp_path), opened(tmp_path)]
    for log in logs:
        assert len(stored(log)) == 1
    logs[who].roll(NOW)
    assert "fraud / model: 1 rows were acknowledged with ids" in caplog.text
    for log in logs:
        assert sorted(stored(log) + refused(log)) == list(SCORES)
        log.roll(NOW)
    assert len(refused(logs[0])) == 1
    assert verify(logs[0].upkeep).problems == ()
    assert logs[0].profile(SPEC, ALL).rows == 3
    assert replay_all(logs[who], SPEC).accepted == 0
    assert len(refused(logs[0])) == 1, "it is refused again, as it was"


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_roll_that_dies_keeps_the_other_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    first, second = both_acknowledge(tmp_path)
    register, keep = Catalogue.register, catalogue._keep

    def registers(self: Catalogue, change: Change, now: datetime) -> None:
        if moment == "after":
            register(self, change, now)
        raise StorageError("killed")

    def keeps(connection: sa.Connection, entries: Sequence[Quarantined]) -> None:
        keep(connection, entries)
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        if moment == "within":
            patch.setattr(catalogue, "_keep", keeps)
        else:
            patch.setattr(Catalogue, "register", registers)
        with pytest.raises(StorageError, match="killed"):
            first.roll(NOW)
    first.close()
    assert len(refused(second)) == (1 if moment == "after" else 0)
    survivor = opened(tmp_path)
    for log in (second, survivor):
        log.roll(NOW)
        assert sorted(stored(log) + refused(log)) == list(SCORES)


def test_rows_that_are_refused_count_as_landed_until_they_are_rolled(tmp_path: Path) -> None:
    first, _ = both_acknowledge(tmp_path)
    before = first.upkeep.state.bytes
    ids(first)
    assert first.upkeep.state.bytes > before + predictions(["0.75"]).nbytes
    assert first.status().predictions == 3
    first.roll(NOW)
    assert first.upkeep.state.bytes == 0


def test_an_erasure_reaches_the_row_in_quarantine(tmp_path: Path) -> None:
    first, second = both_acknowledge(tmp_path)
    erase(first, SPEC, Target(False, ("x",)), "me", NOW, tmp_path / "log")
    assert refused(first) == []
    assert sorted(ids(second)) == ["0.25", "0.75"]


@pytest.mark.parametrize("score", SCORES, ids=["same content", "other content"])
def test_rows_that_were_left_out_stay_so_in_a_finished_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: float
) -> None:
    """A roll elsewhere ends after the first segment; rows of the second are read from its file."""
    other, log = opened(tmp_path), opened(tmp_path)
    other.append(SPEC, predictions(["x"]))
    log.append(SPEC, predictions(["x", "w"], score=score))
    register = Catalogue.register

    def once(self: Catalogue, change: Change, now: datetime) -> None:
        register(self, change, now)
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "ROLL_BYTES", 0)
        patch.setattr(Catalogue, "register", once)
        with pytest.raises(StorageError, match="killed"):
            other.roll(NOW)
    log._landing.behind, log._writer.segment_bytes = 0, 1
    for name in "yz":
        log.append(SPEC, predictions([name]))
    assert sorted(ids(log)) == list("wxyz")
    log.roll(NOW)
    for reader in (log, other, opened(tmp_path)):
        assert sorted(ids(reader)) == list("wxyz")
    assert verify(log.upkeep).problems == ()
    assert len(Quarantine(log.upkeep.catalogue.database, SPEC.name).oldest(9)) == (score != 0.25)
