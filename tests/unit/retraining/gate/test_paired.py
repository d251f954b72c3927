"""The evaluation gate."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
from homeostat.retraining.gate import Floats, GateResult, evaluate


def spec(task: Task = Task.BINARY) -> ModelSpec:
    return ModelSpec("m", task, Schema(()), LabelSpec(timedelta(days=1)))


def draw(
    seed: int, n: int = 400, noise_champion: float = 0.3, noise_candidate: float = 0.2
) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.float64)

    def scores(noise: float) -> Floats:
        return np.clip(np.abs(labels - noise) + rng.normal(0, 0.1, n), 0, 1)

    return labels, scores(noise_champion), scores(noise_candidate)


def judge(
    labels: Floats,
    champion: Floats,
    candidate: Floats,
    margin: float = 0.0,
    task: Task = Task.BINARY,
    **options: Any,
) -> GateResult:
    rng = np.random.default_rng(7)
    return evaluate(spec(task), labels, champion, candidate, margin, rng, **options)


def test_a_better_candidate_passes_and_the_figures_are_told() -> None:
    result = judge(*draw(1))
    figures = dict(result.evidence)
    assert result.accepted
    assert figures["rows"] == 400
    assert figures["lower"] < figures["difference"] < figures["upper"] < 0
    assert figures["difference"] == pytest.approx(
        figures["loss_candidate"] - figures["loss_champion"]
    )
    assert result.reason.startswith("passes: loss ")


def test_a_worse_candidate_does_not_pass() -> None:
    labels, champion, candidate = draw(1)
    result = judge(labels, candidate, champion)
    assert not result.accepted
    assert result.reason.startswith("not shown to be good enough")


def test_an_equal_candidate_passes_only_within_a_margin() -> None:
    labels, champion, _ = draw(1)
    assert not judge(labels, champion, champion).accepted
    assert judge(labels, champion, champion, margin=0.02).accepted


def test_a_margin_below_zero_asks_for_more() -> None:
    labels, champion, candidate = draw(1)
    assert not judge(labels, champion, candidate, margin=-0.9).accepted


def test_two_perfect_models_are_equal() -> None:
    labels, _, _ = draw(1)
    assert judge(labels, labels, labels).accepted
    assert not judge(labels, labels, labels, margin=-0.1).accepted


def test_the_interval_agrees_with_scipy() -> None:
    labels, champion, candidate = draw(3)
    difference = (candidate - labels) ** 2 - (champion - labels) ** 2
    oracle = stats.bootstrap(
        (difference,), np.mean, confidence_level=0.9, method="percentile", n_resamples=9999,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    figures = dict(judge(labels, champion, candidate, resamples=9999).evidence)
    assert figures["lower"] == pytest.approx(oracle.low, abs=3e-4)
    assert figures["upper"] == pytest.approx(oracle.high, abs=3e-4)


def test_false_passes_keep_to_alpha() -> None:
    passed = 0
    for seed in range(200):
        labels, champion, candidate = draw(seed, noise_champion=0.25, noise_candidate=0.25)
        passed += judge(labels, champion, candidate, resamples=300).accepted
    # Binomial(200, 0.05): above 20 with probability 0.0006.
    assert passed <= 20


def test_rows_of_one_entity_count_together() -> None:
    labels, champion, candidate = draw(5)
    repeated = [np.repeat(values, 25) for values in (labels, champion, candidate)]
    entities = np.repeat(np.arange(labels.size), 25)
    figures = dict(judge(*repeated, entities=entities).evidence)
    single = dict(judge(labels, champion, candidate).evidence)
    width = figures["upper"] - figures["lower"]
    assert width == pytest.approx(single["upper"] - single["lower"], rel=0.15)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_rejected(value: float) -> None:
    labels, champion, candidate = draw(1)
    candidate[3] = value
    result = judge(labels, champion, candidate)
    assert not result.accepted
    assert result.reason == "the candidate gave no finite score on 1 of 400 rows"


def test_a_constant_candidate_is_rejected_even_if_it_is_better() -> None:
    labels, champion, candidate = draw(1)
    result = judge(labels, 1 - champion, np.full_like(candidate, 0.3))
    assert result.reason == "the candidate scores every row 0.3"
    assert not result.accepted


def test_rows_without_label_or_champion_score_are_left_out() -> None:
    labels, champion, candidate = draw(1)
    labels[:10], champion[10:30] = np.nan, np.nan
    assert dict(judge(labels, champion, candidate).evidence)["rows"] == 370


@pytest.mark.parametrize("n", [0, 29])
def test_too_few_rows_prove_nothing(n: int) -> None:
    result = judge(*(values[:n] for values in draw(1)))
    assert not result.accepted
    assert f"has {n} comparable rows" in result.reason


@pytest.mark.parametrize("positives", [0, 4])
def test_a_hold_out_without_a_class_proves_nothing(positives: int) -> None:
    labels, champion, candidate = draw(1)
    labels[:] = 0.0
    labels[:positives] = 1.0
    result = judge(labels, champion, candidate)
    assert not result.accepted
    assert "lacks a class" in result.reason


def test_shapes_must_agree() -> None:
    labels, champion, candidate = draw(1)
    with pytest.raises(ValueError, match="one value for each row"):
        judge(labels, champion, candidate[:-1])


@pytest.mark.statistical
@pytest.mark.parametrize("days", [3, 7, 20])
def test_days_with_effects_seldom_pass_an_equal_candidate(days: int) -> None:
    of_row = np.repeat(np.arange(days), 300)
    passed, blindly = 0, 0
    for seed in range(150):
        labels, champion, _ = draw(seed, of_row.size)
        moved = np.random.default_rng([seed, 1]).normal(0.0, 0.02, days)[of_row]
        candidate = champion + np.where(labels == 1.0, -moved, moved)
        passed += judge(labels, champion, candidate, resamples=100, days=of_row).accepted
        blindly += judge(labels, champion, candidate, resamples=100).accepted
    # Binomial(150, 0.05): above 15 with probability 0.006.
    assert passed <= 15 < blindly


def test_few_days_widen_the_interval_by_what_is_assumed() -> None:
    labels, champion, candidate = draw(1)
    plain = dict(judge(labels, champion, candidate).evidence)
    one = judge(labels, champion, candidate, days=np.zeros(400, dtype=np.int64))
    assert one.accepted
    assert dict(one.evidence)["upper"] > plain["upper"]
    assert dict(one.evidence)["lower"] < plain["lower"]


def test_a_scale_bounds_what_one_error_can_cost() -> None:
    truth = np.random.default_rng(0).normal(size=300)
    champion, candidate = truth + 2.0, truth + 1.0
    candidate[0] += 1e6
    assert not judge(truth, champion, candidate, task=Task.REGRESSION).accepted
    assert judge(truth, champion, candidate, task=Task.REGRESSION, scale=10.0).accepted


def test_multiclass_and_regression_are_compared_too() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 300).astype(np.float64)
    wrong = np.where(rng.random(300) < 0.4, (classes + 1) % 3, classes)
    assert judge(classes, wrong, classes, task=Task.MULTICLASS).accepted
    truth = rng.normal(size=300)
    assert judge(truth, truth + 2, truth + 1, task=Task.REGRESSION).accepted
