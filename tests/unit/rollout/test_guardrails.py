"""Guardrails of a canary: harm is found and named, and what is no harm is left alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import TypeAdapter

from homeostat.rollout.guardrails import (
    Answers,
    GuardrailPolicy,
    MaturedAnswers,
    Rails,
    breach,
    labels_differ,
    see_answers,
    see_matured,
    split_is_off,
)

POLICY = GuardrailPolicy()
METRICS = ("profit",)


@dataclass(frozen=True)
class Traffic:
    """What a challenger does otherwise than the champion."""

    failed: float = 0.01
    slower: float = 1.0
    shift: float = 0.0
    worth: float = 0.0
    labelled: float = 0.8

    def answers(self, rng: np.random.Generator, size: int, weight: float) -> Answers:
        treated = rng.random(size) < weight
        failed = rng.random(size) < np.where(treated, self.failed, 0.01)
        load = 1 + 0.5 * np.sin(np.linspace(0, 6, size))
        latency = rng.lognormal(3, 0.5, size) * load * np.where(treated, self.slower, 1.0)
        score = rng.normal(size=size) + np.where(treated, self.shift, 0.0)
        score[failed] = np.nan
        return Answers(treated, failed, latency, score)

    def matured(self, rng: np.random.Generator, size: int, weight: float) -> MaturedAnswers:
        treated = rng.random(size) < weight
        labelled = rng.random(size) < np.where(treated, self.labelled, 0.8)
        profit = rng.normal(10, 5, size) + np.where(treated, self.worth, 0.0)
        profit[~labelled] = np.nan
        return MaturedAnswers(treated, labelled, {"profit": profit})


def seen(traffic: Traffic, policy: GuardrailPolicy = POLICY, seed: int = 1) -> Rails:
    rng, rails = np.random.default_rng(seed), Rails()
    for weight in (0.1, 0.5):
        for _ in range(3):
            rails = see_answers(policy, rails, traffic.answers(rng, 2000, weight), weight)
            rails = see_matured(policy, rails, traffic.matured(rng, 1000, weight), weight)
    return rails


@pytest.mark.parametrize(
    ("traffic", "name", "told"),
    [
        (Traffic(failed=0.03), "errors", "the challenger failed"),
        (Traffic(slower=1.5), "latency", "1.25 times the champion's 95% quantile"),
        (Traffic(shift=2.0), "scores", "of the challenger's scores lie where"),
        (Traffic(shift=-2.0), "scores", "of the challenger's scores lie where"),
        (Traffic(worth=-2.0), "value:profit", "it is worse"),
    ],
    ids=["errors", "latency", "higher", "lower", "value"],
)
def test_each_harm_is_found_by_its_guardrail(traffic: Traffic, name: str, told: str) -> None:
    found = breach(POLICY, seen(traffic), METRICS)
    assert found is not None
    assert found.name == name
    assert told in found.reason
    figures = dict(found.figures)
    assert figures["e_value"] >= figures["e_needed"] == 4 / 0.05
    assert 0 < figures["challenger_rows"] < figures["champion_rows"]


@pytest.mark.parametrize(
    "traffic",
    [Traffic(), Traffic(0.014, 1.2, 0.8), Traffic(worth=3.0), Traffic(0.0, 0.5)],
    ids=["equal", "within what is tolerated", "worth more", "better"],
)
def test_what_is_no_harm_is_left_alone(traffic: Traffic) -> None:
    rails = seen(traffic)
    assert breach(POLICY, rails, METRICS) is None
    assert labels_differ(POLICY, rails) == ""


def test_a_guardrail_that_is_off_sees_nothing_and_spends_nothing() -> None:
    off = GuardrailPolicy(latency=None, errors=None, scores=None, value=None)
    rails = seen(Traffic(0.2, 3.0, 3.0, -5.0), off)
    assert off.names(METRICS) == ()
    assert [rail.name for rail in rails.rails] == ["labels"]
    assert breach(off, rails, METRICS) is None
    alone = GuardrailPolicy(latency=None, scores=None, value=None)
    found = breach(alone, seen(Traffic(failed=0.03), alone), METRICS)
    assert found is not None
    assert dict(found.figures)["e_needed"] == 1 / 0.05


@pytest.mark.parametrize("labelled", [0.0, 0.5, 1.0], ids=["none", "fewer", "more"])
def test_labels_of_one_arm_only_are_told(labelled: float) -> None:
    told = labels_differ(POLICY, seen(Traffic(labelled=labelled)))
    assert f"labels came for {labelled:.0%}" in told or labelled == 0.5
    assert "matured answers" in told


def test_a_value_that_never_varies_is_no_evidence() -> None:
    rng, rails = np.random.default_rng(3), Rails()
    for _ in range(3):
        treated = rng.random(300) < 0.5
        flat = MaturedAnswers(treated, np.ones(300, np.bool_), {"profit": np.full(300, 2.0)})
        rails = see_matured(POLICY, rails, flat, 0.5)
    assert rails.rail("value:profit").e == 1.0


def test_answers_without_latency_or_score_are_no_evidence_of_them() -> None:
    nothing = np.full(600, np.nan)
    treated = np.arange(600) % 2 == 0
    answers = Answers(treated, np.zeros(600, np.bool_), nothing, nothing)
    rails = see_answers(POLICY, Rails(), answers, 0.5)
    assert rails.rail("latency").e == rails.rail("scores").e == 1.0


def test_the_split_is_held_against_its_weight_over_all_steps() -> None:
    right = Rails(counts=(9_000, 1_000)).next_step(0.1)
    assert split_is_off(POLICY, right, 0.5) is None
    assert right.next_step(0.5) is right
    found = split_is_off(POLICY, Rails(right.rails, (600, 400), right.split_log), 0.5)
    assert found is not None
    assert "400 of 1000 entities" in found.reason
    assert dict(found.figures)["published_share"] == 0.5
    assert split_is_off(POLICY, Rails(), 0.5) is None


def test_evidence_is_kept_as_it_is() -> None:
    codec = TypeAdapter(Rails)
    rails = seen(Traffic(shift=2.0))
    assert codec.validate_json(codec.dump_json(rails)) == rails


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"quantile": 1.0},
        {"sample_ratio": 2.0},
        {"latency": 0.9},
        {"errors": 1.0},
        {"scores": -0.1},
        {"value": -1.0},
        {"latency": float("nan")},
    ],
    ids=str,
)
def test_figures_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GuardrailPolicy(**wrong)  # type: ignore[arg-type]
