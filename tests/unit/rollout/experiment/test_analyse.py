import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.rollout.experiment.analyse import analyse
from homeostat.rollout.experiment.design import Experiment, Horizon, Kind, Metric, Role
from homeostat.rollout.experiment.report import Decision, Report
from homeostat.rollout.experiment.tally import Measured, Tally, measure
from homeostat.stats.moments import PairSums

PAID = Metric("paid", Kind.CONVERSION)
SPENT = Metric("spent", Kind.REVENUE)
ERRORS = Metric("errors", Kind.ERROR_RATE, Role.GUARDRAIL, margin=0.2)
SLOW = Metric("slow", Kind.LATENCY, Role.GUARDRAIL, margin=0.1)
EVEN = Experiment("checkout", ("v7", "v8"), (PAID,), 20_000, shares=(0.5, 0.5))


def hits(n: int, share: float) -> Measured:
    successes = float(round(n * share))
    return Measured(PairSums(float(n), successes, successes))


def arm(n: int, share: float, **others: Measured) -> Tally:
    return Tally(n, {"paid": hits(n, share), **others})


def latencies(n: int, scale: float) -> Measured:
    ranks = (np.arange(n) + 0.5) / n
    return measure(SLOW, scale * (1.0 + ranks + ranks**8))


def said(report: Report) -> str:
    return "\n".join(report.reasons)


def test_better_and_safe_ships() -> None:
    design = replace(EVEN, metrics=(PAID, ERRORS, SLOW))
    report = analyse(
        design,
        {
            "v7": arm(9000, 0.10, errors=hits(9000, 0.05), slow=latencies(9000, 100.0)),
            "v8": arm(9000, 0.13, errors=hits(9000, 0.045), slow=latencies(9000, 98.0)),
        },
    )
    assert (report.decision, report.winner, report.entities) == (Decision.SHIP, "v8", 18_000)
    assert "better: paid 10 % to 13 %" in said(report)
    assert "within its margin: errors 5 % to 4.5 %" in said(report)
    assert "(p95)" in said(report)


@pytest.mark.parametrize(
    ("errors", "slow", "why"),
    [(0.05, 104.0, "slow"), (0.055, 98.0, "errors")],
    ids=["slow", "errors"],
)
def test_a_guardrail_that_is_not_proven_safe_waits(errors: float, slow: float, why: str) -> None:
    design = replace(EVEN, metrics=(PAID, ERRORS, SLOW), size=40_000)
    report = analyse(
        design,
        {
            "v7": arm(1500, 0.10, errors=hits(1500, 0.05), slow=latencies(1500, 100.0)),
            "v8": arm(1500, 0.16, errors=hits(1500, errors), slow=latencies(1500, slow)),
        },
    )
    assert report.decision is Decision.CONTINUE
    assert f"not proven safe yet: {why}" in said(report)
    assert "better: paid" in said(report)


@pytest.mark.parametrize(
    ("share", "errors", "slow", "why"),
    [
        (0.07, 0.05, 100.0, "worse: paid 10 % to 7 %"),
        (0.14, 0.09, 100.0, "worse: errors 5 % to 9 %"),
        (0.14, 0.05, 140.0, "worse: slow"),
    ],
    ids=["success", "errors", "latency"],
)
def test_what_is_shown_to_be_worse_stops(
    share: float, errors: float, slow: float, why: str
) -> None:
    design = replace(EVEN, metrics=(PAID, ERRORS, SLOW))
    report = analyse(
        design,
        {
            "v7": arm(5000, 0.10, errors=hits(5000, 0.05), slow=latencies(5000, 100.0)),
            "v8": arm(5000, share, errors=hits(5000, errors), slow=latencies(5000, slow)),
        },
    )
    assert (report.decision, report.winner) == (Decision.STOP, "")
    assert why in said(report)


def test_a_guardrail_within_its_margin_may_be_a_little_worse() -> None:
    design = replace(EVEN, metrics=(PAID, replace(ERRORS, margin=0.5)), size=200_000)
    report = analyse(
        design,
        {
            "v7": arm(90_000, 0.10, errors=hits(90_000, 0.050)),
            "v8": arm(90_000, 0.12, errors=hits(90_000, 0.056)),
        },
    )
    assert report.decision is Decision.SHIP


def test_a_wrong_split_holds_everything() -> None:
    report = analyse(EVEN, {"v7": arm(5000, 0.10), "v8": arm(4300, 0.14)})
    assert (report.decision, report.winner) == (Decision.INCONCLUSIVE, "")
    assert report.sample_ratio < 0.001
    assert "not split as planned" in said(report)


def test_no_difference_goes_on_and_then_ends_without_shipping() -> None:
    early = analyse(EVEN, {"v7": arm(3000, 0.10), "v8": arm(3000, 0.10)})
    assert early.decision is Decision.CONTINUE
    late = analyse(EVEN, {"v7": arm(10_000, 0.100), "v8": arm(10_000, 0.101)})
    assert (late.decision, late.winner) == (Decision.INCONCLUSIVE, "")
    assert "without proof the control stays" in said(late)


@pytest.mark.parametrize(
    "tallies",
    [{}, {"v7": Tally(50), "v8": Tally(50)}, {"v7": arm(60, 0.1), "v8": arm(60, 0.9)}],
    ids=["nothing", "no labels", "few"],
)
def test_no_data_is_no_decision(tallies: dict[str, Tally]) -> None:
    report = analyse(EVEN, tallies)
    assert (report.decision, report.winner) == (Decision.NO_DATA, "")
    assert "v8: paid: " in said(report)


def test_labels_for_one_arm_only_are_refused() -> None:
    report = analyse(EVEN, {"v7": arm(3000, 0.1), "v8": Tally(3000)})
    assert report.decision is Decision.NO_DATA
    assert "labels came for one arm only, none for v8" in said(report)
    other = analyse(EVEN, {"v7": Tally(3000), "v8": arm(3000, 0.1)})
    assert "none for v7" in said(other)


def test_labels_that_lack_more_in_one_arm_are_refused() -> None:
    half = Tally(3000, {"paid": hits(1500, 0.2)})
    report = analyse(EVEN, {"v7": arm(3000, 0.1), "v8": half})
    assert report.decision is Decision.NO_DATA
    assert "labels cover 100 % of v7 and 50 % of v8" in said(report)
    alike = analyse(EVEN, {"v7": Tally(3000, {"paid": hits(1520, 0.1)}), "v8": half})
    assert alike.decision is Decision.SHIP


def test_a_blind_guardrail_never_ships() -> None:
    design = replace(EVEN, metrics=(PAID, SLOW))
    report = analyse(
        design,
        {"v7": arm(5000, 0.1, slow=latencies(5000, 100.0)), "v8": arm(5000, 0.14)},
    )
    assert report.decision is Decision.CONTINUE
    assert "slow: labels came for one arm only" in said(report)
    over = analyse(replace(design, size=10_000), {"v7": arm(5000, 0.1), "v8": arm(5000, 0.14)})
    assert over.decision is Decision.INCONCLUSIVE
    assert "slow: no data yet" in said(over)


def test_a_second_success_metric_without_data_is_told() -> None:
    design = replace(EVEN, metrics=(PAID, SPENT))
    report = analyse(design, {"v7": arm(1000, 0.1), "v8": arm(1000, 0.1)})
    assert report.decision is Decision.CONTINUE
    assert "spent: no data yet" in said(report)


def test_a_fixed_horizon_is_read_at_its_end_only() -> None:
    design = replace(EVEN, horizon=Horizon.FIXED)
    early = analyse(design, {"v7": arm(8000, 0.10), "v8": arm(8000, 0.13)})
    assert early.decision is Decision.CONTINUE
    assert "read once, at its end" in said(early)
    harm = analyse(design, {"v7": arm(8000, 0.10), "v8": arm(8000, 0.07)})
    assert harm.decision is Decision.STOP
    tallies = {"v7": arm(10_000, 0.10), "v8": arm(10_000, 0.1095)}
    assert analyse(design, tallies).decision is Decision.SHIP
    assert analyse(EVEN, tallies).decision is Decision.INCONCLUSIVE


def test_more_tests_need_more_evidence() -> None:
    """Holm over success metrics and arms: what is enough for one is not for four."""
    tallies = {"v7": arm(5000, 0.10), "v8": arm(5000, 0.1206)}
    assert analyse(EVEN, tallies).decision is Decision.SHIP
    many = replace(EVEN, metrics=(PAID, *(Metric(f"m{i}", Kind.REVENUE) for i in range(3))))
    assert analyse(many, tallies).decision is Decision.CONTINUE


def test_of_several_arms_the_best_ships() -> None:
    design = replace(EVEN, arms=("v7", "v8", "v9"), shares=(1 / 3, 1 / 3, 1 / 3), size=30_000)
    report = analyse(
        design, {"v7": arm(9000, 0.10), "v8": arm(9000, 0.125), "v9": arm(9000, 0.135)}
    )
    assert (report.decision, report.winner) == (Decision.SHIP, "v9")
    assert [each.decision for each in report.arms] == [Decision.SHIP, Decision.SHIP]
    mixed = analyse(design, {"v7": arm(9000, 0.10), "v8": arm(9000, 0.07), "v9": arm(9000, 0.101)})
    assert mixed.decision is Decision.CONTINUE
    assert [each.decision for each in mixed.arms] == [Decision.STOP, Decision.CONTINUE]


def test_the_best_is_the_one_that_falls_most_where_less_is_better() -> None:
    failed = Metric("failed", Kind.ERROR_RATE)
    design = replace(
        EVEN,
        arms=("v7", "v8", "v9"),
        metrics=(failed,),
        shares=(1 / 3, 1 / 3, 1 / 3),
        size=30_000,
    )
    shares = {"v7": 0.20, "v8": 0.14, "v9": 0.15}
    report = analyse(
        design, {name: Tally(9000, {"failed": hits(9000, p)}) for name, p in shares.items()}
    )
    assert (report.decision, report.winner) == (Decision.SHIP, "v8")


def test_harm_in_a_segment_holds_a_version_back() -> None:
    whole = {"v7": arm(9000, 0.10), "v8": arm(9000, 0.13)}
    part = {"v7": arm(2000, 0.12), "v8": arm(2000, 0.05)}
    fine = {"v7": arm(2000, 0.10), "v8": arm(2000, 0.10)}
    report = analyse(EVEN, whole, {"country=FR": part, "country=DE": fine})
    assert (report.decision, report.winner) == (Decision.INCONCLUSIVE, "")
    assert "worse in country=FR: paid 12 % to 5 %" in said(report)
    assert [part.harmed for part in report.segments] == [True, False]
    assert analyse(EVEN, whole, {"country=DE": fine, "new": {}}).decision is Decision.SHIP
    slack = analyse(EVEN, fine, {"country=FR": part})
    assert slack.decision is Decision.CONTINUE
    assert "worse in country=FR" in said(slack)


def test_hostile_names_are_printed_harmlessly() -> None:
    metric = Metric("paid\x1b[31m", Kind.CONVERSION)
    design = replace(EVEN, metrics=(metric,))
    tallies = {
        name: Tally(9000, {metric.name: hits(9000, p)}) for name, p in (("v7", 0.1), ("v8", 0.2))
    }
    assert "\x1b" not in said(analyse(design, tallies))


def rows(n: int, seed: int, lift: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    before = rng.gamma(2.0, 10.0, n)
    return before + rng.normal(5.0 + lift, 4.0, n), before


def test_a_covariate_finds_what_noise_hides() -> None:
    spent = Metric("spent", Kind.REVENUE, covariate=True)
    tallies = {
        name: Tally(2000, {"spent": measure(spent, *rows(2000, seed, lift))})
        for name, seed, lift in (("v7", 0, 0.0), ("v8", 1, 1.0))
    }
    adjusted = analyse(replace(EVEN, metrics=(spent,)), tallies)
    assert adjusted.decision is Decision.SHIP
    plain = analyse(replace(EVEN, metrics=(replace(spent, covariate=False),)), tallies)
    assert plain.decision is Decision.CONTINUE


def test_ratios_count_entities_not_views() -> None:
    clicks = Metric("clicks", Kind.RATIO)
    rng = np.random.default_rng(0)

    def of(rate: float) -> Tally:
        views = rng.poisson(4.0, 6000).astype(float)
        return Tally(
            6000, {"clicks": measure(clicks, rng.binomial(views.astype(int), rate), views)}
        )

    report = analyse(replace(EVEN, metrics=(clicks,)), {"v7": of(0.2), "v8": of(0.23)})
    assert report.decision is Decision.SHIP
    empty = Tally(200, {"clicks": measure(clicks, np.zeros(200), np.zeros(200))})
    blind = analyse(replace(EVEN, metrics=(clicks,)), {"v7": empty, "v8": empty})
    assert blind.decision is Decision.NO_DATA
    assert "nothing in its denominator" in said(blind)


def test_a_metric_that_is_the_same_for_all_says_nothing() -> None:
    flat = Tally(500, {"spent": measure(SPENT, np.full(500, 3.0))})
    report = analyse(replace(EVEN, metrics=(SPENT,)), {"v7": flat, "v8": flat})
    assert report.decision is Decision.NO_DATA
    assert "every entity has the same value" in said(report)


def test_no_conversions_at_all_is_not_proof_and_many_against_none_is() -> None:
    none = {"v7": arm(5000, 0.0), "v8": arm(5000, 0.0)}
    report = analyse(EVEN, none)
    assert report.decision is Decision.CONTINUE
    assert math.isnan(report.arms[0].effects[0].change)
    some = analyse(EVEN, {"v7": arm(5000, 0.0), "v8": arm(5000, 0.006)})
    assert some.decision is Decision.SHIP
    assert "unknown, from" in said(some)
    assert "any rise" in said(some)


def test_losses_may_shrink() -> None:
    """With a negative mean a margin allows more loss, not less."""
    rng = np.random.default_rng(0)
    profit = Metric("profit", Kind.REVENUE, Role.GUARDRAIL, margin=0.2)
    design = replace(EVEN, metrics=(PAID, profit))

    def of(share: float, mean: float) -> Tally:
        return arm(9000, share, profit=measure(profit, rng.normal(mean, 3.0, 9000)))

    assert analyse(design, {"v7": of(0.1, -2.0), "v8": of(0.13, -2.05)}).decision == "ship"
    assert analyse(design, {"v7": of(0.1, -2.0), "v8": of(0.13, -3.00)}).decision == "stop"


@settings(max_examples=30)
@given(
    st.integers(100, 4000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    st.integers(100, 4000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
)
def test_more_successes_are_fewer_failures(one: tuple[int, int], other: tuple[int, int]) -> None:
    """The same rows, told as a conversion and as an error: the same evidence."""
    lost = Metric("lost", Kind.ERROR_RATE)
    design = replace(EVEN, metrics=(PAID, lost), shares=(0.5, 0.5), mismatch=1e-9)

    def of(n: int, k: int) -> Tally:
        fails = Measured(PairSums(float(n), float(n - k), float(n - k)))
        return Tally(n, {"paid": Measured(PairSums(float(n), float(k), float(k))), "lost": fails})

    (arm_report,) = analyse(design, {"v7": of(*one), "v8": of(*other)}).arms
    first, second = (effect.evidence for effect in arm_report.effects)
    for name in ("better", "worse", "safe"):
        p, q = getattr(first, name), getattr(second, name)
        assert q == pytest.approx(p, rel=0.05, abs=1e-12)


@pytest.mark.statistical
def test_looking_daily_at_no_difference_ships_rarely() -> None:
    """A hundred looks; the benchmark has four thousand runs, fixed-horizon tests 38 %."""
    rng = np.random.default_rng(5)
    promoted = found = 0
    for _ in range(40):
        same = rng.binomial(50, 0.10, (2, 100)).cumsum(axis=1)
        better = rng.binomial(100, (0.10, 0.12), (50, 2)).cumsum(axis=0).T
        promoted += ships(same, 50, EVEN)
        found += ships(better[:, ::5], 500, EVEN)
    assert promoted <= 2
    assert found >= 16


@pytest.mark.statistical
def test_skewed_revenue_of_a_small_arm_stops_nothing() -> None:
    """One in twenty buys, a tenth of the traffic: a plain limit theorem stops 12 % of these."""
    rng = np.random.default_rng(0)
    design = replace(EVEN, metrics=(SPENT,), shares=(0.9, 0.1), size=100_000)
    decided = 0
    for _ in range(60):
        sides = [Tally(), Tally()]
        for _ in range(12):
            for place, n in enumerate((1800, 200)):
                spent = np.where(rng.random(n) < 0.05, rng.lognormal(3.0, 1.0, n), 0.0)
                sides[place] = sides[place].merge(Tally(n, {"spent": measure(SPENT, spent)}))
            report = analyse(design, {"v7": sides[0], "v8": sides[1]})
            if report.decision in {Decision.SHIP, Decision.STOP}:
                decided += 1
                break
    assert decided <= 3


def ships(counts: NDArray[np.int64], step: int, design: Experiment) -> bool:
    """Whether a version ever ships; looks begin where they can decide."""
    for look, (a, b) in enumerate(counts.T.tolist(), 1):
        n = step * look
        if abs(a - b) < 1.9 * math.sqrt(a + b):
            continue  # no evidence that could be enough
        report = analyse(
            design,
            {
                "v7": Tally(n, {"paid": Measured(PairSums(float(n), float(a), float(a)))}),
                "v8": Tally(n, {"paid": Measured(PairSums(float(n), float(b), float(b)))}),
            },
        )
        if report.decision in {Decision.SHIP, Decision.STOP}:
            return report.decision is Decision.SHIP
    return False
