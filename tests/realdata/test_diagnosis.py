"""Diagnosis on real data: February 2019 is changed meaning, the census years are nothing."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lightgbm import LGBMClassifier

import homeostat as hs
from homeostat.domain.decision import Cause

pytestmark = pytest.mark.realdata

DATA = Path(os.environ.get("HOMEOSTAT_DATA", Path(__file__).parents[3] / "shared" / "data"))
STILL = ("trip_distance", "rate_code_id", "fare_amount", "pickup_location_id", "hour", "minutes")
ALL = (*STILL, "vendor_id", "passenger_count", "extra", "tolls_amount")
CARD = 1.0


@pytest.fixture(scope="module")
def trips() -> pa.Table:
    table = pq.read_table(DATA / "nyc_taxi_dev.parquet").sort_by("timestamp")
    paid = pc.and_(pc.equal(table["payment_type"], CARD), pc.greater(table["fare_amount"], 0.0))
    table = table.filter(paid)
    start, end = (table[name].cast(pa.timestamp("us")) for name in ("timestamp", "label_timestamp"))
    micros = pc.subtract(end.cast(pa.int64()), start.cast(pa.int64()))
    columns = {
        "minutes": pc.divide(micros.cast(pa.float64()), 6e7),
        "hour": pc.hour(start),
        "generous": pc.greater_equal(table["tip_amount"], pc.multiply(table["fare_amount"], 0.25)),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    known = table.filter(pc.less(start, datetime(2018, 7, 1)))
    model = LGBMClassifier(n_estimators=100, num_leaves=15, verbose=-1, n_jobs=1, random_state=0)
    model.fit(matrix(known), known["generous"].to_numpy())
    booster = model.booster_
    return table.append_column("score", pa.array(booster.predict(matrix(table))))


def matrix(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[name].cast(pa.float64()).to_numpy() for name in ALL])


def between(table: pa.Table, start: datetime, end: datetime) -> pa.Table:
    times = table["timestamp"].cast(pa.timestamp("us"))
    return table.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))


def spec(features: tuple[str, ...]) -> hs.PredictionSpec:
    return hs.PredictionSpec("binary", label="generous", timestamp="timestamp", features=features)


@pytest.mark.parametrize("features", [STILL, ALL], ids=["still", "all"])
@pytest.mark.parametrize("days", [3, 7])
def test_the_surcharge_is_changed_meaning_within_a_week(
    trips: pa.Table, features: tuple[str, ...], days: int
) -> None:
    reference = between(trips, datetime(2018, 7, 1), datetime(2019, 1, 1))
    start = datetime(2019, 2, 2)
    found = hs.diagnose(
        reference, between(trips, start, start + timedelta(days=days)), spec(features)
    )
    assert found.cause is Cause.CONCEPT_DRIFT, found
    assert found.harmful
    assert found.loss is not None
    assert found.loss["concept"].amount > 0.8 * found.loss.total.amount
    assert (Cause.DATA_FAULT in found.causes) == (features is ALL)
    # No passenger in one of seven trips is broken data, and nothing is trained on these.
    assert found.retrain == (features is STILL)


def test_the_onset_of_the_surcharge_is_told(trips: pa.Table) -> None:
    reference = between(trips, datetime(2018, 7, 1), datetime(2019, 1, 1))
    found = hs.diagnose(
        reference, between(trips, datetime(2019, 1, 20), datetime(2019, 2, 16)), spec(STILL)
    )
    assert found.cause is Cause.CONCEPT_DRIFT
    assert found.since is not None
    assert abs(found.since.replace(tzinfo=None) - datetime(2019, 2, 2)) < timedelta(days=2)


@pytest.mark.parametrize("month", [10, 11])
def test_autumn_asks_for_nothing(trips: pa.Table, month: int) -> None:
    reference = between(trips, datetime(2018, 7, 1), datetime(2018, 10, 1))
    found = hs.diagnose(
        reference,
        between(trips, datetime(2018, month, 1), datetime(2018, month + 1, 1)),
        spec(STILL),
    )
    assert not {Cause.CONCEPT_DRIFT, Cause.DATA_FAULT} & set(found.causes)
    assert not found.retrain


@pytest.mark.parametrize("year", [2016, 2017, 2018])
def test_the_census_years_differ_by_nothing_that_matters(year: int) -> None:
    table = pq.read_table(DATA / "ma_employment.parquet")
    left_out = {"prediction_id", "timestamp", "part", "file_row", "year"}
    kept = [name for name in table.column_names if name not in left_out]
    before, now = (table.filter(pc.equal(table["year"], y)).select(kept) for y in (2015, year))
    found = hs.diagnose(before, now, hs.PredictionSpec("binary"))
    assert found.cause is Cause.NONE, found
