"""Losses of rows, in their own unit and as bets need them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from homeostat.domain.losses import losses, row_losses
from homeostat.domain.model import Task

NAN = float("nan")


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_means_agree_with_scikit_learn(rows: list[tuple[float, int]]) -> None:
    scores, labels = np.array(rows, dtype=float).T
    for chances in (scores, np.column_stack((1.0 - scores, scores))):
        found = row_losses(Task.BINARY, chances, labels).mean()
        assert found == pytest.approx(oracle.brier_score_loss(labels, scores, pos_label=1))
    both = row_losses(Task.MULTICLASS, np.column_stack((1.0 - scores, scores)), labels)
    assert both.mean() == pytest.approx(found)
    away = row_losses(Task.REGRESSION, scores, labels).mean()
    assert away == pytest.approx(oracle.mean_absolute_error(labels, scores))


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_bets_are_on_the_same_losses(rows: list[tuple[float, int]]) -> None:
    scores, labels = np.array(rows, dtype=float).T
    for task, said in ((Task.BINARY, scores), (Task.MULTICLASS, scores.round())):
        np.testing.assert_array_equal(losses(task, said, labels), row_losses(task, said, labels))
    scaled = losses(Task.REGRESSION, scores, labels, scale=0.5)
    half = row_losses(Task.REGRESSION, scores, labels) / 0.5
    np.testing.assert_array_equal(scaled, half.clip(0.0, 1.0))


def test_classes_without_probabilities_are_right_or_wrong() -> None:
    found = row_losses(Task.MULTICLASS, np.array([0.0, 2.0, 2.0]), np.array([0.0, 1.0, 2.0]))
    assert found.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("task", "scores"),
    [
        (Task.BINARY, [0.5, 0.5, NAN]),
        (Task.REGRESSION, [0.5, 0.5, NAN]),
        (Task.MULTICLASS, [1.0, 1.0, NAN]),
        (Task.MULTICLASS, [[0.5, 0.5], [0.5, 0.5], [NAN, NAN]]),
    ],
    ids=["binary", "regression", "classes", "probabilities"],
)
def test_what_is_not_known_has_no_loss(task: Task, scores: list[float]) -> None:
    found = row_losses(task, np.array(scores), np.array([0.0, NAN, 0.0]))
    assert np.isnan(found).tolist() == [False, True, True]
