import math

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.rollout.bandit.off_policy import OffPolicy, doubly_robust, ips, snips

Floats = NDArray[np.float64]

MEANS = np.array([0.2, 0.5, 0.8])
LOGGING = np.array([0.6, 0.3, 0.1])
TARGET = np.array([0.1, 0.2, 0.7])
TRUTH = float(TARGET @ MEANS)


def log(rng: np.random.Generator, n: int) -> tuple[NDArray[np.intp], Floats]:
    arms = rng.choice(3, n, p=LOGGING)
    return arms, (rng.random(n) < MEANS[arms]).astype(float)


def estimates(rng: np.random.Generator, n: int) -> dict[str, OffPolicy]:
    arms, rewards = log(rng, n)
    target, logged = TARGET[arms], LOGGING[arms]
    model = np.array([0.3, 0.5, 0.6])  # wrong on purpose
    return {
        "ips": ips(rewards, target, logged),
        "snips": snips(rewards, target, logged),
        "dr": doubly_robust(
            rewards, target, logged, model[arms], np.full(n, float(TARGET @ model))
        ),
    }


@pytest.mark.statistical
def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = dict.fromkeys(("ips", "snips", "dr"), 0)
    spread: dict[str, list[float]] = {name: [] for name in held}
    for _ in range(300):
        for name, found in estimates(rng, 600).items():
            held[name] += TRUTH in found.interval
            spread[name].append(found.value)
    for name, count in held.items():
        assert 270 <= count <= 297
        error = np.std(spread[name]) / math.sqrt(300)
        assert abs(np.mean(spread[name]) - TRUTH) < 4.0 * error
    assert np.std(spread["snips"]) < np.std(spread["ips"])
    assert np.std(spread["dr"]) < np.std(spread["ips"])


def test_a_right_model_leaves_only_the_noise_of_rewards() -> None:
    arms = np.random.default_rng(1).choice(3, 900, p=LOGGING)
    found = doubly_robust(
        MEANS[arms], TARGET[arms], LOGGING[arms], MEANS[arms], np.full(900, TRUTH)
    )
    assert found.value == pytest.approx(TRUTH)
    assert found.interval.upper - found.interval.lower < 1e-9


def test_the_policy_that_ran_is_worth_what_it_earned() -> None:
    arms, rewards = log(np.random.default_rng(2), 400)
    for found in (
        ips(rewards, LOGGING[arms], LOGGING[arms]),
        snips(rewards, LOGGING[arms], LOGGING[arms]),
    ):
        assert found.value == pytest.approx(rewards.mean())
        assert found.effective == pytest.approx(400.0)


def test_without_overlap_there_is_no_answer_and_with_little_no_interval() -> None:
    rewards, logged = np.ones(100), np.full(100, 0.5)
    never = np.zeros(100)
    few = np.where(np.arange(100) < 3, 1.0, 0.0)
    for estimate in (ips, snips):
        found = estimate(rewards, never, logged)
        assert math.isnan(found.value)
        assert (found.effective, math.isnan(found.interval.lower)) == (0.0, True)
        found = estimate(rewards, few, logged)
        assert found.effective == pytest.approx(3.0)
        assert math.isnan(found.interval.lower)
    empty = np.empty(0)
    assert math.isnan(ips(empty, empty, empty).value)
    assert math.isnan(doubly_robust(rewards, never, logged, rewards, rewards).value)


@pytest.mark.parametrize(
    ("rewards", "target", "propensities", "message"),
    [
        ([1.0], [0.5], [0.0], "in \\(0, 1\\]"),
        ([1.0], [0.5], [1.5], "in \\(0, 1\\]"),
        ([1.0], [1.5], [0.5], "target policy"),
        ([math.nan], [0.5], [0.5], "rewards are finite"),
        ([1.0, 1.0], [0.5], [0.5], "give each row"),
    ],
    ids=["zero", "above one", "target", "unknown reward", "sizes"],
)
def test_logs_are_checked(
    rewards: list[float], target: list[float], propensities: list[float], message: str
) -> None:
    for estimate in (ips, snips):
        with pytest.raises(ValueError, match=message):
            estimate(np.array(rewards), np.array(target), np.array(propensities))
