"""Class metrics: values against scikit-learn, intervals against their promise."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as oracle

from homeostat.stats import crosstab as found
from homeostat.stats.crosstab import Crosstab, crosstab
from homeostat.stats.estimates import Estimate

Floats = NDArray[np.float64]
Metric = Callable[[Crosstab], Estimate]

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=60
).map(lambda rows: np.array(rows, dtype=float).T)
AVERAGES: dict[str, Metric] = {
    "accuracy": found.accuracy,
    "macro_f1": found.macro_f1,
    "weighted_f1": found.weighted_f1,
    "macro_precision": found.macro_precision,
    "macro_recall": found.macro_recall,
    "mcc": found.mcc,
}
BINARY: dict[str, Metric] = {
    "precision": found.precision,
    "recall": found.recall,
    "specificity": found.specificity,
    "positive_rate": found.positive_rate,
    "f1": found.f1,
    "value": lambda table: found.mean_value(table, np.array([[0.0, -1.0], [-5.0, 10.0]])),
}


@given(ROWS)
def test_averages_agree_with_scikit_learn(rows: Floats) -> None:
    labels, said, weights = rows
    kept = weights > 0.0
    assume(np.unique(rows[:2, kept]).size > 1 and kept.sum() > 1)
    table = crosstab(labels, said, 3, weights)
    a, b, w = rows[:, kept]
    expected = {
        "accuracy": oracle.accuracy_score(a, b, sample_weight=w),
        "macro_f1": oracle.f1_score(a, b, average="macro", sample_weight=w, zero_division=0),
        "weighted_f1": oracle.f1_score(a, b, average="weighted", sample_weight=w, zero_division=0),
        "macro_precision": oracle.precision_score(
            a, b, average="macro", sample_weight=w, zero_division=0
        ),
        "macro_recall": oracle.recall_score(
            a, b, average="macro", sample_weight=w, zero_division=0
        ),
        "mcc": oracle.matthews_corrcoef(a, b, sample_weight=w),
    }
    for name, metric in AVERAGES.items():
        estimate = metric(table)
        if name == "mcc" and estimate.problem:
            assert expected["mcc"] == pytest.approx(0.0, abs=1e-7)
            continue
        assert estimate.value == pytest.approx(expected[name], abs=1e-7), name
        assert estimate.lower <= estimate.value <= estimate.upper
        assert estimate.n == kept.sum()


@given(ROWS)
def test_binary_metrics_agree_with_scikit_learn(rows: Floats) -> None:
    labels, said = np.minimum(rows[:2], 1.0)
    weights = rows[2] + 0.5
    table = crosstab(labels, said, 2, weights)
    matrix = oracle.confusion_matrix(labels, said, sample_weight=weights, labels=[0, 1])
    assert table.weights.tolist() == matrix.tolist()
    expected = {
        "precision": oracle.precision_score(
            labels, said, sample_weight=weights, zero_division=np.nan
        ),
        "recall": oracle.recall_score(labels, said, sample_weight=weights, zero_division=np.nan),
        "specificity": oracle.recall_score(
            labels, said, sample_weight=weights, zero_division=np.nan, pos_label=0
        ),
        "positive_rate": np.average(labels, weights=weights),
        "f1": oracle.f1_score(labels, said, sample_weight=weights, zero_division=np.nan),
        "value": (np.array([[0.0, -1.0], [-5.0, 10.0]]) * matrix).sum() / matrix.sum(),
    }
    for name, metric in BINARY.items():
        estimate = metric(table)
        assert estimate.value == pytest.approx(expected[name], nan_ok=True), name
        assert bool(estimate.problem) == bool(np.isnan(expected[name]))


@given(st.integers(1, 200), st.data())
def test_shares_without_weights_have_wilsons_interval(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    labels = np.repeat([1.0, 0.0], [right, n - right])
    estimate = found.accuracy(crosstab(labels, np.ones(n)))
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    bounds = (estimate.lower, estimate.upper)
    assert bounds == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(ROWS)
def test_the_size_of_weights_does_not_matter(rows: Floats) -> None:
    labels, said, _ = rows
    for metric in AVERAGES.values():
        plain = metric(crosstab(labels, said, 3))
        scaled = metric(crosstab(labels, said, 3, np.full(labels.size, 0.01)))
        assert (plain.lower, plain.value, plain.upper) == pytest.approx(
            (scaled.lower, scaled.value, scaled.upper), nan_ok=True
        )


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize(
    ("n", "rate", "weighted"),
    [(50, 0.5, False), (50, 0.1, False), (200, 0.05, False), (400, 0.3, True)],
)
def test_intervals_cover(n: int, rate: float, weighted: bool) -> None:
    rng = np.random.default_rng(3)

    def draw(rows: int) -> Crosstab:
        labels = (rng.random(rows) < rate).astype(float)
        said = np.where(rng.random(rows) < 0.75, labels, 1.0 - labels)
        weights = rng.gamma(2.0, 1.0, rows) + labels if weighted else None
        return crosstab(labels, said, 2, weights)

    many, samples = draw(2_000_000), [draw(n) for _ in range(600)]
    for name, metric in (AVERAGES | BINARY).items():
        truth = metric(many).value
        items = [item for item in map(metric, samples) if item.bounded]
        assert len(items) > 590, name
        hits = np.mean([item.lower <= truth <= item.upper for item in items])
        assert 0.92 <= hits <= 0.99, (name, hits)


@pytest.mark.statistical
@pytest.mark.unwatched
def test_averages_over_unequal_classes_cover() -> None:
    rng = np.random.default_rng(4)

    def draw(rows: int) -> Crosstab:
        labels = rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05]).astype(float)
        said = np.where(rng.random(rows) < 0.7, labels, rng.integers(0, 4, rows))
        return crosstab(labels, said, 4)

    many, samples = draw(2_000_000), [draw(200) for _ in range(600)]
    for name, metric in AVERAGES.items():
        truth = metric(many).value
        items = list(map(metric, samples))
        hits = np.mean([item.lower <= truth <= item.upper for item in items])
        assert 0.92 <= hits <= 0.985, (name, hits)


@pytest.mark.parametrize("metric", [*AVERAGES.values(), *BINARY.values()])
def test_no_rows_say_so(metric: Metric) -> None:
    nothing = np.array([])
    assert metric(crosstab(nothing, nothing)).problem == "no labelled rows"
    unweighted = crosstab(np.ones(3), np.ones(3), 2, np.zeros(3))
    assert metric(unweighted).problem == "no labelled rows"


@pytest.mark.parametrize(
    ("metric", "label", "said", "problem"),
    [
        (found.precision, 1.0, 0.0, "no row is predicted positive"),
        (found.recall, 0.0, 1.0, "no label is positive"),
        (found.specificity, 1.0, 1.0, "every label is positive"),
        (found.f1, 0.0, 0.0, "no row is positive or predicted so"),
        (found.mcc, 1.0, 0.0, "one class only, among the labels or among the predictions"),
    ],
    ids=["precision", "recall", "specificity", "f1", "mcc"],
)
def test_an_undefined_metric_says_why(
    metric: Metric, label: float, said: float, problem: str
) -> None:
    assert metric(crosstab(np.full(9, label), np.full(9, said))).problem == problem


def test_one_row_has_a_share_but_no_mean() -> None:
    table = crosstab(np.ones(1), np.ones(1))
    assert found.accuracy(table).value == 1.0
    for metric in (found.macro_f1, BINARY["value"]):
        assert metric(table).problem == "one row has no spread to tell an interval from"


def test_rows_all_alike_are_not_beyond_doubt() -> None:
    labels = np.repeat([0.0, 1.0], 20)
    for name in ("accuracy", "macro_f1", "macro_recall", "mcc"):
        estimate = AVERAGES[name](crosstab(labels, labels))
        assert estimate.value == estimate.upper == pytest.approx(1.0)
        assert estimate.lower < 0.96
    same = found.mean_value(crosstab(labels, labels), np.eye(2))
    assert (same.value, same.lower, same.upper) == (1.0, 1.0, 1.0)
