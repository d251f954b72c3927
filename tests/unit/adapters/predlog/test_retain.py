"""What is too old leaves the log: features first, then rows; readers notice nothing else."""

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.tables import log_profiles, log_removed
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.domain.record import prediction_schema
from homeostat.domain.retention import Retention
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

DAY = timedelta(days=1)
NOON = T0 + DAY / 2
RULE = Retention(10 * DAY, 20 * DAY, 40 * DAY, 30 * DAY)


def opened(folder: Path, rule: Retention | None = RULE, rows: int = 500_000) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    rules = {} if rule is None else {SPEC.name: rule}
    return FilePredictionLog(folder / "log", records, retention=rules, settle_rows=rows)


def fill(log: FilePredictionLog, days: int, first: int = 0) -> None:
    for day in range(first, first + days):
        ids = [f"{day}-{i}" for i in range(3)]
        log.append(SPEC, predictions(ids, NOON + day * DAY))
        log.append_labels(SPEC, labels(ids, 1.0, NOON + day * DAY + HOUR))
    log.roll(NOW)


def count(log: FilePredictionLog, table: sa.Table) -> int:
    with log.upkeep.catalogue.database.read() as connection:
        return len(connection.execute(sa.select(table)).all())


def files(folder: Path) -> list[Path]:
    return sorted((folder / "log" / "predictions").rglob("*.parquet"))


def test_features_go_first_and_then_the_row(tmp_path: Path) -> None:
    log, reader = opened(tmp_path), opened(tmp_path)
    fill(log, 12)
    whole = log.labelled(SPEC, ALL, NOW)
    assert reader.rows(SPEC, ALL).num_rows == 36
    assert log.tidy(T0 + 9 * DAY) == 0
    assert log.labelled(SPEC, ALL, NOW).equals(whole), "nothing is old enough"
    at = T0 + 15 * DAY  # features of days 0 to 4 are more than ten days old
    log.tidy(at)
    for one in (log, reader, opened(tmp_path)):
        left = one.labelled(SPEC, ALL, NOW)
        assert left.drop_columns(["amount", "country"]).equals(
            whole.drop_columns(["amount", "country"])
        )
        assert left.column("amount").to_pylist()[:15] == [None] * 15
        assert left.slice(15).equals(whole.slice(15))
        assert one.append(SPEC, predictions(["0-0", "0-1", "0-2"], NOON)).duplicates == 3
        assert one.rows(SPEC, ALL, ["amount"]).num_rows == 36
    log.tidy(at + HOUR)
    bare = pq.read_schema(files(tmp_path)[0])
    assert bare.names == [n for n in prediction_schema(SPEC).names if n not in SPEC.schema.names]
    assert b"homeostat.kinds" not in (bare.metadata or {})
    assert len(files(tmp_path)) == 12, "old files are gone from the disk too"
    log.tidy(T0 + 25 * DAY)
    for one in (log, reader, opened(tmp_path)):
        left = one.labelled(SPEC, ALL, NOW)
        assert left.column("timestamp")[0].as_py() == NOON + 5 * DAY
        assert left.num_rows == 21
        assert set(left.column("label").to_pylist()) == {1.0}
    assert log.profile(SPEC, ALL).rows == 36, "profiles stay"


def test_work_is_bounded_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeostat.adapters.predlog.retain.MOST_FILES", 2)
    log = opened(tmp_path)
    fill(log, 5)
    for _ in range(3):
        log.tidy(T0 + 16 * DAY)
    amounts = log.rows(SPEC, ALL, ["amount"]).column("amount").to_pylist()
    assert amounts == [None] * 15
    assert log.retention.keep(T0 + 16 * DAY).stripped == 0
    for _ in range(3):
        log.tidy(T0 + 40 * DAY)
    assert log.rows(SPEC, ALL).num_rows == 0


def test_labels_go_with_their_predictions(tmp_path: Path) -> None:
    log = opened(tmp_path, rows=1)
    fill(log, 3)
    log.append_labels(SPEC, labels(["nobody's"], 0.0, T0))
    log.append_labels(SPEC, labels(["1-0", "2-0"], 0.0, T0 + 24 * DAY))
    log.roll(NOW)
    assert log.orphans(SPEC, NOW) == 1
    log.tidy(T0 + 22 * DAY)  # day 0 and day 1 are past twenty days
    assert log.orphans(SPEC, NOW) == 0
    left = log.labelled(SPEC, ALL, NOW)
    assert texts(left, "prediction_id") == ["2-0", "2-1", "2-2"]
    assert left.column("label").to_pylist() == [0.0, 1.0, 1.0]
    kinds = [file.kind for days in log.upkeep.state.files.values() for d in days.values()
             for file in d]  # fmt: skip
    assert kinds.count(Kind.LABELS) == 1


def test_profiles_quarantine_and_the_list_of_removed_files_are_pruned(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 2)
    log.append(SPEC, predictions(["bad"], score=float("nan")))
    log.tidy(NOW)
    assert len(log.quarantined()) == 1
    log.tidy(NOW + 31 * DAY)
    assert log.quarantined() == ()
    with log.upkeep.catalogue.database.read() as connection:
        assert (
            connection.execute(sa.select(sa.func.count()).select_from(log_profiles)).scalar() == 0
        )
        assert connection.execute(sa.select(sa.func.count()).select_from(log_removed)).scalar() == 1
    assert log.profile(SPEC, ALL).rows == 0


def test_who_slept_through_it_all_still_learns_what_left(tmp_path: Path) -> None:
    log, idle = opened(tmp_path), opened(tmp_path)
    fill(log, 6)
    assert idle.rows(SPEC, ALL).num_rows == 18
    log.tidy(T0 + 16 * DAY)
    log.tidy(T0 + 24 * DAY)
    for later in (40, 60):
        log.tidy(T0 + later * DAY)
    assert count(log, log_removed) == 1
    fill(log, 1, first=30)
    assert idle.rows(SPEC, ALL).num_rows == 3
    assert idle.append(SPEC, predictions(["30-0"], NOON + 30 * DAY)).duplicates == 1


def test_a_model_without_a_rule_keeps_everything(tmp_path: Path) -> None:
    log = opened(tmp_path, rule=None)
    fill(log, 2)
    log.tidy(NOW + 4000 * DAY)
    assert log.rows(SPEC, ALL).num_rows == 6


def test_a_damaged_file_is_told_and_stops_nobody_else(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 2)
    files(tmp_path)[0].write_bytes(b"junk")
    with pytest.raises(StorageError, match="repair"):
        log.tidy(T0 + 16 * DAY)
    assert log.rows(SPEC, Window(T0 + DAY, NOW), ["amount"]).column("amount").null_count == 3
    assert log.append(SPEC, predictions(["new"], T0 + 40 * DAY)).accepted == 1
    assert log.rows(SPEC, Window(T0 + DAY, NOW)).num_rows == 4


def test_other_columns_of_later_models_do_not_bring_features_back(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 1)
    log.tidy(T0 + 16 * DAY)
    late = predictions(["late"], T0 + 2 * HOUR)
    log.append(SPEC, late)
    log.roll(NOW)
    log.tidy(T0 + 16 * DAY)
    assert log.rows(SPEC, ALL).column("country").to_pylist() == [None] * 4
