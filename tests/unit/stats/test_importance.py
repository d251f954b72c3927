"""Permutation importance as a U-statistic, beside brute force, scikit-learn and known truths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import permutation_importance

from homeostat.stats.importance import draw_donors, increase, linked, rank_bounds

SEEDS = st.integers(0, 2**32 - 1)


@given(st.integers(0, 12), st.integers(1, 15), SEEDS)
def test_donors_are_others_and_each_pair_comes_once(rows: int, repeats: int, seed: int) -> None:
    donors = draw_donors(rows, repeats, np.random.default_rng(seed))
    assert donors.shape == (min(repeats, max(rows - 1, 0)), rows)
    for one in donors:
        assert sorted(one.tolist()) == list(range(rows))
    pairs = {(k, i) for one in donors for k, i in enumerate(one.tolist())}
    assert len(pairs) == donors.size
    assert all(k != i for k, i in pairs)


@given(st.integers(2, 8), SEEDS)
def test_with_all_donors_it_is_the_mean_over_all_pairs(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, weights = rng.normal(size=rows), rng.normal(size=rows), rng.integers(0, 4, rows) + 0.5
    donors = draw_donors(rows, rows, rng)
    before, after = (x - y) ** 2, (x[donors] - y) ** 2
    pairs = [(i, k) for i in range(rows) for k in range(rows) if i != k]
    rises = np.array([(x[k] - y[i]) ** 2 - before[i] for i, k in pairs])
    assert increase(before, after, donors).value == pytest.approx(rises.mean())
    share = [weights[i] * weights[k] for i, k in pairs]
    weighted = increase(before, after, donors, weights)
    assert weighted.value == pytest.approx(np.average(rises, weights=share))
    same = increase(before, after, donors, np.full(rows, 7.0))
    assert same.error == pytest.approx(increase(before, after, donors).error)


def test_scikit_learn_agrees() -> None:
    class Known(RegressorMixin, BaseEstimator):
        def fit(self, x: np.ndarray, y: np.ndarray) -> "Known":
            self.is_fitted_ = True
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x @ np.array([2.0, -1.0, 0.0])

    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 3))
    y = x @ np.array([2.0, -1.0, 0.0]) + rng.normal(size=400)
    peer = permutation_importance(
        Known().fit(x, y), x, y, scoring="neg_mean_squared_error", n_repeats=50, random_state=0
    )
    donors = draw_donors(400, 50, rng)
    before = (Known().predict(x) - y) ** 2
    for column, expected in enumerate(peer.importances_mean):
        after = []
        for one in donors:
            moved = x.copy()
            moved[:, column] = x[one, column]
            after.append((Known().predict(moved) - y) ** 2)
        found = increase(before, np.array(after), donors)
        assert found.value == pytest.approx(expected, rel=0.03, abs=1e-9)


@pytest.mark.parametrize(("rows", "repeats"), [(50, 5), (200, 1), (200, 5), (200, 50)])
def test_intervals_cover_the_truth(rows: int, repeats: int) -> None:
    rng = np.random.default_rng(rows + repeats)
    held, values, errors = 0, [], []
    for _ in range(600):
        x = rng.normal(size=rows)
        y = x + rng.normal(size=rows)
        donors = draw_donors(rows, repeats, rng)
        found = increase((x - y) ** 2, (x[donors] - y) ** 2, donors)
        held += 2.0 in found.interval()  # twice the variance of x
        values.append(found.value)
        errors.append(found.error)
    assert 0.91 <= held / 600 <= (1.0 if repeats == 1 else 0.98)
    ratio = np.sqrt(np.mean(np.square(errors))) / np.std(values)
    assert 0.93 <= ratio <= (1.6 if repeats == 1 else 1.15)


def test_a_column_that_is_not_read_has_no_importance_and_no_error() -> None:
    losses = np.random.default_rng(1).random(20)
    donors = draw_donors(20, 5, np.random.default_rng(2))
    found = increase(losses, np.tile(losses, (5, 1)), donors)
    assert (found.value, found.error, found.n) == (0.0, 0.0, 20)
    assert (found.interval().lower, found.interval().upper) == (0.0, 0.0)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows(rows: int) -> None:
    donors = draw_donors(rows, 5, np.random.default_rng(0))
    found = increase(np.zeros(rows), np.zeros((0, rows)), donors)
    assert np.isnan([found.value, found.error, found.interval().lower]).all()
    assert found.n == rows


def test_weights_of_zero_leave_nothing() -> None:
    donors = draw_donors(3, 2, np.random.default_rng(0))
    found = increase(np.zeros(3), np.ones((2, 3)), donors, np.array([1.0, 0.0, 0.0]))
    assert np.isnan(found.value)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 5)), max_size=6))
def test_rank_bounds(spans: list[tuple[int, int]]) -> None:
    lower = np.array([low for low, _ in spans], dtype=np.float64)
    upper = np.array([low + width for low, width in spans], dtype=np.float64)
    best, worst = rank_bounds(lower, upper)
    for i in range(len(spans)):
        assert best[i] == 1 + sum(other > upper[i] for other in lower)
        assert worst[i] == len(spans) - sum(other < lower[i] for other in upper)


@given(st.integers(0, 8), SEEDS)
def test_linked_columns_are_the_connected_ones(columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strength = rng.uniform(-1, 1, (columns, columns))
    strength = np.triu(strength, 1) + np.triu(strength, 1).T
    strength[rng.random(strength.shape) < 0.1] = np.nan
    strength = np.where(np.isnan(strength.T), np.nan, strength)
    groups = linked(strength, 0.7)
    _, names = connected_components(np.abs(np.nan_to_num(strength)) >= 0.7, directed=False)
    expected = [tuple(np.flatnonzero(names == n).tolist()) for n in dict.fromkeys(names.tolist())]
    assert list(groups) == expected
