"""Where labels lie, and which one counts."""

from pathlib import Path

import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog import labels as module
from homeostat.adapters.predlog.catalogue import Catalogue
from homeostat.adapters.predlog.frames import Kind
from homeostat.domain.columns import floats
from homeostat.domain.window import Window
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

pytestmark = pytest.mark.usefixtures("both")


def test_labels_are_sorted_by_the_day_of_their_predictions(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    log = FilePredictionLog(tmp_path / "log", records, settle_rows=1)
    log.append(SPEC, predictions(["a", "b"], T0 + 23 * HOUR, step=2 * HOUR))
    log.append_labels(SPEC, labels(["a", "b", "z"], 1.0, T0 + 30 * HOUR))
    log.append_labels(SPEC, labels(["a"], 0.0, T0 + 40 * HOUR))
    log.roll(NOW)

    def days() -> set[str]:
        found = Catalogue(records.database).poll()[1]
        return {file.day for file in found if file.kind is Kind.LABELS}

    assert days() == {"2024-01-01", "2024-01-02", "unknown"}
    for opened_now in (log, FilePredictionLog(tmp_path / "log", records)):
        assert floats(opened_now.labelled(SPEC, ALL, NOW), "label") == [0.0, 1.0]
        early = opened_now.labelled(SPEC, ALL, T0 + 35 * HOUR)
        assert floats(early, "label") == [1.0, 1.0]
        assert opened_now.orphans(SPEC, NOW) == 1
    log.append(SPEC, predictions(["z"], T0 + 50 * HOUR))
    assert floats(log.labelled(SPEC, ALL, NOW), "label") == [0.0, 1.0, 1.0]
    assert log.orphans(SPEC, NOW) == 0
    log.append_labels(SPEC, labels(["a"], 0.0, T0 + 40 * HOUR))
    log.append_labels(SPEC, labels(["b"], 0.0, T0 + 41 * HOUR))
    log.roll(NOW)
    assert "unknown" not in days()
    assert floats(log.labelled(SPEC, ALL, NOW), "label") == [0.0, 0.0, 1.0]
    assert log.status().labels == 5, "a repetition is not stored twice"


def test_an_id_that_was_answered_on_several_days_has_its_label_on_each(tmp_path: Path) -> None:
    log = FilePredictionLog(tmp_path / "log", open_records(tmp_path), settle_rows=1)
    log.append(SPEC, predictions(["a", "b"], T0))
    log.append(SPEC, predictions(["a"], T0 + 96 * HOUR, version="2"))
    log.append_labels(SPEC, labels(["a", "b"], 1.0, T0 + 120 * HOUR))
    first, last = Window(T0, T0 + 24 * HOUR), Window(T0 + 96 * HOUR, T0 + 97 * HOUR)
    for _ in range(2):
        assert floats(log.labelled(SPEC, first, NOW), "label") == [1.0, 1.0]
        assert floats(log.labelled(SPEC, last, NOW), "label") == [1.0]
        log.roll(NOW)
    log.append_labels(SPEC, labels(["a"], 1.0, T0 + 120 * HOUR))
    log.roll(NOW)
    assert log.status().labels == 3, "a repetition is stored on none of the days"
    log.append(SPEC, predictions(["a"], T0 + 200 * HOUR, version="3"))
    log.roll(NOW)
    later = Window(T0 + 200 * HOUR, T0 + 201 * HOUR)
    assert log.labelled(SPEC, later, NOW).column("label").to_pylist() == [None]
    for _ in range(2):
        log.append_labels(SPEC, labels(["a"], 1.0, T0 + 120 * HOUR))
        assert floats(log.labelled(SPEC, later, NOW), "label") == [1.0], "sent again it counts"
        log.roll(NOW)
    assert log.status().labels == 4


def test_labels_without_predictions_are_written_again_only_if_some_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FilePredictionLog(tmp_path / "log", open_records(tmp_path), settle_rows=1)
    log.append(SPEC, predictions(["a", "b", "c"]))

    def unknown() -> list[tuple[str, int]]:
        files = log.upkeep.files(SPEC.name)[Kind.LABELS]
        return sorted((file.path, file.rows) for file in files if file.day == "unknown")

    def send(*ids: str) -> list[tuple[str, int]]:
        log.append_labels(SPEC, labels(ids, 1.0, T0 + 9 * HOUR))
        log.roll(NOW)
        return unknown()

    ((first, rows),) = send("a", "p", "q", "r")
    assert rows == 3
    ((merged, rows),) = send("x0", "x1", "x2", "x3")
    assert (rows, merged != first) == (7, True), "few rows are written again"
    found = send("b", "s")
    assert sorted(rows for _, rows in found) == [1, 7]
    assert (merged, 7) in found, "many are not"
    assert sorted(rows for _, rows in send("t")) == [2, 7]
    log.append(SPEC, predictions(["p", "s", "x0"], T0 + 50 * HOUR))
    log.roll(NOW)
    assert sorted(rows for _, rows in unknown()) == [2, 7]
    with monkeypatch.context() as patch:
        patch.setattr(module, "MOST_UNKNOWN", 6)
        assert sorted(rows for _, rows in send("u")) == [2, 7], "the rest waits"
    assert log.orphans(SPEC, NOW) == 7
    assert floats(log.labelled(SPEC, ALL, NOW), "label")[-3:] == [1.0] * 3
    assert [rows for _, rows in send("b")] == [7]
    assert log.status().labels == 12, "a repetition is not stored twice"
    assert floats(log.labelled(SPEC, ALL, NOW), "label")[-3:] == [1.0] * 3
