"""Rows spread over time: as many as are wanted, of all times, with labels that are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.columns import micros
from homeostat.domain.model import Audit, LabelSpec, ModelSpec, ModelVersion
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.samples import (
    EFFORT,
    Source,
    count_labels,
    newest_label,
    thinned,
    trained_until,
)
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry
from simulation.world import DAY, MODEL, SPEC, START
from unit.engine.test_estimates import fill

NOW = START + 12 * DAY
DAYS = [Window(NOW - n * DAY, NOW - (n - 1) * DAY) for n in range(1, 13)]


@dataclass
class Counting(MemoryLog):
    """A log that knows how many rows were read."""

    read: list[int] = field(default_factory=list)

    def labelled(
        self, spec: ModelSpec, window: Window, as_of: datetime, columns: Sequence[str] | None = None
    ) -> pa.Table:
        found = super().labelled(spec, window, as_of, columns)
        self.read.append(found.num_rows)
        return found


def log_of(n: int, spec: ModelSpec = SPEC, **fields: object) -> Counting:
    log = Counting(SimulatedClock(NOW))
    for day in range(12):
        fill(log, START + day * DAY, n, spec, **fields)
    return log


def spread(
    log: MemoryLog,
    wanted: int,
    spec: ModelSpec = SPEC,
    windows: list[Window] = DAYS,
    **fields: object,
) -> pa.Table:
    source = Source(log, spec, "1", NOW, **fields)  # type: ignore[arg-type]
    return source.spread(windows, wanted, np.random.default_rng(0))


def day_counts(rows: pa.Table) -> dict[int, int]:
    days = (micros(rows, "timestamp") - (START - EPOCH) // timedelta(microseconds=1)) // (
        DAY // timedelta(microseconds=1)
    )
    return dict(zip(*(part.tolist() for part in np.unique(days, return_counts=True)), strict=True))


def test_few_rows_are_all_read() -> None:
    log = log_of(20)
    rows = spread(log, 1000)
    assert rows.num_rows == 240
    assert count_labels(rows) == 221, "of the last day only the first row is old enough"
    assert micros(rows, "timestamp").tolist() == sorted(micros(rows, "timestamp").tolist())


def test_of_many_rows_some_of_each_day_are_read() -> None:
    log = log_of(2000)
    rows = spread(log, 480)
    counts = day_counts(rows.filter(~np.asarray(rows["label"].is_null())))
    assert set(counts) >= set(range(3, 11)), "reading began with the newest day"
    assert max(counts.values()) < 200
    assert 400 <= count_labels(rows) <= 1000
    assert sum(log.read) < 3000
    morning = np.mean(micros(rows, "timestamp") // 3_600_000_000 % 24 < 12)
    assert 0.2 < morning < 0.8


def test_reading_stops_where_labels_or_the_version_are_rare() -> None:
    log = log_of(1000, version=["2"] * 1000)
    assert spread(log, 100).num_rows == 0
    assert sum(log.read) <= 2 * EFFORT * 100


def test_rows_of_faults_other_versions_and_fallbacks_are_left_out() -> None:
    log = log_of(20, version=["1", "2"] * 10, tier=["model"] * 10 + ["rules"] * 10)
    assert spread(log, 1000).num_rows == 12 * 5
    fault = Window(START, START + 6 * DAY)
    assert spread(log, 1000, excluded=(fault,)).num_rows == 6 * 5


def test_labels_count_in_the_earliest_cohort_and_from_its_age() -> None:
    spec = replace(SPEC, labels=LabelSpec(30 * DAY, Audit("audited", DAY)))
    flags = [True, False, None, False] * 5
    log = log_of(20, spec, audited=flags)
    rows = spread(log, 1000, spec)
    assert rows.num_rows == 240
    assert count_labels(rows) == 11 * 5 + 1
    late = replace(SPEC, labels=LabelSpec(5 * DAY))
    assert count_labels(spread(log_of(20, late), 1000, late)) == 7 * 20 + 1


def test_when_the_newest_label_was_complete() -> None:
    log = log_of(20)
    rows = spread(log, 1000)
    newest = newest_label(rows, SPEC)
    assert newest is not None
    assert NOW - DAY / 8 < newest <= NOW
    assert newest_label(rows.slice(rows.num_rows - 5), SPEC) is None


def test_without_windows_there_are_no_rows() -> None:
    assert spread(log_of(5), 10, windows=[]).num_rows == 0


@pytest.mark.parametrize(("most", "left"), [(50, 69), (20, 39), (1000, 240)])
def test_rows_are_thinned_evenly(most: int, left: int) -> None:
    rows = spread(log_of(20), 1000)
    few = thinned(rows, most)
    assert few.num_rows == left
    assert micros(few, "timestamp")[0] == micros(rows, "timestamp")[0]
    assert micros(few, "timestamp")[-1] == micros(rows, "timestamp")[-1]


def test_the_end_of_training_if_it_is_known(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    (tmp_path / "a").write_text("1")
    registry.register(
        ModelVersion(MODEL, "1", "linear", "", START, trained_until=START), tmp_path / "a"
    )
    assert trained_until(registry, MODEL, "1") == START
    assert trained_until(registry, MODEL, "9") is None
