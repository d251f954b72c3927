"""Which answers count, whose delays are whose, and what says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.rollout.bandit.design import Bandit, Delay, Kind
from homeostat.rollout.bandit.learn import (
    Exposures,
    Silence,
    delay_curve,
    earned,
    known_by_now,
    silence,
)
from homeostat.stats.survival import kaplan_meier

NAN = float("nan")
Floats = NDArray[np.float64]


def exposures(ages: Floats, rewards: Floats, delays: Floats | None = None) -> Exposures:
    ones = np.ones(ages.size)
    taken = np.full(ages.size, NAN) if delays is None else delays
    return Exposures(ages, rewards, taken, ones, np.arange(ages.size))


def seen(scale: float, size: int, age: float) -> Exposures:
    """Rewards that came by an age, of exponential delays."""
    delays = np.random.default_rng(1).exponential(scale, 40 * size)
    delays = delays[delays <= age][:size]
    return exposures(np.full(delays.size, age), np.ones(delays.size), delays)


def test_a_score_counts_only_where_one_was_given() -> None:
    rows = exposures(np.array([9.0, 9.0, 1.0]), np.array([4.0, NAN, 5.0]))
    value = Bandit("b", "m", ("1", "2"), kind=Kind.VALUE)
    score = Bandit("b", "m", ("1", "2"), kind=Kind.SCORE)
    assert earned(value, rows, 7.0, None).n == 2.0
    assert earned(score, rows, 7.0, None).n == 1.0


def test_what_was_forgotten_counts_less() -> None:
    ages = np.array([9.0, 8.0])
    rows = Exposures(ages, np.array([1.0, NAN]), ages, np.array([0.5, 1.0]), np.arange(2))
    found = earned(Bandit("b", "m", ("1", "2")), rows, 7.0, None)
    assert (found.n, found.total, found.squares) == (1.5, 0.5, 0.5)


OLD = np.random.default_rng(0).exponential(1.0, 500)
NONE = np.empty(0)


@pytest.mark.parametrize(
    ("own", "others", "rows", "known"),
    [
        (OLD, NONE, seen(9.0, 99, 2.0), True),
        (OLD[:99], NONE, seen(1.0, 99, 2.0), False),
        (NONE, OLD, seen(1.0, 99, 2.0), True),
        (NONE, OLD, seen(1.0, 29, 2.0), False),
        (NONE, OLD, seen(5.0, 99, 3.0), False),
        (NONE, OLD, seen(0.1, 99, 3.0), False),
    ],
    ids=["own", "few", "alike", "untested", "slower", "faster"],
)
def test_whose_delays_an_arm_has(own: Floats, others: Floats, rows: Exposures, known: bool) -> None:
    assert (delay_curve(own, others, rows) is not None) == known


def test_delays_that_are_the_same_are_seldom_taken_for_others() -> None:
    refused = 0
    rng = np.random.default_rng(3)
    for _ in range(200):
        delays = rng.exponential(1.0, 400)
        limits = rng.uniform(0.1, 4.0, 400)
        came = delays <= limits
        rows = exposures(limits[came], np.ones(int(came.sum())), delays[came])
        refused += delay_curve(NONE, rng.exponential(1.0, 500), rows) is None
    assert refused <= 4


def test_an_arm_without_any_reward_is_judged_by_the_rate_of_others() -> None:
    ages = np.arange(300.0)
    nothing = np.zeros(300, dtype=bool)
    known = np.ones(300)
    assert silence(ages, known, nothing, 0.1) == Silence(float("inf"), 0.0, lasts=True)
    assert silence(ages, known, nothing, 0.01) is None
    assert silence(NONE, NONE, nothing[:0], 0.1) is None


def test_a_silence_in_the_middle_is_found_and_is_over() -> None:
    ages = np.arange(300.0)
    came = (ages % 5 == 0) & ~((ages > 100) & (ages < 200))
    assert silence(ages, np.ones(300), came, 0.0) == Silence(200.0, 100.0, lasts=False)


def test_answers_whose_rewards_are_not_due_are_not_silent() -> None:
    ages = np.arange(300.0)
    came = ages >= 100
    assert silence(ages, known_by_now(exposures(ages, ages), 100.0, None), came, 0.0) is None
    curve = kaplan_meier(np.array([1.0, 3.0]), np.ones(2, dtype=bool))
    assert known_by_now(exposures(np.array([0.5, 2.0, 4.0]), NONE), 9.0, curve).tolist() == [
        0.0, 0.5, 1.0,
    ]  # fmt: skip


@given(st.integers(0, 2**32 - 1))
def test_chance_alone_is_seldom_silent(seed: int) -> None:
    rng = np.random.default_rng(seed % 50)
    came = rng.random(2000) < 0.1
    assert silence(np.arange(2000.0), np.ones(2000), came, 0.1) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"arms": ("1",)}, "two or more"),
        ({"arms": ("1", "1")}, "two or more"),
        ({"arms": ("1", "")}, "two or more"),
        ({"floor": 0.5}, "floors are positive"),
        ({"floor": 0.0}, "floors are positive"),
        ({"discount": 0.0}, "discount and traffic"),
        ({"traffic": 1.1}, "discount and traffic"),
        ({"better": "more"}, "higher or lower"),
        ({"least": 0}, "at least 1 answer"),
        ({"kind": Kind.SCORE, "delay": Delay.WEIGHTED}, "no 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_is_no_bandit_is_refused(change: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"arms": ("1", "2")} | change
    with pytest.raises(ValueError, match=says):
        Bandit("b", "m", **given)  # type: ignore[arg-type]
