"""Areas under curves: values against scikit-learn, intervals against their promise."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from homeostat.stats import ranking
from homeostat.stats.estimates import Estimate
from homeostat.stats.ranking import rank

Floats = NDArray[np.float64]

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 10), st.integers(0, 3)), min_size=1, max_size=60
).map(lambda rows: (np.array(rows, dtype=float) / [1.0, 10.0, 1.0]).T)


@given(ROWS)
def test_weighted_areas_agree_with_scikit_learn(rows: Floats) -> None:
    labels, scores, weights = rows
    some = weights > 0.0
    assume(0 < labels[some].sum() < some.sum())
    found = rank(labels, scores, weights)
    area = oracle.roc_auc_score(labels, scores, sample_weight=weights)
    assert ranking.auc(found) == pytest.approx(area)
    precision = oracle.average_precision_score(labels, scores, sample_weight=weights)
    assert ranking.average_precision(found) == pytest.approx(precision)


def pairwise_delong(labels: Floats, scores: Floats) -> tuple[float, float]:
    """Follow DeLong et al. (1988) literally: structural components from all pairs."""
    x, y = scores[labels == 1], scores[labels == 0]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    above, below = wins.mean(axis=1), wins.mean(axis=0)
    return wins.mean(), np.sqrt(above.var(ddof=1) / x.size + below.var(ddof=1) / y.size)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=60))
def test_the_error_of_the_area_is_delongs(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([float(label) for label, _ in [*rows, (0, 0), (0, 0), (1, 0), (1, 0)]])
    scores = np.array([float(score) for _, score in [*rows, (0, 3), (0, 5), (1, 4), (1, 6)]])
    for weights in (None, np.full(labels.size, 7.0)):
        found = rank(labels, scores, weights)
        error = ranking.error_of(found, *ranking.auc_influence(found))
        assert (ranking.auc(found), error) == pytest.approx(
            pairwise_delong(labels, scores), abs=1e-12
        )


@given(ROWS)
def test_influences_of_the_average_precision_are_its_derivatives(rows: Floats) -> None:
    labels, scores, weights = rows
    weights = weights + 1.0
    assume(1 < labels.sum() < labels.size)
    found = rank(labels, scores, weights)
    slopes = ranking.average_precision_influence(found)
    rows_of = float(found.positive.sum()) ** 2 / float(found.positive_squares.sum())
    step, total = 1e-6, weights.sum()
    for row in range(min(labels.size, 5)):
        moved = weights.copy()
        moved[row] += step
        change = ranking.average_precision(rank(labels, scores, moved))
        numeric = (change - ranking.average_precision(found)) / step
        place = int(np.searchsorted(found.scores, scores[row]))
        exact = slopes[0 if labels[row] == 1.0 else 1][place] / np.sqrt(rows_of / (rows_of - 1.0))
        assert exact == pytest.approx(numeric, abs=1e-4 * max(1.0, total))
        assert exact == pytest.approx(numeric, abs=1e-5)


def test_weights_of_two_are_rows_twice_for_the_value_alone() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 80).astype(float), rng.random(80)
    once = rank(labels, scores)
    twice = rank(labels, scores, np.full(80, 2.0))
    for estimate in (ranking.auc_estimate, ranking.average_precision_estimate):
        a, b = estimate(once), estimate(twice)
        assert (a.value, a.lower, a.upper) == pytest.approx((b.value, b.lower, b.upper))
        assert a.n == b.n == 80


def covered(found: list[Estimate], truth: float) -> float:
    return float(np.mean([item.lower <= truth <= item.upper for item in found]))


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "rate"), [(50, 0.3), (200, 0.05), (1000, 0.02)])
def test_intervals_cover_even_few_positives(n: int, rate: float) -> None:
    rng = np.random.default_rng(2)

    def draw(rows: int) -> ranking.Ranking:
        odds = rng.normal(np.log(rate / (1.0 - rate)), 1.5, rows)
        chances = 1.0 / (1.0 + np.exp(-odds))
        return rank((rng.random(rows) < chances).astype(float), chances)

    many = draw(400_000)
    samples = [draw(n) for _ in range(600)]
    for value, estimate in (
        (ranking.auc(many), ranking.auc_estimate),
        (ranking.average_precision(many), ranking.average_precision_estimate),
    ):
        found = [item for item in map(estimate, samples) if item.bounded]
        assert len(found) > 550
        assert 0.92 <= covered(found, value) <= 0.985


def test_a_perfect_separation_is_not_beyond_doubt() -> None:
    labels, scores = np.repeat([0.0, 1.0], [20, 10]), np.arange(30.0)
    best = ranking.auc_estimate(rank(labels, scores))
    assert best.value == best.upper == 1.0
    assert 0.8 < best.lower < 0.95
    worst = ranking.auc_estimate(rank(labels, -scores))
    assert (worst.value, worst.lower, worst.upper) == pytest.approx(
        (0.0, 0.0, 1.0 - best.lower), abs=1e-9
    )
    precision = ranking.average_precision_estimate(rank(labels, scores))
    assert precision.value == precision.upper == 1.0
    assert precision.lower < 0.8


def test_one_pair_out_of_order_widens_the_interval_beyond_delongs() -> None:
    labels, scores = np.repeat([0.0, 1.0], 10), np.arange(20.0)
    scores[10] = 8.5
    found = ranking.auc_estimate(rank(labels, scores))
    assert found.value == 0.99
    assert found.lower < 0.9


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([1.0] * 8, "one class only: every label is positive"),
        ([0.0] * 8, "one class only: every label is negative"),
        ([0.0] * 7 + [1.0], "1 positive rows, 5 are needed"),
        ([1.0] * 7 + [0.0], "1 negative rows, 5 are needed"),
        ([], "no labelled rows"),
    ],
    ids=["all positive", "all negative", "one positive", "one negative", "none"],
)
def test_what_cannot_be_ranked_says_why(labels: list[float], problem: str) -> None:
    found = rank(np.array(labels), np.linspace(0.0, 1.0, len(labels)))
    for estimate in (ranking.auc_estimate, ranking.average_precision_estimate):
        assert estimate(found).problem == problem
        assert np.isnan(estimate(found).value)


def test_rows_of_no_weight_do_not_count() -> None:
    labels, scores = np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.9, 0.2])
    found = rank(labels, scores, np.array([1.0, 0.0, 0.0]))
    assert found.one_class == "one class only: every label is negative"
    assert np.isnan(ranking.average_precision(found))
    assert rank(labels, scores, np.zeros(3)).one_class == "no labelled rows"


def test_one_row_holding_all_weight_of_a_class_has_no_interval() -> None:
    labels = np.repeat([0.0, 1.0], 6)
    weights = np.append(np.ones(11), 1e20)
    found = ranking.auc_estimate(rank(labels, np.arange(12.0) % 5, weights))
    assert found.problem
