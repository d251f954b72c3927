"""What rows of people who come again are worth, in one batch and over many."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.rollout.bandit.repeats import GROUPS, Repeats, repeats

RNG = np.random.default_rng(0)


def of(rewards: list[float], groups: list[int]) -> Repeats:
    ones = np.ones(len(rewards))
    return repeats(ones, np.array(rewards), ones, np.array(groups, dtype=np.intp))


def test_the_effect_is_that_of_clusters() -> None:
    ones = np.ones(2000)
    who = np.repeat(np.arange(500), 4) % GROUPS
    same = np.repeat(RNG.random(500) < 0.3, 4).astype(np.float64)
    assert repeats(ones, same, ones, who).effect == pytest.approx(4.0, rel=0.2)
    apart = (RNG.random(2000) < 0.3).astype(np.float64)
    assert repeats(ones, apart, ones, who).effect == pytest.approx(1.0, abs=0.2)


def test_batches_together_are_worth_what_all_their_rows_are_at_once() -> None:
    rewards, who = RNG.random(100).round(3).tolist(), RNG.integers(0, 40, 100).tolist()
    whole = of(rewards, who)
    parts = of(rewards[:30], who[:30]) + Repeats() + of(rewards[30:], who[30:])
    assert parts.effect == pytest.approx(whole.effect, rel=1e-9)
    assert whole.faded(0.5).effect == pytest.approx(whole.effect, rel=1e-9)


def test_what_cannot_be_told_is_one() -> None:
    assert Repeats().effect == 1.0
    assert of([], []) == Repeats()
    assert of([1.0] * 4, [0] * 4).effect == 1.0
    nothing = np.zeros(2)
    assert repeats(nothing, nothing, np.ones(2), np.arange(2)).effect == 1.0


def test_people_who_come_every_day_do_not_become_evidence() -> None:
    """Two arms that are alike, of 40 customers each who always do the same: 128 days of them."""
    sure = 0
    for _ in range(100):
        errors = []
        for _ in range(2):
            habits = (RNG.random(40) < 0.1).astype(np.float64).tolist()
            once = of(habits, list(range(40)))
            total = once
            for _ in range(7):
                total = total + total
            n, mean = sum(total.rows) / total.effect, float(np.mean(habits))
            assert n == pytest.approx(40.0) or mean == 0.0
            errors.append((mean, mean * (1.0 - mean) / n))
        (one, first), (two, second) = errors
        sure += abs(one - two) > 2.576 * np.sqrt(first + second)
    assert sure <= 6
