"""Which rows count, and how they are parted."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from homeostat.detectors.performance.cohorts import mature, partings
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
