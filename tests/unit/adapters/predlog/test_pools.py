"""More versions in an hour than are told apart: counted together, still read one by one."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.pools import MOST_VERSIONS
from homeostat.adapters.predlog.verify import verify
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.window import Window
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, predictions

BY_LAND = replace(SPEC, segments=("country",))
DAY = Window(T0, T0 + timedelta(days=1))


def versions(names: list[str], prefix: str, at: timedelta = timedelta(0)) -> pa.Table:
    rows = predictions([f"{prefix}{i}" for i in range(len(names))], T0 + at, step=timedelta(0))
    return rows.set_column(rows.column_names.index("version"), "version", pa.array(names))


@pytest.mark.usefixtures("both")
def test_an_hour_has_so_many_profiles_whatever_the_versions(tmp_path: Path) -> None:
    log = FilePredictionLog(tmp_path / "log", open_records(tmp_path))
    log.append(BY_LAND, versions([f"v{i:03}" for i in range(60)], "a"))
    log.roll(NOW)
    log.append(BY_LAND, versions([f"w{i:03}" for i in range(300)] + ["v000", "v000"], "b"))
    log.append(BY_LAND, versions(["w299"], "next", HOUR))
    log.roll(NOW)
    log.append(BY_LAND, versions(["w000", "w299", "w299", "new", "v001"], "c"))
    counts = {"v000": 3, "v001": 2, "w000": 2, "w299": 4, "new": 1, "w150": 1, "none": 0}
    for _ in range(2):
        for version, rows in counts.items():
            assert log.profile(BY_LAND, DAY, version).rows == rows, version
            assert log.profile(BY_LAND, DAY, version, "country=DE").rows == rows, version
        assert log.profile(BY_LAND, DAY).rows == log.profile(BY_LAND, ALL).rows == 368
        assert log.profile(BY_LAND, DAY, segment="country=DE").rows == 368
        log.roll(NOW)
    assert verify(log.upkeep).problems == ()
    with log.upkeep.catalogue.database.read() as connection:
        for table in (log_profiles, log_segment_profiles):
            count = sa.select(sa.func.count()).select_from(table)
            assert connection.execute(count).scalar_one() == MOST_VERSIONS + 2
