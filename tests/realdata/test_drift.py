"""Drift on real data: silence where nothing matters, February 2019 as what it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from homeostat.detectors.drift.detector import DriftConfig, DriftState, evaluate, fit
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window, closed_windows
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

pytestmark = pytest.mark.realdata

DATA = Path(os.environ.get("HOMEOSTAT_DATA", Path(__file__).parents[3] / "shared" / "data"))
DAY = timedelta(days=1)
NUMERIC, CATEGORICAL = ColumnKind.NUMERIC, ColumnKind.CATEGORICAL
CENSUS_LEFT_OUT = {"prediction_id", "timestamp", "year", "part", "file_row"}
TRIPS = {
    "vendor_id": CATEGORICAL,
    "rate_code_id": CATEGORICAL,
    "payment_type": CATEGORICAL,
    "store_and_fwd_flag": CATEGORICAL,
    "passenger_count": NUMERIC,
    "trip_distance": NUMERIC,
    "fare_amount": NUMERIC,
    "extra": NUMERIC,
    "tip_amount": NUMERIC,
    "minutes": NUMERIC,
}


def day(year: int, month: int, number: int = 1) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


def windows(
    table: pa.Table, kinds: Mapping[str, ColumnKind], span: Window, step: timedelta
) -> list[tuple[Window, Profile]]:
    texts = [name for name, kind in kinds.items() if kind is CATEGORICAL]
    columns = {
        name: table[name].cast(pa.string()) if name in texts else table[name]
        for name in (*kinds, "timestamp")
    }
    table = pa.table(columns).sort_by("timestamp")
    moments = table["timestamp"].cast(pa.timestamp("us")).to_numpy()
    found = []
    for window in closed_windows(span.start, span.end, step):
        ends = [np.datetime64(t.replace(tzinfo=None), "us") for t in (window.start, window.end)]
        low, high = np.searchsorted(moments, ends)
        if high > low:
            found.append((window, profile_table(table.slice(low, high - low), kinds, pairs=True)))
    return found


def drifts(
    seen: list[tuple[Window, Profile]], names: list[str], since: datetime, step: timedelta
) -> dict[str, list[datetime]]:
    """Return the windows in which each subject is called drifted."""
    config = DriftConfig(every=step)
    reference = fit([item for item in seen if item[0].end <= since], names, config)
    state, found = DriftState(), dict[str, list[datetime]]()
    for window, profile in seen:
        if window.start < since:
            continue
        state, verdicts = evaluate(reference, state, "m", window, profile, config)
        for verdict in verdicts:
            if verdict.status is Status.DRIFT and verdict.subject:
                found.setdefault(verdict.subject, []).append(window.start)
    return found


@pytest.fixture(scope="module")
def census() -> pa.Table:
    return pq.read_table(DATA / "ma_employment.parquet")


@pytest.fixture(scope="module")
def trips() -> pa.Table:
    table = pq.read_table(DATA / "nyc_taxi_dev.parquet")
    start, end = (
        table[name].cast(pa.timestamp("us")).cast(pa.int64())
        for name in ("timestamp", "label_timestamp")
    )
    minutes = pc.divide(pc.subtract(end, start).cast(pa.float64()), 6e7)
    return table.append_column("minutes", minutes)


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_census_years_raise_no_alarm(census: pa.Table, days: int) -> None:
    names = [name for name in census.column_names if name not in CENSUS_LEFT_OUT]
    kinds = {name: NUMERIC if name in {"AGEP", "score"} else CATEGORICAL for name in names}
    step = timedelta(days=days)
    seen = windows(census, kinds, Window(day(2015, 1), day(2019, 1)), step)
    assert drifts(seen, names, day(2016, 1), step) == {}


def test_no_census_year_differs_from_the_first_by_what_matters(census: pa.Table) -> None:
    kept = [name for name in census.column_names if name not in CENSUS_LEFT_OUT]
    years = {
        year: census.filter(pc.equal(census["year"], year)).select(kept)
        for year in (2015, 2016, 2017, 2018)
    }
    found = {year: hs.compare(years[2015], years[year]).drifted for year in (2016, 2017, 2018)}
    assert found == {2016: [], 2017: [], 2018: []}


def test_the_taxi_surcharge_is_found_when_it_came_and_autumn_is_silent(trips: pa.Table) -> None:
    step = 7 * DAY
    seen = windows(trips, TRIPS, Window(day(2018, 1), day(2019, 7)), step)
    found = drifts(seen, list(TRIPS), day(2018, 7), step)
    before = {name: [t for t in at if t < day(2019, 1, 15)] for name, at in found.items()}
    assert not any(before.values())
    february = {
        name
        for name, at in found.items()
        if any(day(2019, 1, 29) <= t < day(2019, 2, 28) for t in at)
    }
    assert {"passenger_count", "extra", "tip_amount"} <= february
    # That month only.
    assert max(found["passenger_count"]) < day(2019, 3, 7)
    # What stayed as it was.
    assert not {"trip_distance", "minutes", "rate_code_id", "store_and_fwd_flag"} & set(found)
