"""A flipped bit in a stored profile is found, stops no roll, and is mended from the rows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.repair import repair
from homeostat.adapters.predlog.verify import Trouble, verify
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.errors import StorageError
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, predictions

pytestmark = pytest.mark.usefixtures("both")

BY_LAND = replace(SPEC, segments=("country",))
TABLES = {"hour": (log_profiles, "profile"), "segment": (log_segment_profiles, "packed")}


def rolled(folder: Path) -> FilePredictionLog:
    log = FilePredictionLog(folder / "log", open_records(folder))
    sent = predictions([f"id {i}" for i in range(20)], T0, step=timedelta(minutes=10))
    versions = pa.array([str(i % 2) for i in range(20)])
    log.append(BY_LAND, sent.set_column(sent.column_names.index("version"), "version", versions))
    log.roll(NOW)
    return log


def spoil(log: FilePredictionLog, table: sa.Table, column: str, version: str = "1") -> None:
    """Flip a bit in the middle of the first profile of a version."""
    with log.upkeep.catalogue.database.write() as connection:
        where = table.c.version == version
        row = connection.execute(sa.select(table).where(where).order_by(table.c.hour)).first()
        assert row is not None
        blob = bytearray(getattr(row, column))
        blob[len(blob) // 2] ^= 16
        same = where & (table.c.hour == row.hour)
        connection.execute(sa.update(table).where(same).values({column: bytes(blob)}))


@pytest.mark.parametrize("damaged", TABLES)
def test_a_damaged_profile_is_found_and_made_anew(tmp_path: Path, damaged: str) -> None:
    log = rolled(tmp_path)
    segment = "country=DE"
    expected = [log.profile(BY_LAND, ALL), log.profile(BY_LAND, ALL, "1", segment)]
    spoil(log, *TABLES[damaged])
    (found,) = verify(log.upkeep).problems
    assert found.trouble is Trouble.PROFILE
    assert found.path == "fraud / model 1 2024-01-01 00:00"
    with pytest.raises(StorageError, match="homeostat data repair"):
        erase(log, BY_LAND, Target(False, ("id 0",)), "test", NOW, tmp_path / "log")
    done = repair(log.upkeep, "test", NOW)
    assert [one.text for one in done.mended] == ["the profile was made anew of 3 rows"]
    assert done.left.problems == ()
    assert [log.profile(BY_LAND, ALL), log.profile(BY_LAND, ALL, "1", segment)] == expected


@pytest.mark.parametrize("damaged", TABLES)
def test_a_damaged_profile_stops_no_roll(tmp_path: Path, damaged: str) -> None:
    log = rolled(tmp_path)
    spoil(log, *TABLES[damaged])
    log.append(BY_LAND, predictions(["more"], T0))
    assert log.roll(NOW) == 1
    repair(log.upkeep, "test", NOW)
    assert log.profile(BY_LAND, ALL, "1", "country=DE").rows == 11


def test_a_damaged_profile_of_versions_counted_together_is_made_anew(tmp_path: Path) -> None:
    log = rolled(tmp_path)
    one = FilePredictionLog(tmp_path / "log", open_records(tmp_path))
    many = predictions([f"many {i}" for i in range(130)], T0, step=timedelta(0))
    names = pa.array([f"v{i}" for i in range(130)])
    one.append(BY_LAND, many.set_column(many.column_names.index("version"), "version", names))
    one.roll(NOW)
    before = log.profile(BY_LAND, ALL)
    spoil(log, log_profiles, "profile", "")
    assert [p.trouble for p in verify(log.upkeep).problems] == [Trouble.PROFILE]
    assert repair(log.upkeep, "test", NOW).left.problems == ()
    assert log.profile(BY_LAND, ALL) == before
