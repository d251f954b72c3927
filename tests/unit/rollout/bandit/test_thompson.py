import math

import numpy as np
import pytest

from homeostat.rollout.bandit.delays import Earned, matured, weighted
from homeostat.rollout.bandit.thompson import Reward, Shares, floored, thompson
from homeostat.stats.chance_better import chance_better
from homeostat.stats.survival import Curve, kaplan_meier


def test_shares_are_the_chances_of_being_the_best() -> None:
    earned = {"a": Earned(1000.0, 100.0), "b": Earned(1000.0, 110.0)}
    shares = thompson(earned, np.random.default_rng(0), floor=0.0, draws=40_000)
    exact = chance_better((101.0, 901.0), (111.0, 891.0))
    assert shares.best["b"] == pytest.approx(exact, abs=0.01)
    assert shares.of == shares.best


def test_gaussian_chances_are_those_of_students_distribution() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(10.0, 4.0, 200), rng.normal(10.5, 4.0, 200)
    earned = {
        name: Earned(200.0, float(rows.sum()), float(rows @ rows))
        for name, rows in (("a", a), ("b", b))
    }
    shares = thompson(earned, rng, Reward.GAUSSIAN, draws=40_000)
    z = (b.mean() - a.mean()) / math.sqrt((a.var() + b.var()) / 200)
    assert shares.best["b"] == pytest.approx(0.5 * math.erfc(-z / math.sqrt(2.0)), abs=0.02)


@pytest.mark.parametrize("reward", list(Reward), ids=str)
def test_arms_without_rewards_are_dealt_alike(reward: Reward) -> None:
    shares = thompson(
        {"a": Earned(), "b": Earned(), "c": Earned()}, np.random.default_rng(1), reward
    )
    assert all(share == pytest.approx(1 / 3, abs=0.05) for share in shares.of.values())


def test_an_arm_that_is_always_the_same_can_be_beaten() -> None:
    flat = Earned(500.0, 500.0, 500.0)
    shares = thompson({"a": flat, "b": flat.faded(0.5)}, np.random.default_rng(0), Reward.GAUSSIAN)
    assert 0.3 < shares.of["a"] < 0.7


def test_weights_below_what_came_are_no_failures() -> None:
    early = Earned(n=1.5, total=3.0, squares=3.0)
    shares = thompson({"a": early, "b": Earned()}, np.random.default_rng(0))
    assert shares.of["a"] > 0.7


def test_no_arm_falls_below_its_floor_and_all_sum_to_one() -> None:
    earned = {"a": Earned(5000.0, 500.0), "b": Earned(5000.0, 1000.0), "c": Earned(10.0, 1.0)}
    shares = thompson(earned, np.random.default_rng(0), floor=0.05)
    assert min(shares.of.values()) >= 0.05
    assert sum(shares.of.values()) == pytest.approx(1.0)
    assert floored(np.array([[0.2, 0.8]]), 0.5).tolist() == [[0.5, 0.5]]


def test_choices_follow_the_propensities_they_report() -> None:
    shares = Shares({"a": 0.9, "b": 0.1}, {"a": 0.9, "b": 0.1})
    arms, propensities = shares.choose(np.random.default_rng(0), 5000)
    assert np.mean(arms == 1) == pytest.approx(0.1, abs=0.02)
    assert set(propensities[arms == 1].tolist()) == {0.1}


def test_what_is_no_bandit_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="needs arms"):
        thompson({}, rng)
    with pytest.raises(ValueError, match="floors of"):
        thompson({"a": Earned(), "b": Earned()}, rng, floor=0.6)
    with pytest.raises(ValueError, match="negative sum"):
        thompson({"a": Earned(2.0, -1.0)}, rng)


def late(how: str, days: int, rng: np.random.Generator) -> float:
    """Share of the better arm, a rate of .10 known after weeks beside .08 known next day."""
    rates, scales = (0.10, 0.08), (20.0, 0.5)
    grid = np.linspace(0.0, 300.0, 601)
    curves = [Curve(grid, -np.expm1(-grid / scale), np.zeros(601)) for scale in scales]
    born: list[list[np.ndarray]] = [[], []]
    due: list[list[np.ndarray]] = [[], []]
    share, dealt, good = 0.5, 0, 0
    for day in range(days):
        counts = rng.multinomial(400, [share, 1.0 - share]).tolist()
        good, dealt = good + counts[0], dealt + 400
        earned = {}
        for arm, count in enumerate(counts):
            delays = day + rng.exponential(scales[arm], count)
            due[arm].append(np.where(rng.random(count) < rates[arm], delays, np.inf))
            born[arm].append(np.full(count, float(day)))
            ages = day + 1.0 - np.concatenate(born[arm])
            came = np.where(np.concatenate(due[arm]) <= day + 1.0, 1.0, np.nan)
            if how == "weighted":
                earned[str(arm)] = weighted(ages, came, curves[arm])
            else:
                earned[str(arm)] = matured(ages, came, 40.0 if how == "matured" else 0.0)
        share = thompson(earned, rng, draws=300).of["0"]
    return good / dealt


def test_labels_on_their_way_are_no_failures() -> None:
    """The benchmark has more runs; here one each."""
    naive = late("naive", 60, np.random.default_rng(0))
    aware = late("weighted", 60, np.random.default_rng(0))
    assert naive < 0.3
    assert aware > 0.85


def test_a_bandit_that_forgets_follows_a_change() -> None:
    def share(discount: float) -> float:
        rng = np.random.default_rng(0)
        earned = {"a": Earned(), "b": Earned()}
        found, rates = 0.0, (0.15, 0.10)
        for batch in range(80):
            if batch == 40:
                rates = rates[::-1]
            shares = thompson(earned, rng, draws=400)
            for (name, part), rate in zip(shares.of.items(), rates, strict=True):
                n = round(300 * part)
                hits = float(rng.binomial(n, rate))
                earned[name] = earned[name].faded(discount) + Earned(float(n), hits, hits)
            found += shares.of["b"] / 20.0 if 40 <= batch < 60 else 0.0
        return found

    forgetful, faithful = share(0.8), share(1.0)
    assert forgetful > 0.5
    assert faithful < forgetful - 0.2


def test_the_curve_may_be_learnt() -> None:
    rng = np.random.default_rng(0)
    curve = kaplan_meier(rng.exponential(5.0, 2000), np.ones(2000, dtype=bool))
    ages = rng.uniform(0.0, 10.0, 20_000)
    came = (rng.random(20_000) < 0.3) & (rng.exponential(5.0, 20_000) <= ages)
    found = weighted(ages, np.where(came, 1.0, np.nan), curve)
    assert found.total / found.n == pytest.approx(0.3, rel=0.05)
