import math
from dataclasses import replace

import numpy as np
import pytest

from homeostat.rollout.experiment.analyse import analyse
from homeostat.rollout.experiment.design import Experiment, Horizon, Kind, Metric, Role
from homeostat.rollout.experiment.planning import needs
from homeostat.rollout.experiment.rehearse import rehearse
from homeostat.rollout.experiment.tally import Measured, Tally, measure
from homeostat.stats.power import rows_for_means, rows_when_looking

PAID = Metric("paid", Kind.CONVERSION)
SLOW = Metric("slow", Kind.LATENCY, Role.GUARDRAIL, margin=0.1)
ERRORS = Metric("errors", Kind.ERROR_RATE, Role.GUARDRAIL, margin=0.2)
TENTH = Experiment("checkout", ("v7", "v8"), (PAID,), 10_000, shares=(0.9, 0.1))
EVEN = replace(TENTH, shares=(0.5, 0.5))
RNG = np.random.default_rng(1)
TIMES = measure(SLOW, RNG.lognormal(4.0, 0.6, 20_000))


def shares(metric: Metric, share: float, n: int = 5000) -> Measured:
    return measure(metric, np.arange(n) < share * n)


@pytest.mark.parametrize("horizon", list(Horizon))
def test_means_need_what_the_formulas_say(horizon: Horizon) -> None:
    design = replace(TENTH, horizon=horizon)
    (need,) = needs(design, [shares(PAID, 0.1)], effect=0.2)
    rows = rows_for_means if horizon is Horizon.FIXED else rows_when_looking
    control = rows(0.02, math.sqrt(0.09 * 5000 / 4999), 0.8, 0.05, 1 / 9)
    assert need.entities == pytest.approx(control / 0.9)
    assert (need.figure, need.problem) == (0.1, "")


def test_a_guardrail_shares_the_power_and_has_the_whole_error() -> None:
    design = replace(EVEN, metrics=(PAID, ERRORS, SLOW))
    _, errors, _ = needs(design, [shares(PAID, 0.1), shares(ERRORS, 0.05), TIMES], effect=0.2)
    sd = math.sqrt(0.05 * 0.95 * 5000 / 4999)
    assert errors.entities == pytest.approx(2 * rows_when_looking(0.01, sd, 0.9, 0.05))


def test_a_quantile_is_proven_by_what_is_said_as_often_as_is_said() -> None:
    """Draw experiments of that size in which nothing differs: enough of them are proven safe."""

    design = replace(EVEN, metrics=(PAID, SLOW))
    need = needs(design, [shares(PAID, 0.1), TIMES], effect=0.2)[1]
    assert 10_000 < need.entities < 25_000
    n = round(need.entities / 2)
    rng = np.random.default_rng(2)
    sized = replace(design, size=2 * n)
    safe = 0
    for _ in range(20):
        arms = {
            arm: Tally(n, {"slow": measure(SLOW, rng.lognormal(4.0, 0.6, n))})
            for arm in design.arms
        }
        (report,) = analyse(sized, arms).arms
        safe += report.effects[1].evidence.safe <= design.alpha
    assert safe >= 13  # of 20 at a power of 0.8: fewer once in a hundred


def test_what_cannot_be_said_says_why() -> None:
    few = measure(SLOW, np.full(10, 5.0))
    same = measure(PAID, np.zeros(500))
    bare = replace(SLOW, margin=0.0)
    design = replace(EVEN, metrics=(PAID, SLOW))
    paid, slow = needs(design, [same, few], effect=0.2)
    assert math.isnan(paid.entities)
    assert math.isnan(slow.entities)
    assert "too little is on record" in slow.problem
    (_, never) = needs(replace(design, metrics=(PAID, bare)), [same, TIMES], effect=0.2)
    assert "never proven" in never.problem
    tiny = replace(SLOW, margin=0.001)
    (_, endless) = needs(replace(design, metrics=(PAID, tiny)), [same, TIMES], effect=0.2)
    assert "times are known to 0.8 %" in endless.problem
    two = measure(SLOW, np.where(np.arange(1000) < 950, 1.0, 10.0))  # its quantile is either
    (_, torn) = needs(design, [same, two], effect=0.2)
    assert math.isnan(torn.entities)
    (rare,) = needs(EVEN, [shares(PAID, 0.001)], effect=20.0)
    assert "fewer than 50 events" in rare.problem


def test_a_latency_may_be_what_has_to_be_better() -> None:
    quick = replace(SLOW, role=Role.SUCCESS, margin=0.0)
    design = replace(EVEN, metrics=(quick,))
    (small,) = needs(design, [TIMES], effect=0.05)
    (large,) = needs(design, [TIMES], effect=0.2)
    (tenth,) = needs(replace(design, shares=(0.9, 0.1)), [TIMES], effect=0.2)
    assert tenth.entities > large.entities
    (vast,) = needs(replace(design, shares=(0.9, 0.1)), [TIMES], effect=1000.0)
    assert vast.entities < tenth.entities
    assert large.entities < small.entities


def test_a_rehearsal_of_nothing_different_is_sound() -> None:

    design = replace(EVEN, size=2000)
    rng = np.random.default_rng(0)
    paid = (rng.random(2000) < 0.2).astype(float)
    fine = rehearse(design, {"paid": (paid, None)}, [1000, 2000], rng, runs=30)
    assert (fine.sound, fine.entities, fine.looks) == (True, 2000, 2)
    assert fine.rate == fine.shipped / 30
    with pytest.raises(ValueError, match="no entities"):
        rehearse(design, {"paid": (paid, None)}, [], rng)


def test_a_rehearsal_deals_every_metric() -> None:
    spent = Metric("spent", Kind.REVENUE, covariate=True)
    slow = replace(SLOW, margin=0.9)
    design = replace(TENTH, metrics=(PAID, spent, slow), size=4000, shares=(0.5, 0.5))
    rng = np.random.default_rng(3)
    n = 4000
    before = rng.gamma(2.0, 10.0, n)
    times = np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(4.0, 0.3, n))
    figures = {
        "paid": ((rng.random(n) < 0.3).astype(float), None),
        "spent": (before + rng.normal(size=n), before),
        "slow": (times, None),
    }
    found = rehearse(design, figures, [n], rng, runs=20)
    assert found.sound
    loose = replace(EVEN, size=n, horizon=Horizon.FIXED, alpha=0.45)
    assert rehearse(loose, figures, [n], rng, runs=40).shipped > 0
