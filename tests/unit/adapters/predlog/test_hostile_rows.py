"""Rows that would be refused today, and keys made of data: nothing of them stops the log."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from databases import open_records
from homeostat.adapters.backup import back_up
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.catalogue import Catalogue, Change
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.export import page, pieces
from homeostat.adapters.predlog.frames import Kind, pack
from homeostat.adapters.predlog.roll import described_schema
from homeostat.adapters.predlog.verify import verify
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.record import TIMESTAMP, prediction_schema
from homeostat.domain.segments import groups
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import EPOCH, Window
from homeostat.profiles.build import profile_table
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

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


def land(folder: Path, rows: pa.Table, kind: Kind = Kind.PREDICTIONS) -> FilePredictionLog:
    """Open a log in which rows have landed that were taken before there was a check."""
    log = opened(folder)
    if kind is Kind.PREDICTIONS:
        rows = rows.cast(prediction_schema(BY_LAND))
        rows = rows.replace_schema_metadata(described_schema(BY_LAND).metadata)
    segment = folder / "log" / "landing" / f"0000000000000000000{kind}-00000000.seg"
    segment.write_bytes(pack(kind, SPEC.name, rows))
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


ANCIENT = pa.scalar(-(2**62), pa.int64()).cast(TIMESTAMP)


def ancient(rows: pa.Table, name: str) -> pa.Table:
    """Return rows of which the first is of the year -144169."""
    times = rows.column(name).combine_chunks()
    mask = pa.array([True] + [False] * (len(rows) - 1))
    return rows.set_column(
        rows.column_names.index(name), rows.schema.field(name), pc.if_else(mask, ANCIENT, times)
    )


@pytest.mark.parametrize("rolled", [False, True], ids=["landed", "rolled"])
def test_stored_times_of_no_calendar_stop_nothing(tmp_path: Path, rolled: bool) -> None:
    log = land(tmp_path, ancient(made(VERSIONS), "timestamp"))
    known = ancient(labels(["p1", "p2"], 1.0, T0 + HOUR), "arrival")
    land(tmp_path, known, Kind.LABELS)
    if rolled:
        assert log.roll(NOW) == 6
        log = opened(tmp_path)
    rest = Window(EPOCH, NOW)
    assert log.labelled(BY_LAND, rest, NOW).column("label").to_pylist() == [1.0, 1.0, None]
    found = page(log, BY_LAND, rest, NOW, 2)
    assert len(found.rows) == 3, "all of one microsecond"
    assert sum(len(part) for part in pieces(log, BY_LAND, rest, NOW)) == 3
    log.retain(NOW)
    log.roll(NOW)
    log.tidy(NOW, eager=True)
    found_wrong = verify(log.upkeep).problems
    assert found_wrong == ()
    done = erase(log, BY_LAND, Target(False, ("p0", "p1")), "test", NOW, tmp_path / "log")
    assert done.complete
    back_up(open_records(tmp_path), log, tmp_path / "models", tmp_path / "backup", NOW)


def test_a_refused_row_of_no_calendar_is_kept(tmp_path: Path) -> None:
    log = opened(tmp_path)
    receipt = log.append(BY_LAND, ancient(made(("1", "2")), "timestamp"))
    assert [(one.row, one.column) for one in receipt.rejected] == [(0, "timestamp")]
    assert receipt.accepted == 1
    (kept,) = log.quarantined(SPEC.name)
    assert json.loads(kept.row)["timestamp"] == "-4611686018427387904 us since 1970"
