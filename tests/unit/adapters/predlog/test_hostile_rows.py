"""Rows that would be refused today, and keys made of data: nothing of them stops the log."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.catalogue import Catalogue, Change
from homeostat.adapters.predlog.frames import Kind, pack
from homeostat.adapters.predlog.roll import described_schema
from homeostat.adapters.predlog.verify import verify
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.record import prediction_schema
from homeostat.domain.segments import groups
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import EPOCH, Window
from homeostat.profiles.build import profile_table
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, predictions

pytestmark = pytest.mark.usefixtures("both")

BY_LAND = replace(SPEC, segments=("country",))
LONG = np.random.default_rng(1).bytes(7_500).hex()
"""A text that no compression makes short enough for an index."""
VERSIONS = ("1\0", LONG, LONG + "!", "2")


def opened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder))


def made(versions: Sequence[str] = ("1",), lands: Sequence[str] = ("DE",)) -> pa.Table:
    count = max(len(versions), len(lands))
    rows = predictions([f"p{i}" for i in range(count)], T0, step=timedelta(0))
    for name, values in (("version", versions), ("country", lands)):
        filled = list(values) * (count if len(values) == 1 else 1)
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(filled))
    return rows


def land(folder: Path, rows: pa.Table) -> FilePredictionLog:
    """Open a log in which rows have landed that were taken before there was a check."""
    log = opened(folder)
    table = rows.cast(prediction_schema(BY_LAND))
    table = table.replace_schema_metadata(described_schema(BY_LAND).metadata)
    segment = folder / "log" / "landing" / "00000000000000000001-00000000.seg"
    segment.write_bytes(pack(Kind.PREDICTIONS, SPEC.name, table))
    return log


def test_versions_of_any_length_are_rolled(tmp_path: Path) -> None:
    log = land(tmp_path, made(VERSIONS))
    assert log.roll(NOW) == len(VERSIONS)
    for version in VERSIONS:
        assert log.profile(BY_LAND, ALL, version).rows == 1
        assert log.profile(BY_LAND, ALL, version, "country=DE").rows == 1
    assert verify(log.upkeep).problems == ()


def test_values_of_segments_of_any_length_are_rolled(tmp_path: Path) -> None:
    lands = (LONG, LONG + "!", "D\0E", "DE")
    log = opened(tmp_path)
    assert log.append(BY_LAND, made(lands=lands)).accepted == len(lands)
    assert log.roll(NOW) == len(lands)
    rows = log.rows(BY_LAND, ALL)
    names = [name for name, _ in groups(rows, ["country"])]
    assert len(set(names)) == len(lands)
    for name in names:
        assert log.profile(BY_LAND, ALL, segment=name).rows == 1


def test_figures_of_any_segment_and_version_are_kept(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    point = MetricPoint("m", LONG, "auc", Window(T0, NOW), 0.9, 0.8, 1.0, 9, 1.0, "matured", LONG)
    with records.begin() as unit:
        unit.measure(point, replace(point, version="1\0", segment="a\0"))
    assert records.metrics("m", "auc", segment=LONG) == (point,)
    assert records.metrics("m", "auc", segment="a\0") != ()


def test_a_profile_that_cannot_be_stored_holds_no_others_up(tmp_path: Path) -> None:
    catalogue = Catalogue(open_records(tmp_path).database)
    profile = profile_table(made(), {}, ())
    hour = (T0 - EPOCH) // timedelta(microseconds=1)
    bad, good = ("bad\0model", "1", hour), ("good", "1", hour)
    segments = {(*good[:2], '["country"]', "country=DE", hour): profile}
    catalogue.register(
        Change(profiles={bad: profile, good: profile}, segment_profiles=segments), NOW
    )
    with catalogue.database.read() as connection:
        stored = connection.execute(sa.select(log_profiles.c.model)).scalars().all()
        assert "good" in stored
        assert len(connection.execute(sa.select(log_segment_profiles)).all()) == 1
