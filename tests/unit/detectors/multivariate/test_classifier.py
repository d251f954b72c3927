import numpy as np
import pytest
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score

from homeostat.detectors.multivariate.classifier import (
    ClassifierConfig,
    ClassifierDrift,
    Scorer,
    classify,
)
from homeostat.stats.encoding import Table

Floats = NDArray[np.float64]
QUICK = ClassifierConfig(explain_below=0.0)


def sample(
    rng: np.random.Generator,
    rows: int,
    numbers: int = 30,
    categories: int = 5,
    *,
    correlation: float = 0.0,
    shift: float = 0.0,
) -> Table:
    x = rng.normal(size=(rows, numbers))
    x[:, 1] = correlation * x[:, 0] + np.sqrt(1.0 - correlation**2) * x[:, 1]
    x[:, 3] += shift
    return Table(
        {f"x{index}": x[:, index] for index in range(numbers)},
        {f"c{index}": rng.integers(0, 8, rows) for index in range(categories)},
    )


def wild(rng: np.random.Generator, rows: int) -> Table:
    x = rng.standard_cauchy((rows, 3))
    x[rng.random(rows) < 0.1, 2] = np.inf
    return Table(
        {
            "heavy": x[:, 0],
            "copy": x[:, 0],
            "infinite": x[:, 2],
            "rare": (rng.random(rows) < 0.02).astype(float),
            "empty": np.full(rows, np.nan),
            "constant": np.ones(rows),
        },
        {"c": rng.integers(-1, 3, rows)},
    )


@pytest.mark.parametrize("world", ["calm", "wild"])
@pytest.mark.parametrize(
    ("n", "m", "repeats"), [(200, 200, 120), (600, 600, 60), (800, 150, 60), (150, 800, 60)]
)
def test_rows_that_are_alike_are_rarely_told_apart(
    world: str, n: int, m: int, repeats: int
) -> None:
    rng = np.random.default_rng(1)
    draw = wild if world == "wild" else lambda rng, rows: sample(rng, rows, 6, 1)
    found = [classify(draw(rng, n), draw(rng, m), rng, QUICK) for _ in range(repeats)]
    rate = np.mean([result.p_value < 0.1 for result in found])
    assert rate <= 0.1 + 2.6 * np.sqrt(0.1 * 0.9 / repeats)
    z = np.array([result.statistic for result in found])
    assert abs(z.mean()) < 3.0 / np.sqrt(repeats)
    assert 0.7 < z.std() < 1.35


@pytest.mark.parametrize("change", [{"correlation": 0.5}, {"shift": 0.5}])
def test_a_change_of_one_or_two_of_35_columns_is_found_and_named(change: dict[str, float]) -> None:
    rng = np.random.default_rng(2)
    carriers = {"x0", "x1"} if "correlation" in change else {"x3"}
    for _ in range(3):
        found = classify(sample(rng, 1000), sample(rng, 1000, **change), rng)
        assert found.p_value < 0.001
        assert 0.54 < found.effect < 0.7
        assert {share.column for share in found.columns[: len(carriers)]} == carriers
        assert all(f"'{name}'" in found.reason for name in carriers)


def test_what_is_new_is_seen_whatever_it_is() -> None:
    rng = np.random.default_rng(3)
    for name, change in (
        ("x2", lambda x: np.where(rng.random(x.size) < 0.2, np.nan, x)),
        ("x2", lambda x: np.where(rng.random(x.size) < 0.2, np.inf, x)),
        ("x2", lambda x: x * 2.0),
        ("c1", lambda codes: np.where(rng.random(codes.size) < 0.2, 99, codes)),
        ("c1", lambda codes: np.where(rng.random(codes.size) < 0.2, -1, codes)),
    ):
        before, now = sample(rng, 1000, 6, 2), sample(rng, 1000, 6, 2)
        numbers, categories = dict(now.numbers), dict(now.categories)
        for columns in (numbers, categories):
            if name in columns:
                columns[name] = change(columns[name])
        found = classify(before, Table(numbers, categories), rng)
        assert found.p_value < 1e-3
        assert found.columns[0].column == name


def test_the_effect_is_the_auc_that_scikit_learn_cross_validates() -> None:
    rng = np.random.default_rng(4)
    before, now = sample(rng, 2000, 5, 0, shift=0.0), sample(rng, 2000, 5, 0, shift=0.7)
    x = np.vstack([np.column_stack(list(table.numbers.values())) for table in (before, now)])
    labels = np.repeat([0, 1], 2000)
    model = LGBMClassifier(n_estimators=30, num_leaves=4, verbose=-1, n_jobs=1, random_state=0)
    expected = cross_val_score(model, x, labels, cv=5, scoring="roc_auc").mean()
    assert classify(before, now, rng).effect == pytest.approx(expected, abs=0.02)


def test_lightgbm_may_take_the_classifiers_place() -> None:
    rng = np.random.default_rng(5)

    def learn(rows: Floats, labels: Floats, /) -> Scorer:
        model = LGBMClassifier(n_estimators=20, num_leaves=4, verbose=-1, n_jobs=1, random_state=0)
        booster = model.fit(rows, labels).booster_
        return lambda held_out: np.asarray(booster.predict(held_out, num_threads=1))

    before, now = sample(rng, 800, 6, 1), sample(rng, 800, 6, 1, shift=0.6)
    found = classify(before, now, rng, learner=learn)
    assert found.p_value < 1e-6
    assert found.columns[0].column == "x3"
    alike = [
        classify(sample(rng, 200, 6, 1), sample(rng, 200, 6, 1), rng, QUICK, learn).p_value
        for _ in range(25)
    ]
    assert np.mean(np.array(alike) < 0.1) <= 0.1 + 2.5 * np.sqrt(0.09 / 25)


def test_a_classifier_that_learnt_nothing_proves_nothing() -> None:
    rng = np.random.default_rng(6)
    shut = classify(
        sample(rng, 100, 4, 0),
        sample(rng, 100, 4, 0, shift=9.0),
        rng,
        learner=lambda rows, labels: lambda held_out: np.zeros(len(held_out)),
    )
    assert (shut.statistic, shut.p_value, shut.effect) == (0.0, 0.5, 0.5)
    constant = Table({"x": np.ones(60)})
    assert classify(constant, constant, rng).p_value == 0.5


def test_a_learner_that_breaks_its_word_is_told_so() -> None:
    rng = np.random.default_rng(7)
    table = sample(rng, 60, 4, 0)
    for scores in (lambda rows: np.zeros((len(rows), 2)), lambda rows: np.full(len(rows), np.nan)):
        with pytest.raises(ValueError, match="one score per row and no NaN"):
            classify(table, table, rng, learner=lambda rows, labels, scores=scores: scores)


@pytest.mark.parametrize(("n", "m"), [(1, 100), (100, 1), (0, 0)])
def test_too_few_rows_are_not_judged(n: int, m: int) -> None:
    rng = np.random.default_rng(8)
    found = classify(sample(rng, n), sample(rng, m), rng)
    assert np.isnan([found.statistic, found.p_value, found.effect]).all()
    assert f"{min(n, m)} rows in the" in found.reason
    assert "50 are needed" in found.reason
    assert (found.columns, found.n_reference, found.n_current) == ((), n, m)


def test_more_columns_than_rows_and_a_bound_on_what_is_used() -> None:
    rng = np.random.default_rng(9)
    before, now = sample(rng, 300, 400, 0), sample(rng, 300, 400, 0, shift=1.5)
    config = ClassifierConfig(max_values=2 * 800 * 200, max_explained=5)
    found = classify(before, now, rng, config)
    assert (found.n_reference, found.n_current) == (200, 200)
    assert found.p_value < 1e-4
    assert found.columns[0].column == "x3"
    assert len(found.columns) <= 5


def test_the_same_seed_gives_the_same_result() -> None:
    rng = np.random.default_rng(10)
    before, now = sample(rng, 400, 4, 1), sample(rng, 300, 4, 1, shift=0.3)

    def once(seed: int) -> ClassifierDrift:
        return classify(before, now, np.random.default_rng(seed))

    assert once(1) == once(1)
    assert once(1).statistic != once(2).statistic


def test_disjoint_samples_are_told_apart_without_error() -> None:
    rng = np.random.default_rng(11)
    found = classify(Table({"x": rng.normal(size=90)}), Table({"x": rng.normal(9, 1, 90)}), rng)
    assert found.effect == roc_auc_score([0, 1], [0, 1]) == 1.0
    assert found.p_value < 1e-12
    assert found.columns[0].drop == pytest.approx(0.5, abs=0.1)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="folds must be at least 3"):
        ClassifierConfig(folds=2)
    with pytest.raises(ValueError, match=r"min_rows must be at least 5 \(folds\), not 4"):
        ClassifierConfig(min_rows=4)
    rng = np.random.default_rng(12)
    with pytest.raises(ValueError, match="'y' differs"):
        classify(Table({"x": np.zeros(60)}), Table({"x": np.zeros(60), "y": np.zeros(60)}), rng)
