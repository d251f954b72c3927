"""What a candidate must not be worse in, besides its loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.retraining.gate import Floats, GateResult
from homeostat.retraining.gate.checks import Check, Clusters, conclude, rise
from homeostat.retraining.gate.cost import judge_latency, judge_size
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.gate.quality import Amounts, judge_calibration, judge_value
from homeostat.retraining.gate.robustness import Damage, damaged, judge_damage, judge_order
from homeostat.retraining.gate.segments import judge_segments

PASSED = GateResult(True, "passes: loss 0.1", (("rows", 9.0),))
SCHEMA = Schema(
    (
        Column("amount", ColumnKind.NUMERIC, nullable=False),
        Column("age", ColumnKind.NUMERIC),
        Column("land", ColumnKind.CATEGORICAL),
    )
)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_rise_is_students() -> None:
    difference = rng().normal(0.1, 1.0, 80)
    oracle = stats.ttest_1samp(difference, 0.0, alternative="greater")
    assert rise(difference, Clusters()).p_value == pytest.approx(oracle.pvalue)


def test_rows_of_one_entity_or_day_are_no_more_evidence_than_one() -> None:
    once = rng().normal(0.3, 1.0, 40)
    often, owner = np.repeat(once, 30), np.repeat(np.arange(40), 30)
    plain = rise(often, Clusters()).p_value
    for clusters in (Clusters(entities=owner), Clusters(days=owner)):
        found = rise(often, clusters)
        assert found.freedom == 39
        assert found.p_value == pytest.approx(rise(once, Clusters()).p_value, rel=0.2)
        assert found.p_value > plain


@pytest.mark.parametrize("clusters", [Clusters(days=np.arange(8) % 2), Clusters(np.zeros(8))])
def test_too_few_clusters_tell_nothing_by_themselves(clusters: Clusters) -> None:
    difference = rng().normal(size=8)
    assert rise(difference, clusters) == rise(difference, Clusters())


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (-0.5, 1.0), (0.5, 0.0)])
def test_differences_all_alike_leave_no_doubt(value: float, p_value: float) -> None:
    assert rise(np.full(9, value), Clusters()).p_value == p_value


def test_a_failed_check_refuses_and_an_open_one_is_told() -> None:
    checks = [
        Check("size", True, "fine", (("bytes", 3.0),)),
        Check("latency", None, "nobody timed it"),
        Check("calibration", False, "off by 0.2"),
    ]
    found = conclude(PASSED, checks)
    assert not found.accepted
    assert found.reason == (
        "refused for its calibration: off by 0.2; latency not judged: nobody timed it"
    )
    assert found.evidence == (("rows", 9.0), ("size_bytes", 3.0))
    assert conclude(PASSED, checks[:2]).accepted
    assert conclude(PASSED, checks[:1]).reason == PASSED.reason
    assert not conclude(replace(PASSED, accepted=False), checks[:1]).accepted


def halves(worse: float, small: int = 100) -> tuple[Floats, Floats, list[tuple[str, Floats]]]:
    before = rng().random(500)
    after = before - 0.1 + rng(2).normal(0.0, 0.05, 500)
    after[:small] += worse
    return before, after, [("land=FR", np.arange(small)), ("land=DE", np.arange(small, 500))]


def test_a_segment_that_is_worse_refuses_and_is_named() -> None:
    found = judge_segments(*halves(0.3), Clusters(), 0.1)
    assert found.passed is False
    assert found.text.startswith("worse by more than 10% on land=FR: loss ")
    assert "land=DE" not in found.text


@pytest.mark.parametrize(("worse", "small"), [(0.0, 100), (0.12, 100)], ids=["better", "a little"])
def test_a_segment_within_its_limit_passes(worse: float, small: int) -> None:
    assert judge_segments(*halves(worse, small), Clusters(), 0.1).passed


def test_small_segments_are_not_judged_and_that_is_said() -> None:
    before, after, parts = halves(0.3, 20)
    found = judge_segments(before, after, parts, Clusters(), 0.1)
    assert found.passed
    assert dict(found.evidence) == {"judged": 1.0, "too_few_rows": 1.0}
    none = judge_segments(before, after, parts[:1], Clusters(), 0.1)
    assert (none.passed, none.text) == (None, "1 with fewer than 30 rows")
    assert judge_segments(before, after, [], Clusters(), 0.1).text == "there are none"
    both = judge_segments(before, after + 0.9, parts, Clusters(), 0.1)
    assert both.text.endswith("(1 with fewer than 30 rows)")


def test_proof_asks_for_more_than_no_evidence_of_harm() -> None:
    before, noise = rng(3).random(40), rng(4).normal(0.0, 0.5, 40)
    equal = before + noise - noise.mean()
    parts = [("all", np.arange(40))]
    assert judge_segments(before, equal, parts, Clusters(), 0.1).passed
    proof = judge_segments(before, equal, parts, Clusters(), 0.1, proof=True)
    assert proof.passed is False
    assert proof.text.startswith("not shown to be within 10%")
    assert judge_segments(before, before - 0.1, parts, Clusters(), 0.1, proof=True).passed


def test_only_the_worst_segments_are_named() -> None:
    before = rng().random(400)
    parts = [(f"n={part}", np.arange(part * 40, part * 40 + 40)) for part in range(10)]
    found = judge_segments(before, before + 0.5, parts, Clusters(), 0.1)
    assert found.text.endswith(" and 7 more")


@pytest.mark.statistical
def test_equal_candidates_are_seldom_refused_for_one_of_many_segments() -> None:
    parts = [(f"n={part}", np.arange(part * 40, part * 40 + 40)) for part in range(10)]
    refused = 0
    for seed in range(200):
        before, after = rng(seed).random(400), rng(seed + 1000).random(400)
        refused += not judge_segments(before, after, parts, Clusters(), 0.0).passed
    # Binomial(200, 0.05): above 20 with probability 0.0006.
    assert refused <= 20


def chances(count: int = 2000) -> tuple[Floats, Floats]:
    true = rng().random(count)
    return (rng(2).random(count) < true).astype(np.float64), true


def test_the_calibration_error_is_that_of_scikit_learn() -> None:
    labels, true = chances()
    found = dict(judge_calibration(labels, true, true**2, None, 0.02, rng()).evidence)
    seen, said = calibration_curve(labels, true**2, n_bins=10, strategy="quantile")
    assert found["candidate"] == pytest.approx(float(np.abs(seen - said).mean()), abs=2e-3)
    assert found["candidate"] > found["champion"] + 0.05


@pytest.mark.parametrize("repeats", [1, 4])
def test_overconfidence_is_refused_and_chance_is_not(repeats: int) -> None:
    labels, true, sharp = (np.repeat(values, repeats) for values in (*chances(), chances()[1] ** 2))
    owner = np.repeat(np.arange(2000), repeats)
    assert judge_calibration(labels, true, sharp, owner, 0.02, rng()).passed is False
    near = np.clip(true + rng(5).normal(0.0, 0.01, true.size), 0, 1)
    assert judge_calibration(labels, true, near, owner, 0.02, rng()).passed
    assert judge_calibration(labels, sharp, true, owner, 0.02, rng()).passed


def amounts(factor: float, *, higher: bool = True) -> Amounts:
    gain, ones = rng().normal(10.0, 2.0, 300), np.ones(300)
    gain[0] = np.nan
    return Amounts("profit", (gain, ones), (factor * gain, ones), higher)


@pytest.mark.parametrize(
    ("factor", "higher", "passed"),
    [(0.9, True, False), (0.99, True, True), (1.2, True, True), (1.2, False, False)],
)
def test_value_may_not_fall(factor: float, higher: bool, passed: bool) -> None:
    found = judge_value(amounts(factor, higher=higher), np.arange(300) // 2, 0.02, rng())
    assert found.passed is passed
    assert found.name == "value of profit"


@pytest.mark.parametrize("part", [0.0, np.nan])
def test_value_without_figures_is_not_judged(part: float) -> None:
    ones, none = np.ones(5), np.full(5, part)
    assert judge_value(Amounts("p", (ones, none), (ones, none)), None, 0.02, rng()).passed is None


def test_a_ratio_that_resampling_cannot_form_is_no_proof() -> None:
    below = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    found = judge_value(Amounts("p", (below, below), (below / 2, below)), None, 0.02, rng())
    assert found.passed is False


def test_latency_is_compared_at_two_quantiles() -> None:
    fast = np.full(100, 0.002)
    tail = np.where(np.arange(100) < 90, 0.002, 0.1)
    slow = judge_latency(fast, tail, 2.0)
    assert slow.passed is False
    assert "at the 95th percentile" in slow.text
    assert "median" not in slow.text
    assert judge_latency(fast, 1.5 * fast, 2.0).passed
    assert judge_latency(fast / 100, 3 * fast / 100, 2.0).passed  # microseconds are noise


def test_a_size_beyond_the_limit_is_refused() -> None:
    assert judge_size(10, 10).passed
    assert judge_size(11, 10).passed is False


def rows() -> pa.Table:
    return pa.table(
        {
            "amount": rng().normal(50.0, 10.0, 500),
            "age": pa.array([None, np.nan, *range(498)], pa.float64()),
            "land": ["FR", "DE"] * 250,
            "prediction_id": [str(n) for n in range(500)],
        }
    )


def test_each_damage_does_what_it_says_and_nothing_else() -> None:
    clean = rows()
    noise, missing, units = (damaged(SCHEMA, clean, damage, rng()) for damage in Damage)
    for table in (noise, missing, units):
        assert table.schema == clean.schema
        assert table["prediction_id"] == clean["prediction_id"]
    moved = noise["amount"].to_numpy() - clean["amount"].to_numpy()
    assert moved.std() == pytest.approx(1.0, rel=0.2)
    assert noise["age"].null_count == 1
    ages = noise["age"].drop_null().to_numpy()[1:]
    assert (ages == np.rint(ages)).all()
    assert (ages != np.arange(498)).mean() > 0.9
    assert 0.0 <= ages.min() < ages.max() <= 497.0
    assert noise["land"] == clean["land"]
    assert missing["amount"] == clean["amount"]
    assert 20 < missing["land"].null_count < 90
    factors = units["amount"].to_numpy() / clean["amount"].to_numpy()
    assert factors.reshape(-1, 2).round(6).tolist() == [[100.0, 1.0]] * 250
    assert units["age"].slice(3, 2).to_pylist() == [100.0, 2.0]


def test_a_column_without_values_stays_so() -> None:
    empty = rows().set_column(1, "age", pa.nulls(500, pa.float64()))
    for damage in Damage:
        assert damaged(SCHEMA, empty, damage, rng())["age"].null_count == 500


@pytest.mark.parametrize(
    ("factor", "already", "passed"),
    [(2.0, 0.0, False), (1.2, 0.0, True), (0.5, -0.1, True), (2.0, 0.2, True)],
    ids=["fragile", "a little", "better", "as without damage"],
)
def test_damage_may_not_hurt_much_more(factor: float, already: float, passed: bool) -> None:
    before = 0.2 + 0.1 * rng().random(100)
    moved = (0.1, 0.2)
    found = judge_damage(Damage.NOISE, before, factor * before, already, moved, Clusters(), 0.5)
    assert found.passed is passed
    assert dict(found.evidence)["moved_candidate"] == 0.2


def test_the_order_of_rows_may_not_matter() -> None:
    scores = np.array([0.1, np.nan, 0.3])
    assert judge_order(scores, scores.copy()).passed
    assert judge_order(scores, scores + 0.1).text.startswith("the answers to 2 of 3 rows")


@pytest.mark.parametrize(
    "wrong",
    [{"segment": -0.1}, {"value": np.inf}, {"latency": 0.5}, {"size": 0}, {"robustness": np.nan}],
    ids=str,
)
def test_limits_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a gate's limits"):
        GateLimits(**wrong)


def test_all_limits_may_be_off() -> None:
    off = dict.fromkeys(("segment", "calibration", "value", "latency", "size", "robustness"))
    assert GateLimits(**off).latency is None
