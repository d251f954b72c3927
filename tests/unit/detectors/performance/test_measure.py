"""Metrics of a labelled cohort."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import ArrayLike
from sklearn import metrics as oracle

from homeostat.detectors.performance.measure import measure
from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window

DAY = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))


def spec(task: Task, classes: tuple[str, ...] = ()) -> ModelSpec:
    return ModelSpec("m", task, Schema(()), LabelSpec(timedelta(days=1)), classes=classes)


def points(
    task: Task, scores: ArrayLike, labels: ArrayLike, classes: tuple[str, ...] = ()
) -> dict[str, MetricPoint]:
    found = measure(spec(task, classes), "v1", DAY, scores, labels, 0.9, "matured")
    return {point.name: point for point in found}


def test_binary_metrics_agree_with_the_oracle() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(400)
    labels = (rng.random(400) < scores).astype(float)
    found = points(Task.BINARY, scores, labels)
    said = scores >= 0.5
    expected = {
        "auc": oracle.roc_auc_score(labels, scores),
        "average_precision": oracle.average_precision_score(labels, scores),
        "log_loss": oracle.log_loss(labels, scores),
        "brier": oracle.brier_score_loss(labels, scores),
        "accuracy": oracle.accuracy_score(labels, said),
        "precision": oracle.precision_score(labels, said),
        "recall": oracle.recall_score(labels, said),
        "f1": oracle.f1_score(labels, said),
        "mcc": oracle.matthews_corrcoef(labels, said),
        "positive_rate": labels.mean(),
        "specificity": oracle.recall_score(labels, said, pos_label=0),
        "bias": (scores - labels).mean(),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert set(found) == {*expected, "ece", "calibration_error"}
    for name in expected:
        assert found[name].lower <= found[name].value <= found[name].upper
    point = found["auc"]
    assert (point.n, point.coverage, point.cohort, point.version) == (400, 0.9, "matured", "v1")


def test_multiclass_metrics_agree_with_the_oracle() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 200).astype(float)
    said = np.where(rng.random(200) < 0.7, labels, 0.0)
    found = points(Task.MULTICLASS, said, labels, ("a", "b", "c"))
    assert found["accuracy"].value == oracle.accuracy_score(labels, said)
    assert found["macro_f1"].value == pytest.approx(oracle.f1_score(labels, said, average="macro"))
    assert found["mcc"].value == pytest.approx(oracle.matthews_corrcoef(labels, said))


def test_regression_metrics_agree_with_the_oracle() -> None:
    rng = np.random.default_rng(3)
    labels = rng.normal(10.0, 3.0, 200)
    said = labels + rng.normal(0.5, 1.0, 200)
    found = points(Task.REGRESSION, said, labels)
    assert found["mae"].value == pytest.approx(oracle.mean_absolute_error(labels, said))
    assert found["rmse"].value == pytest.approx(oracle.root_mean_squared_error(labels, said))
    assert found["r2"].value == pytest.approx(oracle.r2_score(labels, said))
    assert found["bias"].value == pytest.approx((said - labels).mean())
    assert found["wape"].lower < found["wape"].value < found["wape"].upper


def test_one_class_leaves_out_what_is_undefined() -> None:
    found = points(Task.BINARY, [0.1, 0.2, 0.3], [0.0, 0.0, 0.0])
    assert "auc" not in found
    assert "recall" not in found
    assert found["accuracy"].value == 1.0
    assert all(math.isfinite(point.value) for point in found.values())


def test_each_metric_says_how_many_rows_it_rests_on() -> None:
    scores = np.linspace(0.0, 0.6, 100)
    labels = np.zeros(100)
    labels[[3, 50, 98]] = 1.0
    found = points(Task.BINARY, scores, labels)
    assert found["precision"].n == (scores >= 0.5).sum()
    assert found["recall"].n == 3
    assert found["specificity"].n == 97
    assert {found[name].n for name in ("accuracy", "brier", "log_loss", "bias")} == {100}


def test_too_few_labelled_rows_give_no_points() -> None:
    scores, labels = np.linspace(0.0, 1.0, 40), np.tile([0.0, 1.0, np.nan, 1.0], 10)
    arguments = (spec(Task.BINARY), "v1", DAY, scores, labels, 0.75, "matured")
    assert measure(*arguments, min_rows=31) == ()
    assert measure(*arguments, min_rows=30) == measure(*arguments) != ()


@pytest.mark.parametrize("task", list(Task))
def test_no_usable_rows_give_no_points(task: Task) -> None:
    assert points(task, [], []) == {}
    assert points(task, [math.nan, 0.4], [1.0, math.nan]) == {}


@pytest.mark.parametrize("strange", [-1.0, 0.5, 2.0, 3e4, 1e6, 1e300])
@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_what_is_no_class_is_left_out(task: Task, strange: float) -> None:
    said, true = [0.0, 1.0, 1.0], [0.0, 1.0, 0.0]
    kept = points(task, said, true, ("a", "b"))
    assert points(task, [*said, 0.0], [*true, strange], ("a", "b")) == kept
    if task is Task.MULTICLASS:
        assert points(task, [*said, strange], [*true, 0.0], ("a", "b")) == kept
    assert points(Task.BINARY, said, true) == points(Task.BINARY, [*said, 0.0], [*true, strange])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 scores for 2 labels"):
        points(Task.BINARY, [0.1], [0.0, 1.0])
