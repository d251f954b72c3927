from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from homeostat.stats.overlap import apply_ridge, fit_ridge, overlap_weights, weighted_gaps


def test_overlap_weights_balance_what_they_are_fitted_on() -> None:
    """With the true odds, weighted means agree (Li, Morgan & Zaslavsky 2018)."""
    rng = np.random.default_rng(0)
    before, now = rng.normal(0.0, 1.0, 100_000), rng.normal(1.0, 1.0, 100_000)
    weights = overlap_weights(before - 0.5, now - 0.5)
    assert weights.before.sum() == pytest.approx(1.0)
    assert weights.before @ before == pytest.approx(weights.now @ now, abs=0.02)
    assert 0.5 < weights.shared < 0.8


def test_gaps_are_welch_tests_under_equal_weights() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=(400, 3)), rng.normal(0.2, 2.0, size=(300, 3))
    gaps = weighted_gaps(before, now, np.full(400, 1 / 400), np.full(300, 1 / 300))
    expected = stats.ttest_ind(now, before, equal_var=False).statistic
    np.testing.assert_allclose(gaps.z, expected, rtol=4e-3)


def test_what_one_row_decides_is_not_tested() -> None:
    before, now = np.zeros((50, 2)), np.zeros((50, 2))
    now[0] = [1000.0, 0.0]
    same = np.full(50, 0.02)
    gaps = weighted_gaps(before, now, same, same)
    assert gaps.z.tolist() == [0.0, 0.0]
    assert gaps.p_value == 1.0
    assert weighted_gaps(before[:, :0], now[:, :0], same, same).p_value == 1.0


@pytest.mark.statistical
def test_false_alarms_of_many_functions_keep_the_level() -> None:
    rng = np.random.default_rng(2)
    same = np.full(200, 1 / 200)
    alarms = sum(
        weighted_gaps(rng.normal(size=(200, 20)), rng.normal(size=(200, 20)), same, same).p_value
        <= 0.05
        for _ in range(1000)
    )
    assert 20 <= alarms <= 80


def test_ridge_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    rows, target = rng.normal(size=(80, 4)), rng.normal(size=80)
    weights = rng.uniform(0.5, 2.0, 80)
    found = fit_ridge(rows, target, weights, 3.0)
    oracle = Ridge(alpha=3.0).fit(rows, target, sample_weight=weights / weights.mean())
    np.testing.assert_allclose(found[:-1], oracle.coef_, rtol=1e-6)
    np.testing.assert_allclose(apply_ridge(found, rows), oracle.predict(rows), rtol=1e-6)
