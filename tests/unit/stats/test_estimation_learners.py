"""What estimates are built of, against oracles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import GammaRegressor, LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from homeostat.stats.boosting import Effort, fit_trees
from homeostat.stats.density_ratio import density_ratio
from homeostat.stats.expected import BINARY, MULTICLASS, binary_metrics, multiclass_metrics
from homeostat.stats.gamma import fit_gamma
from homeostat.stats.isotonic import isotonic
from homeostat.stats.recalibration import choose_calibration, fit_calibration


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 9)), min_size=1, max_size=40))
def test_isotonic_is_what_scikit_learn_finds(points: list[tuple[float, float]]) -> None:
    values, weights = np.array(points).T
    oracle = (
        IsotonicRegression()
        .fit(np.arange(values.size), values, weights)
        .predict(np.arange(values.size))
    )
    np.testing.assert_allclose(isotonic(values, weights), oracle, atol=1e-9)


def test_isotonic_of_nothing() -> None:
    assert isotonic(np.empty(0), np.empty(0)).size == 0


def _scored(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    return scores, (rng.random(n) < scores).astype(float)


@pytest.mark.parametrize(
    ("bend", "kinds"),
    [
        pytest.param(lambda p: p, {"none"}, id="calibrated"),
        pytest.param(lambda p: p**3, {"beta"}, id="skewed"),
        pytest.param(lambda p: np.where(p < 0.5, 0.1, 0.8), {"isotonic"}, id="a step"),
    ],
)
def test_the_simplest_map_that_does_is_chosen(
    bend: Callable[[np.ndarray], np.ndarray], kinds: set[str]
) -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(6000)
    labels = (rng.random(6000) < bend(scores)).astype(float)
    kind, held_out = choose_calibration(scores, labels, np.arange(6000) * 5 // 6000)
    assert kind in kinds
    assert np.abs(held_out - bend(scores)).mean() < 0.03


def test_calibration_of_few_scores_is_their_shares() -> None:
    scores = np.repeat([0.2, 0.7], 500)
    labels = np.concatenate((np.arange(500) < 50, np.arange(500) < 400)).astype(float)
    found = fit_calibration(scores, labels, "isotonic")
    np.testing.assert_allclose(found(np.array([0.0, 0.2, 0.7, 1.0])), [0.1, 0.1, 0.8, 0.8])


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_calibration_on_one_class_is_that_class(label: float) -> None:
    found = fit_calibration(np.array([0.1, 0.9]), np.full(2, label), "beta")
    assert found(np.array([0.5, 0.9])).tolist() == [label, label]


def test_a_beta_map_does_not_turn_the_order_round() -> None:
    scores, labels = _scored(2000, 3)
    found = fit_calibration(scores, 1.0 - labels, "beta")
    assert np.ptp(found(np.linspace(0, 1, 9))) < 1e-9


_CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rises and falls": lambda p: 0.9 * (1.0 - p**4) * p**0.1,
    "rises late": lambda p: 0.2 + 0.5 * p**8,
    "rises early": lambda p: 0.2 + 0.5 * p**0.05,
    "falls": lambda p: 0.8 - 0.5 * p,
}


@pytest.mark.parametrize("curve", list(_CURVES))
@pytest.mark.parametrize("seed", range(3))
def test_a_beta_map_is_the_likeliest_that_rises(curve: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, 1000)
    labels = (rng.random(1000) < _CURVES[curve](scores)).astype(float)
    found = fit_calibration(scores, labels, "beta")
    terms = np.column_stack((np.log(scores), -np.log1p(-scores)))

    def loss(weights: np.ndarray) -> float:
        odds = terms @ weights[:2] + weights[2]
        return float(np.sum(np.logaddexp(0.0, odds) - labels * odds))

    oracle = minimize(
        loss, np.array([1.0, 1.0, 0.0]), bounds=[(0.0, None), (0.0, None), (None, None)]
    )
    assert loss(np.array(found.weights)) <= oracle.fun + 1e-3
    assert min(found.weights[:2]) >= 0.0
    assert found(scores).mean() == pytest.approx(labels.mean(), abs=1e-6)
    dropped = [place for place in range(2) if found.weights[place] == 0.0]
    if len(dropped) == 1:
        rest = LogisticRegression(C=1e3, tol=1e-10, max_iter=1000)
        rest.fit(np.delete(terms, dropped, axis=1), labels)
        kept = [found.weights[1 - dropped[0]], found.weights[2]]
        np.testing.assert_allclose(kept, [rest.coef_[0, 0], rest.intercept_[0]], atol=1e-4)


def test_isotonic_steps_without_an_exception_are_not_certain() -> None:
    scores = np.repeat([0.0, 1.0], 50)
    found = fit_calibration(scores, scores, "isotonic")
    assert 0.0 < found(np.array([0.0]))[0] < found(np.array([1.0]))[0] < 1.0


def test_gamma_regression_is_what_scikit_learn_finds() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(3000, 3))
    targets = rng.gamma(2.0, np.exp(rows @ [0.3, -0.2, 0.0] + 1.0) / 2.0)
    oracle = GammaRegressor(alpha=1e-9, tol=1e-8, max_iter=1000).fit(rows, targets)
    found = fit_gamma(rows, targets, penalty=1e-6)
    np.testing.assert_allclose(found, [*oracle.coef_, oracle.intercept_], atol=1e-4)


def test_gamma_regression_needs_a_loss() -> None:
    with pytest.raises(ValueError, match="all targets are 0"):
        fit_gamma(np.ones((3, 1)), np.zeros(3))


def test_gamma_regression_stops_where_it_cannot_settle() -> None:
    rows = np.array([[0.0], [1.0]])
    found = fit_gamma(rows, np.array([1.0, 0.0]), penalty=0.0)
    assert np.isfinite(found).all()


def test_trees_learn_means_on_the_log_scale() -> None:
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 4, (2, 8000))
    mean = np.where(codes[0] >= 2, 8.0, 2.0)
    start = np.full(8000, np.log(5.0))
    trees = fit_trees(codes, rng.gamma(3.0, mean / 3.0), start, "gamma", rng, Effort(80, 2))
    assert np.abs(np.exp(trees.add_to(start, codes)) / mean - 1.0).max() < 0.1


def test_trees_of_nothing_to_split_add_little() -> None:
    rng = np.random.default_rng(5)
    codes = np.zeros((1, 400), np.int64)
    trees = fit_trees(codes, np.repeat([0.0, 1.0], 200), np.zeros(400), "logistic", rng)
    assert np.abs(trees.add_to(np.zeros(400), codes)).max() < 0.2


def test_trees_add_nothing_to_no_rows() -> None:
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, (2, 50))
    trees = fit_trees(codes, np.ones(50), np.zeros(50), "gamma", rng, Effort(2, 2))
    assert trees.add_to(np.empty(0), np.empty((2, 0), np.int64)).size == 0


def test_trees_refuse_what_is_no_bin() -> None:
    with pytest.raises(ValueError, match="0 to 254, not 0 to 255"):
        fit_trees(np.array([[0, 255]]), np.ones(2), np.zeros(2), "gamma", np.random.default_rng(0))


def test_trees_are_the_same_whether_bins_are_bytes_or_not() -> None:
    rng = np.random.default_rng(6)
    codes = rng.integers(0, np.array([[30], [3], [2], [9]]), (4, 3000))
    label, start = (rng.random(3000) < 0.2 + 0.2 * (codes[0] > 9)).astype(float), np.zeros(3000)
    first, again = (
        fit_trees(each, label, start, "logistic", np.random.default_rng(0)).add_to(start, each)
        for each in (codes, codes.astype(np.uint8))
    )
    assert (first == again).all()
    assert np.unique(first).size > 2


def test_gamma_regression_of_columns_is_that_of_each() -> None:
    rng = np.random.default_rng(2)
    rows, targets = rng.normal(size=(500, 2)), rng.gamma(2.0, 1.0, (500, 2))
    found = fit_gamma(rows, targets)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[:, 1], fit_gamma(rows, targets[:, 1]), rtol=1e-9)


def test_density_ratio_finds_where_rows_have_gone() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.integers(0, 10, (3, 3000)), rng.integers(0, 10, (3, 3000))
    same = density_ratio(before, after, rng)
    assert abs(np.median(same.current) - 1.0) < 0.15
    assert same.effective_size > 2700
    moved = density_ratio(before, after * np.array([[0], [1], [1]]), rng)
    assert np.median(moved.current) > 5.0
    assert moved.effective_size < 600


ORACLES = {
    "accuracy": lambda y, q, s: accuracy_score(y, q),
    "precision": lambda y, q, s: precision_score(y, q),
    "recall": lambda y, q, s: recall_score(y, q),
    "specificity": lambda y, q, s: recall_score(y, q, pos_label=0),
    "f1": lambda y, q, s: f1_score(y, q),
    "mcc": lambda y, q, s: matthews_corrcoef(y, q),
    "positive_rate": lambda y, q, s: y.mean(),
    "auc": lambda y, q, s: roc_auc_score(y, s),
    "average_precision": lambda y, q, s: average_precision_score(y, s),
    "log_loss": lambda y, q, s: log_loss(y, s),
    "brier": lambda y, q, s: brier_score_loss(y, s),
}


@pytest.mark.parametrize("metric", BINARY)
def test_labels_as_chances_give_the_realized_metric(metric: str) -> None:
    rng = np.random.default_rng(7)
    scores = np.clip(rng.random(500).round(2), 0.01, 0.99)
    labels = (rng.random(500) < scores).astype(float)
    predicted = (scores >= 0.4).astype(float)
    found = binary_metrics(labels, predicted, scores, [metric])[metric]
    assert found.value == pytest.approx(ORACLES[metric](labels, predicted, scores), abs=1e-12)
    assert found.variance(labels) == 0.0


@pytest.mark.parametrize("metric", BINARY)
def test_expectation_and_variance_are_those_of_drawn_labels(metric: str) -> None:
    rng = np.random.default_rng(8)
    chances = rng.beta(1.0, 2.0, 1500)
    scores = np.clip(chances + rng.normal(0, 0.1, 1500), 0.01, 0.99)
    predicted = (scores >= 0.4).astype(float)
    expected = binary_metrics(chances, predicted, scores, [metric])[metric]
    draws = [
        binary_metrics((rng.random(1500) < chances).astype(float), predicted, scores, [metric])[
            metric
        ].value
        for _ in range(600)
    ]
    error = np.std(draws)
    assert abs(np.mean(draws) - expected.value) < 0.25 * error
    assert expected.variance(chances) ** 0.5 == pytest.approx(error, rel=0.12)


@pytest.mark.parametrize("metric", MULTICLASS)
def test_expectation_and_variance_hold_for_several_classes(metric: str) -> None:
    rng = np.random.default_rng(9)
    chances = rng.dirichlet([2.0, 1.0, 1.0], 1500)
    scores = rng.dirichlet([1.0, 1.0, 1.0], 1500) * 0.2 + 0.8 * chances
    predicted = scores.argmax(axis=1)
    expected = multiclass_metrics(chances, predicted, scores, [metric])[metric]
    edges = chances.cumsum(axis=1)
    draws = []
    for _ in range(400):
        labels = np.minimum((rng.random((1500, 1)) > edges).sum(axis=1), 2)
        truth = (labels[:, None] == np.arange(3)).astype(float)
        draws.append(multiclass_metrics(truth, predicted, scores, [metric])[metric].value)
    error = np.std(draws)
    assert abs(np.mean(draws) - expected.value) < 0.25 * error
    assert expected.variance(chances) ** 0.5 == pytest.approx(error, rel=0.12)


def test_undefined_metrics_are_nan() -> None:
    none = np.zeros(3)
    found = binary_metrics(none, none, np.array([0.1, 0.2, 0.3]), BINARY)
    undefined = {name for name, each in found.items() if np.isnan(each.value)}
    assert undefined == {"precision", "recall", "f1", "mcc", "auc", "average_precision"}
    several = multiclass_metrics(np.eye(2)[[0, 0]], np.zeros(2, int), None, MULTICLASS)
    assert np.isnan(several["mcc"].value)
    assert several["f1"].value == 1.0  # of the only class that occurs
    empty = binary_metrics(np.empty(0), np.empty(0), np.empty(0), BINARY)
    assert all(np.isnan(each.value) for each in empty.values())
    nowhere = multiclass_metrics(np.zeros((0, 2)), np.zeros(0, int), None, MULTICLASS)
    assert all(np.isnan(each.value) for each in nowhere.values())
