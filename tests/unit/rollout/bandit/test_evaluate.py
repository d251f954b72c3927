"""What another policy would have earned, against what it does earn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.rollout.bandit.evaluate import Evaluation, Logged, evaluate, shares_of
from homeostat.rollout.bandit.off_policy import OffPolicy, doubly_robust, ips, snips

ARMS = ("v7", "v8")
RATES = np.array([0.1, 0.3])
ALWAYS = np.array([0.0, 1.0])


def changing(rng: np.random.Generator, days: int = 10, daily: int = 300) -> Logged:
    """A bandit whose shares change while the times get better for all arms."""
    arms, rewards, chances = [], [], []
    for day in range(days):
        share = 0.1 + 0.08 * day
        chosen = (rng.random(daily) < share).astype(np.intp)
        rates = RATES * (0.5 + day / days)
        arms.append(chosen)
        rewards.append((rng.random(daily) < rates[chosen]).astype(np.float64))
        chances.append(np.where(chosen == 1, share, 1.0 - share))
    size = days * daily
    return Logged(
        np.concatenate(arms), np.concatenate(rewards), np.concatenate(chances), np.arange(size)
    )


def taken(log: Logged, rows: NDArray[np.intp]) -> Logged:
    return Logged(log.arms[rows], log.rewards[rows], log.propensities[rows], log.entities[rows])


def test_shares_that_change_with_the_times_do_not_mislead() -> None:
    truth = 0.3 * np.mean(0.5 + np.arange(10) / 10)
    naive, covered = [], np.zeros(3)
    for seed in range(40):
        log = changing(np.random.default_rng(seed))
        found = evaluate(ARMS, ALWAYS, log)
        naive.append(log.rewards[log.arms == 1].mean())
        for place, each in enumerate((found.ips, found.snips, found.doubly_robust)):
            assert each is not None
            covered[place] += each.interval.lower <= truth <= each.interval.upper
    assert np.mean(naive) > truth + 0.02
    assert (covered >= 34).all()


def test_rows_of_one_customer_are_one_witness() -> None:
    log = changing(np.random.default_rng(0))
    again = taken(log, np.repeat(np.arange(log.arms.size), 4))
    once, four = evaluate(ARMS, ALWAYS, log), evaluate(ARMS, ALWAYS, again)
    assert (four.rows, four.entities) == (4 * once.rows, once.entities)
    for name in ("ips", "snips"):
        one, other = getattr(once, name), getattr(four, name)
        assert other.value == pytest.approx(one.value)
        assert other.effective == pytest.approx(one.effective)
        assert other.interval.upper == pytest.approx(one.interval.upper, abs=1e-4)


def refused(found: Evaluation) -> str:
    assert found.ips is found.snips is found.doubly_robust is None
    return found.refused


def test_what_was_hardly_tried_cannot_be_told() -> None:
    log = changing(np.random.default_rng(0))
    first = log.arms == 0
    only = taken(log, np.flatnonzero(first))
    assert "wants v8, which was never tried" in refused(evaluate(ARMS, ALWAYS, only))
    few = taken(log, np.flatnonzero(first | (np.cumsum(log.arms) <= 20)))
    assert "and 30 are needed" in refused(evaluate(ARMS, ALWAYS, few))
    nothing = taken(log, np.arange(0))
    assert "no answer" in refused(evaluate(ARMS, ALWAYS, nothing))


def test_a_policy_may_depend_on_the_row() -> None:
    rng = np.random.default_rng(0)
    kind = (rng.random(6000) < 0.5).astype(np.intp)
    arms = (rng.random(6000) < 0.5).astype(np.intp)
    rewards = (rng.random(6000) < np.where(arms == kind, 0.4, 0.1)).astype(np.float64)
    log = Logged(arms, rewards, np.full(6000, 0.5), np.arange(6000))
    by_kind: NDArray[np.float64] = np.eye(2)[kind]
    found = evaluate(ARMS, by_kind, log)
    assert found.doubly_robust is not None
    assert found.doubly_robust.value == pytest.approx(0.4, abs=0.02)
    assert found.logged == pytest.approx(0.25, abs=0.02)


def test_shares_are_checked() -> None:
    log = changing(np.random.default_rng(0))
    assert shares_of(ARMS, {"v8": 0.25, "v7": 0.75}).tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match="'v9' is no arm; there are v7, v8"):
        shares_of(ARMS, {"v9": 1.0})
    for shares in ({"v7": 0.5}, {"v7": 1.5, "v8": -0.5}):
        with pytest.raises(ValueError, match="their sum is 1"):
            shares_of(ARMS, shares)
        with pytest.raises(ValueError, match="their sum is 1"):
            evaluate(ARMS, np.array([*shares.values(), 0.0])[:2], log)


@pytest.mark.parametrize("way", ["ips", "snips", "doubly_robust"])
def test_without_entities_each_row_is_of_its_own(way: str) -> None:
    log = changing(np.random.default_rng(0), days=2)
    target = log.arms.astype(np.float64)
    further = (np.zeros(600), np.zeros(600)) if way == "doubly_robust" else ()
    functions = {"ips": ips, "snips": snips, "doubly_robust": doubly_robust}
    given = (log.rewards, target, log.propensities, *further)
    alone: OffPolicy = functions[way](*given)  # type: ignore[operator]
    named: OffPolicy = functions[way](*given, entities=np.arange(600))  # type: ignore[operator]
    assert alone == named
