import math

import numpy as np
import pytest

from homeostat.rollout.bandit.delays import Earned, matured, weighted
from homeostat.stats.survival import kaplan_meier

CURVE = kaplan_meier(np.arange(1.0, 11.0), np.ones(10, dtype=bool))


def test_weighted_exposures_are_unbiased_at_any_age() -> None:
    """A rate of 0.2 with delays of one to ten days, seen after three."""
    rng = np.random.default_rng(0)
    ages = rng.uniform(0.0, 6.0, 40_000)
    pays = rng.random(40_000) < 0.2
    came = pays & (rng.integers(1, 11, 40_000) <= ages)
    found = weighted(ages, np.where(came, 1.0, math.nan), CURVE)
    assert found.total / found.n == pytest.approx(0.2, rel=0.05)
    assert came.mean() < 0.06  # what counting everybody would say


def test_matured_exposures_are_fewer_and_whole() -> None:
    ages, rewards = np.array([20.0, 12.0, 3.0]), np.array([2.5, math.nan, 1.0])
    assert matured(ages, rewards, maturity=10.0) == Earned(2.0, 2.5, 6.25)
    assert matured([], [], maturity=10.0) == Earned()


def test_parts_add_up() -> None:
    ages, rewards = np.arange(8.0), np.array([math.nan, 1.0] * 4)
    parts = weighted(ages[:3], rewards[:3], CURVE) + weighted(ages[3:], rewards[3:], CURVE)
    assert parts.n == pytest.approx(weighted(ages, rewards, CURVE).n)
    assert parts.total == 4.0


@pytest.mark.parametrize(
    ("ages", "rewards"),
    [
        ([1.0], [1.0, 2.0]),
        ([[1.0]], [[1.0]]),
        ([-1.0], [1.0]),
        ([math.nan], [1.0]),
        ([1.0], [math.inf]),
    ],
    ids=["sizes", "shape", "negative age", "no age", "endless reward"],
)
def test_exposures_are_checked(ages: list[float], rewards: list[float]) -> None:
    with pytest.raises(ValueError, match="age"):
        matured(ages, rewards, 1.0)


@pytest.mark.parametrize("discount", [0.0, 1.1], ids=str)
def test_a_discount_is_a_share(discount: float) -> None:
    with pytest.raises(ValueError, match="discount"):
        Earned(1.0).faded(discount)
