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


@given(BINARY)
def test_probability_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, scores = rows
    assert metrics.brier(labels, scores) == pytest.approx(((labels - scores) ** 2).mean())


@given(CLASSES)
def test_class_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, predictions = rows
    assume(np.unique(rows).size > 1)  # scikit-learn warns about a single class
    matrix = oracle.confusion_matrix(labels, predictions, labels=range(4))
    found = np.nan_to_num(metrics.mcc(matrix))  # scikit-learn calls an undefined correlation 0
    assert found == pytest.approx(oracle.matthews_corrcoef(labels, predictions), abs=1e-12)


@given(NUMBERS)
def test_regression_metrics_agree_with_scikit_learn(rows: NDArray[np.float64]) -> None:
    labels, predictions = rows
    expected = oracle.mean_absolute_error(labels, predictions)
    assert metrics.mae(labels, predictions) == pytest.approx(expected)
    expected = oracle.root_mean_squared_error(labels, predictions)
    assert metrics.rmse(labels, predictions) == pytest.approx(expected)


def test_one_class_has_no_ranking() -> None:
    scores = np.array([0.1, 0.9])
    for labels in (np.zeros(2), np.ones(2)):
        assert np.isnan(metrics.auc(labels, scores))


@pytest.mark.parametrize(
    "metric",
    [metrics.auc, metrics.brier, metrics.mae, metrics.rmse],
)
def test_no_rows_give_no_number(
    metric: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
) -> None:
    assert np.isnan(metric(np.array([]), np.array([])))


def test_an_empty_matrix_gives_no_number() -> None:
    assert np.isnan(metrics.mcc(np.zeros((2, 2), dtype=np.int64)))


def test_weights_count_rows_as_often() -> None:
    rng = np.random.default_rng(15)
    labels, scores = rng.integers(0, 2, 30).astype(float), rng.random(30)
    weights = rng.integers(0, 4, 30).astype(float)
    many = np.repeat(np.arange(30), weights.astype(int))
    for metric in (metrics.auc, metrics.brier, metrics.mae, metrics.rmse):
        expected = metric(labels[many], scores[many])
        assert metric(labels, scores, weights) == pytest.approx(expected)
