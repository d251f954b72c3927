"""Rows in pieces of bounded size: all of them, once, in order."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.export import page, pieces
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.record import OUTCOME_SCHEMA
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

SECOND = timedelta(seconds=1)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilePredictionLog:
    monkeypatch.setattr("homeostat.adapters.predlog.parquet.ROW_GROUP", 100)
    monkeypatch.setattr("homeostat.adapters.predlog.reading.ROW_GROUP", 100)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    log = FilePredictionLog(tmp_path / "log", records)
    for day in range(3):
        ids = [f"{day} {i}" for i in range(250)]
        log.append(SPEC, predictions(ids, T0 + day * 24 * HOUR, step=SECOND))
        log.append_labels(SPEC, labels(ids, float(day % 2), T0 + 80 * HOUR))
        log.roll(NOW)
    log.append(SPEC, predictions(["landed"], T0 + HOUR))
    return log


def test_pieces_are_the_whole_window_in_order(log: FilePredictionLog) -> None:
    for as_of in (None, NOW, T0):
        whole = log.rows(SPEC, ALL) if as_of is None else log.labelled(SPEC, ALL, as_of)
        found = list(pieces(log, SPEC, ALL, as_of))
        assert pa.concat_tables(found).equals(whole)
        assert max(map(len, found)) < 250
        assert len(found) > 6
    part = Window(T0 + 10 * SECOND, T0 + 60 * SECOND)
    assert [len(piece) for piece in pieces(log, SPEC, part, None)] == [50]


def test_pages_are_bounded_and_lead_from_one_to_the_next(log: FilePredictionLog) -> None:
    found, start = list[pa.Table](), T0
    while True:
        got = page(log, SPEC, Window(start, NOW), None, 60)
        found.append(got.rows)
        assert 0 < len(got.rows) <= 60 or got.next is None
        if got.next is None:
            break
        assert got.next > start
        start = got.next
    assert pa.concat_tables(found).equals(log.rows(SPEC, ALL))
    assert all(a.schema == b.schema for a, b in pairwise(found))


def test_rows_of_one_moment_stay_together(log: FilePredictionLog) -> None:
    at = T0 + 200 * HOUR
    log.append(SPEC, predictions([f"same {i}" for i in range(7)], at, step=0 * SECOND))
    log.append(SPEC, predictions(["next"], at + SECOND))
    first = page(log, SPEC, Window(at, NOW), None, 3)
    assert (len(first.rows), first.next) == (7, at + SECOND)
    assert texts(page(log, SPEC, Window(at + SECOND, NOW), None, 3).rows, "prediction_id") == [
        "next"
    ]
    alone = page(log, SPEC, Window(at, at + SECOND), None, 3)
    assert (len(alone.rows), alone.next) == (7, None)


def test_an_empty_window_is_one_empty_page(log: FilePredictionLog) -> None:
    got = page(log, SPEC, Window(T0 + 500 * HOUR, NOW), NOW, 3)
    assert (got.rows.num_rows, got.next) == (0, None)
    assert "label" in got.rows.column_names
    assert [len(p) for p in pieces(log, SPEC, Window(T0 + 500 * HOUR, NOW), None)] == [0]


def test_outcomes_come_with_labels(log: FilePredictionLog) -> None:
    spec = replace(SPEC, outcomes=("lost",))
    row = {"prediction_id": "0 0", "label": 2.5, "outcome": "lost", "arrival": T0}
    log.append_labels(spec, pa.Table.from_pylist([row], schema=OUTCOME_SCHEMA))
    first = page(log, spec, ALL, NOW, 2).rows
    assert first.column("lost").to_pylist() == [2.5, None]
    assert first.column("label").to_pylist() == [0.0, 0.0]
