import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat.stats.classifier import fit_logistic, fit_quadratic
from homeostat.stats.metrics import auc


@pytest.mark.parametrize(("rows", "features"), [(400, 5), (60, 100), (2000, 1)])
@pytest.mark.parametrize("penalty", [0.1, 1.0, 30.0])
def test_logistic_regression_agrees_with_scikit_learn(
    rows: int, features: int, penalty: float
) -> None:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, features)) * rng.uniform(0.5, 3.0, features)
    labels = (x[:, 0] + rng.normal(size=rows) > 0.7).astype(float)
    oracle = LogisticRegression(C=1.0 / penalty, tol=1e-10, max_iter=10_000).fit(x, labels)
    found = fit_logistic(x, labels, penalty)
    assert found.weights == pytest.approx(oracle.coef_[0], abs=2e-4)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=2e-4)
    assert found.log_odds(x) == pytest.approx(oracle.decision_function(x), abs=2e-3)


def test_classes_without_overlap_and_extreme_features_do_not_break_it() -> None:
    x = np.array([[-1e6, 0.0], [-1e5, 0.0], [1e5, 0.0], [1e6, 0.0]])
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    found = fit_logistic(x, labels, penalty=1e-6)
    assert np.isfinite(found.weights).all()
    assert auc(labels, found.log_odds(x)) == 1.0


@pytest.mark.parametrize("seed", [16, 25])  # Newton's full steps overshoot on these
def test_a_step_that_goes_too_far_is_taken_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_cauchy((200, 2)) ** 3
    labels = (rng.random(200) < 0.05).astype(float)
    labels[0] = 1.0
    found = fit_logistic(x, labels, penalty=1e-3)
    slope = x.T @ (1.0 / (1.0 + np.exp(-found.log_odds(x))) - labels) + 1e-3 * found.weights
    curvature = np.sqrt((x**2).sum(axis=0))
    assert slope / curvature == pytest.approx([0.0, 0.0], abs=1e-3)


def test_copies_of_a_feature_share_its_weight() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 1))
    labels = (x[:, 0] > rng.normal(size=300)).astype(float)
    found = fit_logistic(np.hstack((x, x)), labels, penalty=1.0)
    assert found.weights[0] == pytest.approx(found.weights[1])
    assert 2 * found.weights[0] == pytest.approx(fit_logistic(x, labels, 0.5).weights[0], rel=1e-3)


def test_what_cannot_be_learnt_is_refused() -> None:
    x = np.zeros((3, 1))
    for labels in (np.zeros(3), np.ones(3)):
        with pytest.raises(ValueError, match="both classes"):
            fit_logistic(x, labels, 1.0)
        with pytest.raises(ValueError, match="both classes"):
            fit_quadratic(x, labels, np.arange(1))
    with pytest.raises(ValueError, match="penalty must be positive, not 0"):
        fit_logistic(x, np.array([0.0, 1.0, 1.0]), 0.0)


def sample(change: str, rng: np.random.Generator, rows: int = 2000) -> np.ndarray:
    x = rng.normal(size=(rows, 6))
    x[:, 5] = x[:, 5] > 1.0
    if change == "mean":
        x[:, 2] += 0.5
    if change == "spread":
        x[:, 2] *= 1.5
    if change == "correlation":
        x[:, 2] = 0.6 * x[:, 1] + 0.8 * x[:, 2]
    if change == "number by category":
        x[:, 2] += np.where(x[:, 5] > 0, 1.6, -0.3)
    return x


@pytest.mark.parametrize("change", ["mean", "spread", "correlation", "number by category"])
def test_the_quadratic_classifier_sees(change: str) -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat([0.0, 1.0], 2000)
    train, test = (np.vstack((sample("", rng), sample(change, rng))) for _ in range(2))
    model = fit_quadratic(train, labels, np.arange(6))
    assert auc(labels, model.log_odds(test)) > 0.59
    plain = auc(labels, fit_logistic(train, labels, 6.0).log_odds(test))
    assert plain > 0.59 if change == "mean" else plain < 0.54


def test_noise_gets_no_products_and_few_features() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat([0.0, 1.0], 500)
    products = features = 0
    for _ in range(20):
        model = fit_quadratic(rng.normal(size=(1000, 20)), labels, np.arange(20))
        products += len(model.pairs)
        features += len(model.linear)
    assert products <= 8  # of 4200
    assert features / 400 == pytest.approx(0.317, abs=0.08)  # the chance of |z| >= 1


def test_features_of_one_column_are_not_multiplied_nor_indicators_squared() -> None:
    rng = np.random.default_rng(6)
    labels = np.repeat([0.0, 1.0], 1000)
    code = np.where(labels == 1.0, rng.integers(0, 2, 2000), rng.integers(0, 3, 2000))
    rows = (code[:, None] == np.arange(3)).astype(float)
    model = fit_quadratic(rows, labels, np.zeros(3, dtype=np.int64))
    assert len(model.pairs) == 0
    assert auc(labels, model.log_odds(rows)) > 0.6


def test_constants_give_a_constant() -> None:
    labels = np.array([0.0, 1.0, 1.0, 1.0])
    model = fit_quadratic(np.ones((4, 3)), labels, np.arange(3))
    assert model.log_odds(np.zeros((2, 3))) == pytest.approx([np.log(3)] * 2)


def test_only_so_many_features_and_products_are_used() -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat([0.0, 1.0], 50)
    rows = rng.normal(size=(100, 400))
    rows[50:, 7] += 2.0
    rows[50:, :5] *= 4.0
    model = fit_quadratic(rows, labels, np.arange(400), max_features=30, max_products=2)
    assert model.used.size == 30
    assert 7 in model.used
    assert len(model.pairs) <= 2
