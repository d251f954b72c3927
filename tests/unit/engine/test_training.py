from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from homeostat.domain.model import ColumnKind
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window
from homeostat.engine.training import baseline_of, one_each
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile
from simulation.world import PLAN

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def profile(rows: int) -> Profile:
    return profile_table(pa.table({"x": [1.0] * rows}), {"x": ColumnKind.NUMERIC})


def test_of_a_window_in_which_two_stretches_meet_the_fuller_profile_stays() -> None:
    hours = [Window(START + i * HOUR, START + (i + 1) * HOUR) for i in range(3)]
    trained = [(hours[0], profile(9)), (hours[1], profile(4))]
    for rows in (3, 5):
        kept = one_each([*trained, (hours[1], profile(rows)), (hours[2], profile(8))])
        assert [window for window, _ in kept] == hours
        assert [found.rows for _, found in kept] == [9, max(4, rows), 8]


def test_a_baseline_keeps_what_the_held_out_rows_measure() -> None:
    rng = np.random.default_rng(3)
    scores = rng.uniform(0.05, 0.95, 500)
    labels = (rng.random(500) < scores).astype(float)
    times = pa.array(rng.permutation(500) * 1_000_000, TIMESTAMP)
    rows = pa.table({"timestamp": times, "label": labels})
    known = dict(baseline_of(PLAN, "1", rows, scores, ()).metrics)
    assert known["accuracy"] == pytest.approx(accuracy_score(labels, scores >= 0.5))
    assert known["auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert known["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    few = baseline_of(PLAN, "1", rows.slice(0, 29), scores[:29], ())
    assert few.metrics == ()  # as of a window with so few rows
