from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from homeostat.stats import metrics

# Few distinct scores, so that ties are common.
BINARY = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=60).map(
    lambda rows: (np.array(rows, dtype=float) / [1.0, 10.0]).T
)
NUMBERS = st.lists(
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=40
).map(lambda rows: np.array(rows).T)
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60).map(
    lambda rows: np.array(rows, dtype=float).T
)


@given(BINARY)
def test_ranking_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, scores = rows
    assume(0 < labels.sum() < labels.size)
    assert metrics.auc(labels, scores) == pytest.approx(oracle.roc_auc_score(labels, scores))
    expected = oracle.average_precision_score(labels, scores)
    assert metrics.average_precision(labels, scores) == pytest.approx(expected)


@given(BINARY)
def test_probability_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, scores = rows
    expected = oracle.log_loss(labels, scores, labels=[0, 1])
    assert metrics.log_loss(labels, scores) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert metrics.brier(labels, scores) == pytest.approx(((labels - scores) ** 2).mean())


@given(CLASSES)
def test_class_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, predictions = rows
    assume(np.unique(rows).size > 1)  # scikit-learn warns about a single class
    matrix = metrics.confusion(labels, predictions, classes=4)
    assert matrix.tolist() == oracle.confusion_matrix(labels, predictions, labels=range(4)).tolist()
    assert metrics.accuracy(matrix) == pytest.approx(oracle.accuracy_score(labels, predictions))
    expected = oracle.f1_score(labels, predictions, average="macro")
    assert metrics.macro_f1(matrix) == pytest.approx(expected)
    found = np.nan_to_num(metrics.mcc(matrix))  # scikit-learn calls an undefined correlation 0
    assert found == pytest.approx(oracle.matthews_corrcoef(labels, predictions), abs=1e-12)
    for index, metric in ((1, metrics.recall), (0, metrics.precision)):
        expected = oracle.precision_recall_fscore_support(
            labels, predictions, labels=range(4), zero_division=np.nan
        )[index]
        found = [metric(matrix, positive) for positive in range(4)]
        assert found == pytest.approx(list(expected), nan_ok=True)


@given(NUMBERS)
def test_regression_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, predictions = rows
    expected = oracle.mean_absolute_error(labels, predictions)
    assert metrics.mae(labels, predictions) == pytest.approx(expected)
    expected = oracle.root_mean_squared_error(labels, predictions)
    assert metrics.rmse(labels, predictions) == pytest.approx(expected)
    assert metrics.bias(labels, predictions) == pytest.approx(np.mean(predictions - labels))
    assume(labels.std() > 1e-6)
    expected = oracle.r2_score(labels, predictions)
    assert metrics.r2(labels, predictions) == pytest.approx(expected)
    expected = np.abs(labels - predictions).sum() / np.abs(labels).sum()
    assert metrics.wape(labels, predictions) == pytest.approx(expected)


def test_one_class_has_no_ranking() -> None:
    scores = np.array([0.1, 0.9])
    for labels in (np.zeros(2), np.ones(2)):
        assert np.isnan(metrics.auc(labels, scores))
    assert np.isnan(metrics.average_precision(np.zeros(2), scores))


def test_constant_labels_have_no_variance_to_explain() -> None:
    assert np.isnan(metrics.r2(np.ones(3), np.arange(3.0)))
    assert np.isnan(metrics.wape(np.zeros(3), np.arange(3.0)))


@pytest.mark.parametrize(
    "metric",
    [
        metrics.auc,
        metrics.average_precision,
        metrics.log_loss,
        metrics.brier,
        metrics.mae,
        metrics.rmse,
        metrics.r2,
        metrics.wape,
        metrics.bias,
    ],
)
def test_no_rows_give_no_number(
    metric: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
) -> None:
    assert np.isnan(metric(np.array([]), np.array([])))


@pytest.mark.parametrize(
    "metric",
    [
        metrics.accuracy,
        metrics.precision,
        metrics.recall,
        metrics.f1,
        metrics.macro_f1,
        metrics.mcc,
    ],
)
def test_an_empty_matrix_gives_no_number(metric: Callable[[NDArray[np.int64]], float]) -> None:
    assert np.isnan(metric(np.zeros((2, 2), dtype=np.int64)))


def test_weights_count_rows_as_often() -> None:
    rng = np.random.default_rng(15)
    labels, scores = rng.integers(0, 2, 30).astype(float), rng.random(30)
    weights = rng.integers(0, 4, 30).astype(float)
    many = np.repeat(np.arange(30), weights.astype(int))
    for metric in (
        metrics.auc,
        metrics.average_precision,
        metrics.log_loss,
        metrics.brier,
        metrics.mae,
        metrics.rmse,
        metrics.r2,
        metrics.wape,
        metrics.bias,
    ):
        expected = metric(labels[many], scores[many])
        assert metric(labels, scores, weights) == pytest.approx(expected)
    table = metrics.confusion(labels, scores.round(), 2, weights)
    assert table.tolist() == metrics.confusion(labels[many], scores[many].round()).tolist()
