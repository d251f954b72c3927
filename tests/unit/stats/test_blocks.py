"""Effects of days and hours."""

import math

import numpy as np
import pytest
from scipy import stats

from homeostat.stats.blocks import (
    PRIOR_BLOCKS,
    BlockEffects,
    between_variance,
    clustered_error,
    fit_effects,
)


def rows(
    seed: int, days: int, each: int, by_day: float, by_hour: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hours = np.repeat(np.arange(days * 24), each)
    moved = rng.normal(0.0, by_day, days)[hours // 24] + rng.normal(0.0, by_hour, days * 24)[hours]
    return rng.normal(0.0, 0.3, hours.size) + moved, hours


def test_variance_between_blocks_is_that_of_the_analysis_of_variance() -> None:
    values, hours = rows(1, 8, 5, 0.5)
    days = hours // 24
    groups = [values[days == day] for day in range(8)]
    within = np.mean([group.var(ddof=1) for group in groups])
    ratio = stats.f_oneway(*groups).statistic
    assert between_variance(values, days) == pytest.approx((ratio - 1.0) * within / groups[0].size)


def test_it_is_unbiased_for_unequal_blocks() -> None:
    rng = np.random.default_rng(2)
    sizes = np.arange(10, 60)
    blocks = np.repeat(np.arange(sizes.size), sizes)
    found = [
        between_variance(
            rng.normal(size=blocks.size) + rng.normal(0.0, 0.5, sizes.size)[blocks], blocks
        )
        for _ in range(100)
    ]
    assert np.mean(found) == pytest.approx(0.25, abs=0.4 * float(np.std(found)))


@pytest.mark.parametrize("blocks", [[0, 0, 0], [0, 1, 2]])
def test_one_block_and_blocks_of_one_row_tell_nothing(blocks: list[int]) -> None:
    assert between_variance(np.array([0.1, 0.5, 0.9]), np.array(blocks)) == 0.0


def test_effects_of_days_and_hours_are_told_apart() -> None:
    by_day = fit_effects(*rows(3, 60, 500, 0.02), assumed=0.005, lost=0)
    assert by_day.days == 60
    assert by_day.between == pytest.approx(0.02, rel=0.25)
    assert by_day.within < 0.003
    both = fit_effects(*rows(4, 60, 500, 0.02, 0.03), assumed=0.005, lost=0)
    assert both.within == pytest.approx(0.03, rel=0.1)


def test_without_days_the_assumption_is_all_there_is() -> None:
    one = fit_effects(*rows(5, 1, 100, 0.0), assumed=0.005, lost=0)
    assert one == BlockEffects(1, 0.005, 0.0)
    expected = stats.t.isf(0.001, PRIOR_BLOCKS) * 0.005 * math.sqrt(2.0)
    assert one.reach(0.001) == pytest.approx(expected)


@pytest.mark.parametrize("days", [3, 7, 28])
@pytest.mark.parametrize("sd", [0.005, 0.02])
def test_a_new_day_goes_beyond_its_reach_as_seldom_as_said(days: int, sd: float) -> None:
    beyond = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        hours = np.repeat(np.arange(days * 24), 2)
        found = rng.normal(0.0, sd, days)[hours // 24]
        known = fit_effects(found + rng.normal(0.0, 0.005, hours.size), hours, 0.005, 0)
        beyond.append(rng.normal(0.0, sd, 20) - found.mean() > known.reach(0.05))
    assert np.mean(beyond) <= 0.06


def test_clustered_error_is_that_of_block_means_for_equal_blocks() -> None:
    values, hours = rows(6, 9, 4, 0.3)
    means = values.reshape(9, -1).mean(axis=1)
    assert clustered_error(values, hours // 24) == pytest.approx(stats.sem(means))
    assert math.isnan(clustered_error(values, np.zeros(values.size, dtype=np.int64)))
