"""The prediction log and files worked on by the real Spark, against this process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from deployed import MONDAY, deploy, opened
from homeostat.adapters.predlog.shares import logged_rows
from homeostat.adapters.profilers.backfill import backfill_log
from homeostat.adapters.profilers.engine import Pool
from homeostat.adapters.profilers.parts import encode
from homeostat.adapters.profilers.performance import Logged, Performance
from homeostat.adapters.profilers.spark import SparkEngine
from homeostat.adapters.records.codec import to_micros
from homeostat.domain.window import Window
from homeostat.entrypoints.logged import LogWindow
from homeostat.entrypoints.settings import load
from homeostat.profiles.format import to_bytes
from sparks import started

DAY = timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    few = {"spark.master": "local[1]", "spark.sql.shuffle.partitions": "1"}
    with started(tmp_path_factory.mktemp("spark"), **few):
        yield


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> LogWindow:
    # Spark takes brackets and spaces in a path for a pattern and an address.
    folder = tmp_path_factory.mktemp("deployed") / "a [log] 100%"
    folder.mkdir()
    start = MONDAY + timedelta(hours=5)
    end = MONDAY + timedelta(days=2, hours=20, minutes=30)
    return LogWindow("fraud", Window(start, end), config=deploy(folder, 120))


def test_tallies_of_the_log_have_the_bytes_of_those_of_one_process(window: LogWindow) -> None:
    """With labels that came late, twice, corrected, after midnight, or have only landed."""
    settings = load(window.config)
    log, records = opened(settings)
    read = Logged(settings.model().spec())
    as_of = MONDAY + timedelta(days=2, hours=6)
    rows = logged_rows(log, read.spec, window.window, read.columns, as_of=to_micros(as_of))
    assert {file.day for file in rows.labels} >= {"2026-10-05", "2026-10-06"}
    assert rows.landed
    assert rows.landed_labels
    work = Performance(read, DAY, timedelta(hours=8), as_of)
    mine, theirs = SparkEngine().logged(rows, work), Pool().logged(rows, work)
    assert {cell: encode(part) for cell, part in mine.items()} == {
        cell: encode(part) for cell, part in theirs.items()
    }
    log.close()
    records.close()


def test_files_are_evaluated_as_in_one_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(900).round(3)
    table = pa.table(
        {
            "p.fraud": scores,
            "fraud": np.where(rng.random(900) < scores, "yes", "no"),
            "land": rng.choice(["DE", "FR"], 900),
        }
    )
    pq.write_table(table[:500], tmp_path / "a.parquet")
    pq.write_table(table[500:], tmp_path / "b.parquet")
    spec = hs.PredictionSpec(score="p.fraud", label="fraud", segments=("land",))
    mine, theirs = (hs.evaluate(tmp_path, spec, engine=engine) for engine in ("spark", "dask"))
    assert mine == theirs
    assert mine.confusion == hs.evaluate(tmp_path, spec).confusion


def test_hours_are_made_anew_by_spark(window: LogWindow) -> None:
    """Those from before the model had segments have them then, and others stay as they were."""
    settings = load(window.config)
    spec = settings.model().spec()
    log, records = opened(settings)
    whole = Window(MONDAY, MONDAY + timedelta(days=3))
    before = to_bytes(log.profile(spec, whole))
    done = backfill_log(log, spec, whole, SparkEngine())
    assert (done.left, done.changed) == (0, 0)
    assert done.segments > 0
    assert to_bytes(log.profile(spec, whole)) == before
    again = backfill_log(log, spec, whole, Pool())
    assert (again.hours, again.rows, again.segments) == (done.hours, done.rows, done.segments)
    log.close()
    records.close()
