"""Performance without labels."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.detectors.estimation.estimate import estimate
from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.window import Window

DAY = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))


def spec(task: Task = Task.BINARY) -> ModelSpec:
    return ModelSpec("m", task, Schema(()), LabelSpec(timedelta(days=1)))


def test_the_interval_covers_the_accuracy_of_a_calibrated_model() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        scores = rng.beta(0.5, 0.5, 200)
        right = (rng.random(200) < scores) == (scores >= 0.5)
        (point,) = estimate(spec(), "v1", DAY, scores)
        covered.append(point.lower <= right.mean() <= point.upper)
    assert np.mean(covered) >= 0.95


def test_unusable_scores_are_left_out() -> None:
    (point,) = estimate(spec(), "v1", DAY, [0.9, 0.9, 1.5, -0.1, np.nan])
    assert (point.n, point.value) == (2, pytest.approx(0.9))


@pytest.mark.parametrize(("task", "scores"), [(Task.REGRESSION, [0.5, 0.5]), (Task.BINARY, [0.5])])
def test_there_is_no_estimate_for_other_tasks_or_one_row(task: Task, scores: list[float]) -> None:
    assert estimate(spec(task), "v1", DAY, scores) == ()
