"""Small files become large ones, and nobody notices."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

pytestmark = pytest.mark.usefixtures("both")


def opened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder), settle_rows=1)


def files(folder: Path, kind: str = "predictions") -> list[Path]:
    return sorted((folder / "log" / kind).rglob("*.parquet"))


def fill(log: FilePredictionLog, rolls: int) -> None:
    for number in range(rolls):
        ids = [f"{number}-{i}" for i in range(3)]
        log.append(SPEC, predictions(ids, T0 + number * timedelta(minutes=7)))
        log.append_labels(SPEC, labels(ids, float(number % 2), T0 + 30 * HOUR))
        log.roll(NOW)


def test_a_day_that_is_over_becomes_one_file_of_the_same_rows(tmp_path: Path) -> None:
    log, reader = opened(tmp_path), opened(tmp_path)
    fill(log, 5)
    before = [log.labelled(SPEC, ALL, NOW), log.rows(SPEC, ALL, ["amount"])]
    profile = log.profile(SPEC, ALL)
    assert reader.rows(SPEC, ALL).num_rows == 15
    assert log.tidy(NOW) == 10
    for one in (log, reader, opened(tmp_path)):
        assert one.labelled(SPEC, ALL, NOW).equals(before[0])
        assert one.rows(SPEC, ALL, ["amount"]).equals(before[1])
        assert one.profile(SPEC, ALL) == profile
        assert (
            one.append(SPEC, predictions(["2-0", "2-1", "2-2"], T0 + 14 * HOUR / 60)).duplicates
            == 3
        )
    assert len(files(tmp_path)) == 6, "what was merged is kept for those who read it"
    later = NOW + timedelta(hours=1)
    assert log.tidy(later) == 0
    assert len(files(tmp_path)) == len(files(tmp_path, "labels")) == 1
    assert log.status().files == 2


def test_files_of_other_columns_stay_apart(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 2)
    columns = (*SPEC.schema.columns, Column("age", ColumnKind.NUMERIC))
    newer = replace(SPEC, schema=Schema(columns))
    for name in "xy":
        log.append(newer, predictions([name], T0 + 2 * HOUR))
        log.roll(NOW)
    assert log.tidy(NOW) == 6
    assert log.tidy(NOW) == 0
    assert log.rows(newer, ALL).num_rows == 8
    assert log.status().files == 3


def test_a_damaged_file_is_left_alone_and_told(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 3)
    files(tmp_path)[1].write_bytes(b"junk")
    with pytest.raises(StorageError, match="cannot be read"):
        opened(tmp_path).tidy(NOW)
    assert len(files(tmp_path)) == 3


def test_of_a_day_that_goes_on_files_of_one_size_are_merged(tmp_path: Path) -> None:
    clock = SimulatedClock(T0 + 5 * HOUR)
    records = open_records(tmp_path, clock)
    log = FilePredictionLog(tmp_path / "log", records)
    fill(log, 7)
    assert log.tidy(clock.now()) == 0
    fill(log, 9)
    assert log.tidy(clock.now()) == 9
    assert log.status().files == 1
    assert min(texts(log.rows(SPEC, ALL), "prediction_id")) == "0-0"


def test_a_damaged_file_keeps_nothing_else_from_its_order(tmp_path: Path) -> None:
    log = opened(tmp_path)
    other = replace(SPEC, name="other")
    for number in range(2):
        for spec in (SPEC, other):
            log.append(spec, predictions([f"{number}"], T0))
            log.append(spec, predictions([f"{number} late"], T0 + 24 * HOUR))
        log.roll(NOW)
    for spec in (SPEC, other):
        log.append_labels(spec, labels(["0"], 1.0, T0 + 30 * HOUR))
    damaged = files(tmp_path)[0]
    for path in (damaged, damaged.with_suffix(".keys")):
        path.write_bytes(bytes(path.stat().st_size))
    log.close()
    log = opened(tmp_path)
    with pytest.raises(StorageError, match="cannot be read"):
        log.tidy(NOW)
    assert log.status().files == 5
    with pytest.raises(StorageError, match="cannot be read"):
        log.roll(NOW)
    assert list((tmp_path / "log" / "landing").iterdir()) == []
    days = [path.parent.name for path in files(tmp_path, "labels")]
    assert sorted(days) == ["day=2024-01-01", "day=recent", "day=recent"]


def test_no_merge_is_of_more_rows_than_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeostat.adapters.predlog.compact.LARGEST", 20)
    log = opened(tmp_path)
    fill(log, 10)
    before = log.labelled(SPEC, ALL, NOW)
    log.tidy(NOW)
    merged = [pq.read_metadata(path).num_rows for path in files(tmp_path)]
    assert sorted(merged)[-2:] == [12, 18], "those that they replace are deleted later"
    assert log.labelled(SPEC, ALL, NOW).equals(before)
