from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from homeostat.stats.blocks import PRIOR_BLOCKS
from homeostat.stats.overlap import (
    ASSUMED,
    apply_ridge,
    as_normal,
    block_variance,
    fit_ridge,
    overlap_weights,
    weighted_gaps,
)


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


@pytest.mark.parametrize(("rows", "rare"), [(60, 0.02), (400, 0.01)])
@pytest.mark.parametrize(("now_days", "effect"), [(1, 0.0), (1, 0.1), (7, 0.1)])
def test_what_blocks_do_by_themselves_is_no_gap(
    now_days: int, effect: float, rows: int, rare: float
) -> None:
    """Of 60 rows a day what days do is half hidden: 1 % of single days reach 3.3, not 0.1 %."""
    largest = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        days = (
            np.repeat(np.arange(30), rows),
            30 + np.repeat(np.arange(now_days), 30 * rows // now_days),
        )
        moved = rng.normal(0.0, effect, 30 + now_days) if effect else np.zeros(30 + now_days)
        one, two = (rng.normal(size=side.size) + moved[side] for side in days)
        flat = tuple(np.full(side.size, 1.0 / side.size) for side in days)
        gaps = weighted_gaps(one[:, None], two[:, None], flat[0], flat[1], days)
        largest.append(abs(float(gaps.z[0])))
    assert np.mean(np.array(largest) > 1.96) <= 0.08
    assert np.mean(np.array(largest) > 3.3) <= rare


def test_days_that_both_groups_share_cancel() -> None:
    rng = np.random.default_rng(4)
    days = rng.integers(0, 20, 4000), rng.integers(0, 20, 4000)
    moved = rng.normal(size=20)
    one, two = (moved[side] + 0.1 * rng.normal(size=4000) for side in days)
    flat = np.full(4000, 1.0 / 4000)
    apart = weighted_gaps(one[:, None], two[:, None], flat, flat, (days[0], days[1] + 20))
    shared = weighted_gaps(one[:, None], two[:, None], flat, flat, days)
    assert shared.error[0] < apart.error[0] / 5.0


def test_one_block_leaves_what_is_assumed() -> None:
    x = np.random.default_rng(5).normal(size=(500, 2))
    flat = np.full(500, 1.0 / 500)
    one_day = np.zeros(500, dtype=np.int64), np.ones(500, dtype=np.int64)
    more, freedom = block_variance(x, (flat, flat), one_day, np.full(2, 1 / 250))
    assert more == pytest.approx(2 * ASSUMED**2 * x.var(axis=0))
    assert (freedom > PRIOR_BLOCKS).all()
    still, endless = block_variance(np.ones((500, 1)), (flat, flat), one_day, np.zeros(1))
    assert (still[0], endless[0]) == (0.0, np.inf)


def test_a_row_a_block_tells_nothing_of_blocks() -> None:
    x = np.arange(50.0)[:, None]
    flat = np.full(50, 1.0 / 50)
    each = np.arange(50), np.arange(50) + 50
    more, _ = block_variance(x, (flat, flat), each, np.ones(1))
    assert 0.0 < more[0] < 0.01 * x.var()


@pytest.mark.parametrize("freedom", [4.0, 10.0, 33.0, 1000.0])
@pytest.mark.parametrize("t", [0.0, 0.5, 2.0, -3.0, 8.0, 30.0])
def test_student_is_as_rare_as_the_normal_number(freedom: float, t: float) -> None:
    z = float(as_normal(np.array([t]), np.array([freedom]))[0])
    assert np.sign(z) == np.sign(t)
    assert stats.norm.sf(abs(z)) == pytest.approx(stats.t.sf(abs(t), freedom), rel=1e-6)


def test_what_is_rarer_than_any_number_has_one_all_the_same() -> None:
    found = as_normal(np.array([40.0, -400.0]), np.full(2, 1e4))
    assert 35.0 < found[0] < 40.0
    assert -400.0 < found[1] < -100.0
