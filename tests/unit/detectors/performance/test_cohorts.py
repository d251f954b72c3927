"""Which rows count, and how they are parted."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from homeostat.detectors.performance.cohorts import hide_young, hide_young_of, mature, partings
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Predictions


def test_labels_that_came_later_are_not_known_yet() -> None:
    one = np.array([1.0, 0.0, 1.0])
    rows = Predictions(
        Task.BINARY,
        ("0", "1"),
        0.5,
        one,
        one,
        np.array([1.0, 0.0, np.nan]),
        pa.table({"x": [1, 2, 3]}),
        arrivals=np.array([1_000_000, 9_000_000, NEVER]),
    )
    moment = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    found = mature(rows, None, moment, matured=True)
    assert found.rows.labels[0] == 1.0
    assert np.isnan(found.rows.labels[1:]).all()
    assert (found.name, found.as_of) == ("known", moment)
    assert list(partings(rows, None)) == []


def test_old_labels_stay_and_a_side_without_arrivals_was_read_last() -> None:
    one, table = np.array([1.0, 0.0]), pa.table({"x": [1, 2]})

    def side(first: int, **more: object) -> Predictions:
        times = np.array([first, first + 5])
        return Predictions(
            Task.BINARY, ("0", "1"), 0.5, one, one, one, table, timestamps=times, **more
        )  # type: ignore[arg-type]

    old = side(0)
    age = timedelta(microseconds=4)
    assert hide_young(old, age, 100) is old
    before, now = hide_young_of(old, side(50), age)
    assert before is old
    assert np.isnan(now.labels).tolist() == [False, True]
    said = side(0, arrivals=np.array([1, 6]))
    assert np.isnan(hide_young_of(said, side(50), age)[0].labels).tolist() == [False, True]
