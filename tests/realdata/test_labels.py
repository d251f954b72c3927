"""Early answers on real bookings: cancellations are known early, kept bookings on departure."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.detectors.performance.arrival import as_seen, early_shares
from homeostat.domain.predictions import PredictionSpec, to_micros
from homeostat.entrypoints.predictions import read_predictions

pytestmark = pytest.mark.realdata

DATA = Path(os.environ.get("HOMEOSTAT_DATA", Path(__file__).parents[3] / "shared" / "data"))
SPEC = PredictionSpec(
    label="label",
    score="score",
    timestamp="timestamp",
    arrival="label_timestamp",
    features=("lead_time", "deposit_type"),
    maturity=timedelta(days=130),
)
MONTHS = [datetime(2015 + m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in range(13, 29)]


@pytest.mark.parametrize(
    ("by", "worst", "mean"),
    [
        pytest.param(("lead_time", "deposit_type"), 0.03, 0.015, id="lead time and deposit"),
        pytest.param(("lead_time",), 0.05, 0.02, id="lead time"),
    ],
)
def test_a_months_cancellations_are_told_at_its_end(
    by: tuple[str, ...], worst: float, mean: float
) -> None:
    """Walking forward: at each month's end only what was known then is looked at.

    Rooms paid in advance are cancelled late and by the dozen: who does not tell them apart is off
    where their share changes, in April 2016 by 0.045.
    """
    table = pq.read_table(DATA / "hotel_resort_dev.parquet")
    table = table.filter(table["complete_window_120d"])
    table = table.append_column("score", pa.array(np.full(len(table), 0.2)))
    rows = read_predictions(table, SPEC)
    assert rows.timestamps is not None
    assert rows.arrivals is not None
    errors, naive, covered = [], [], []
    for start, end in pairwise(MONTHS):
        first, last = to_micros(start), to_micros(end)
        learned = as_seen(rows, last, timedelta(days=130), by)
        made = rows.timestamps[learned.present]
        window = (made >= first) & (made < last)
        found = early_shares(learned, window, last - first, last - first)[1]
        final = float(rows.labels[(rows.timestamps >= first) & (rows.timestamps < last)].mean())
        errors.append(found.share - final)
        naive.append(found.naive - final)
        covered.append(final in found.interval)
        assert 0.25 < found.coverage < 0.65
    assert np.abs(naive).max() > 0.15
    assert np.abs(errors).max() < worst
    assert np.mean(np.abs(errors)) < mean
    assert np.mean(covered) >= 0.9
