"""Stored profiles of hours and segments: merged, never guessed, and late rows are counted."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.hours import MOST_SEGMENTS
from homeostat.adapters.records.tables import log_profiles
from homeostat.domain.errors import StorageError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, predictions

pytestmark = pytest.mark.usefixtures("both")

BY_LAND = replace(SPEC, segments=("country",))
DAY = Window(T0, T0 + timedelta(days=1))


def lands(names: list[str], prefix: str = "", at: timedelta = timedelta(0)) -> pa.Table:
    rows = predictions([f"{prefix}{i}" for i in range(len(names))], T0 + at, step=timedelta(0))
    return rows.set_column(rows.column_names.index("country"), "country", pa.array(names))


def opened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder))


def drop_files(folder: Path) -> None:
    for path in (folder / "log" / "predictions").rglob("*.parquet"):
        path.unlink()


def test_whole_hours_need_no_rows(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(3):
        log.append(BY_LAND, lands(["DE", "FR", "DE"], f"{number}-", number * HOUR))
        log.append(BY_LAND, lands(["DE"], f"{number}+", number * HOUR))
        log.roll(NOW)
    drop_files(tmp_path)
    for reader in (log, opened(tmp_path)):
        assert reader.profile(BY_LAND, DAY, segment="country=DE").rows == 9
        assert reader.profile(BY_LAND, DAY, "1", "country=FR").rows == 3
        assert reader.profile(BY_LAND, DAY, segment="country=IT").rows == 0


def test_hours_from_before_the_model_had_segments_are_read(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, lands(["DE", "FR"]))
    log.roll(NOW)
    log.append(BY_LAND, lands(["DE"], "later "))
    log.append(BY_LAND, lands(["FR"], "next ", HOUR))
    log.roll(NOW)
    assert log.profile(BY_LAND, DAY, segment="country=DE").rows == 2
    assert log.profile(BY_LAND, DAY, segment="country=FR").rows == 2
    drop_files(tmp_path)
    with pytest.raises(StorageError):
        opened(tmp_path).profile(BY_LAND, DAY, segment="country=FR")
    after = Window(T0 + HOUR, DAY.end)
    assert opened(tmp_path).profile(BY_LAND, after, segment="country=FR").rows == 1


def test_more_segments_than_are_told_apart_are_read(tmp_path: Path) -> None:
    """Also if they come in several rolls, and those that have a profile go on."""
    log = opened(tmp_path)
    many = [f"land {i:03}" for i in range(MOST_SEGMENTS - 1)]
    log.append(BY_LAND, lands(many, "a"))
    log.roll(NOW)
    log.append(BY_LAND, lands([f"new {i:03}" for i in range(30)] + many[:2], "b"))
    log.roll(NOW)
    log.append(BY_LAND, lands(["new 029", "new 000", "land 000", "other", "odd"], "c"))
    log.roll(NOW)
    log.append(BY_LAND, lands([f"crowd {i}" for i in range(2 * MOST_SEGMENTS)], "d", HOUR))
    log.roll(NOW)
    expected = {"land 000": 3, "land 001": 2, "land 050": 1, "new 000": 2, "new 029": 2}
    expected |= {"other": 1, "odd": 1, "crowd 0": 1, "crowd 199": 1, "none": 0}
    found = {n: log.profile(BY_LAND, DAY, segment=f"country={n}").rows for n in expected}
    assert found == expected


def test_a_personal_column_names_no_stored_segment(tmp_path: Path) -> None:
    columns = (
        Column("amount", ColumnKind.NUMERIC),
        Column("country", ColumnKind.CATEGORICAL, personal=True),
    )
    spec = replace(BY_LAND, schema=Schema(columns))
    log = opened(tmp_path)
    log.append(spec, lands(["Ada Lovelace"]))
    log.roll(NOW)
    assert log.profile(spec, DAY, segment="country=Ada Lovelace").rows == 1
    drop_files(tmp_path)
    with pytest.raises(StorageError):
        opened(tmp_path).profile(spec, DAY, segment="country=Ada Lovelace")


def test_late_rows_update_their_hours_and_are_counted(tmp_path: Path) -> None:
    clock = SimulatedClock(NOW)
    log = FilePredictionLog(tmp_path / "log", open_records(tmp_path, clock))
    log.append(BY_LAND, lands(["DE", "FR"]))
    log.roll(T0 + HOUR + timedelta(minutes=59))
    assert log.late(ALL) == 0, "an hour is rolled for a while after its end"
    log.append(BY_LAND, lands(["DE"], "late "))
    assert log.profile(BY_LAND, DAY, segment="country=DE").rows == 2
    log.roll(T0 + 2 * HOUR)
    assert log.profile(BY_LAND, DAY, segment="country=DE").rows == 2
    assert log.profile(BY_LAND, DAY).rows == 3
    log.append(BY_LAND, lands(["FR", "FR"], "later "))
    log.roll(NOW)
    assert log.late(ALL) == log.late(DAY, SPEC.name) == 3
    assert log.late(Window(T0 + HOUR, NOW)) == log.late(ALL, "other") == 0


def test_hours_from_before_their_rows_were_kept_are_counted(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(BY_LAND, lands(["DE", "FR"]))
    log.append(BY_LAND, lands(["DE"], "next ", HOUR))
    log.roll(NOW)
    window = Window(T0, T0 + 2 * HOUR)
    with open_records(tmp_path).database.write() as connection:
        connection.execute(sa.update(log_profiles).values(rows=None))
    assert log.counts(BY_LAND, window) == (2, 1)
    log.append(BY_LAND, lands(["FR"], "more "))
    log.roll(NOW)
    assert log.counts(BY_LAND, window) == (3, 1)
    drop_files(tmp_path)
    assert opened(tmp_path).profile(BY_LAND, window, segment="country=DE").rows == 2
