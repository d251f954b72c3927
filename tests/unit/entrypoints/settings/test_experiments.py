"""Experiments in homeostat.yaml."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.errors import NotFoundError
from homeostat.entrypoints.settings import load, problems
from homeostat.entrypoints.settings.experiments import plan_named
from homeostat.rollout.experiment.design import Horizon, Kind, Role
from homeostat.rollout.experiment.plan import Source

MODEL = """\
models:
  - name: shop
    task: binary
    entity: customer
    features:
      country: categorical
      card: {kind: categorical, personal: true}
      before: numeric
    outcomes: [bought, money]
    labels: {maturity: 20d}
"""
GOOD = """\
experiments:
  - name: checkout
    arms: {1: 0.9, 2: 0.1}
    size: 20000
    metrics:
      paid: {kind: conversion, of: bought, absent: zero}
      spent: {kind: revenue, of: money, before: before, role: guardrail, margin: 0.1}
      slow: {kind: latency, role: guardrail, margin: 0.2, quantile: 0.9}
      rate: {kind: ratio, of: money, per: label, better: lower}
    segments: [country]
    horizon: fixed
    alpha: 0.01
"""
FAST = """\
  - name: speed
    model: shop
    arms: {champion: 0.5, "2": 0.5}
    size: 5000
    traffic: 0.2
    every: 6h
    auto_promote: true
    metrics: {slow: {kind: latency}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "homeostat.yaml"
    path.write_text(text)
    return path


def test_what_the_owner_says_is_the_plan(tmp_path: Path) -> None:
    settings = load(written(tmp_path, MODEL + GOOD + FAST))
    plan = plan_named(settings.experiment_plans, "checkout")
    design = plan.design
    assert (plan.model, design.arms, design.shares) == ("shop", ("1", "2"), (0.9, 0.1))
    assert (design.size, design.alpha, design.horizon) == (20_000, 0.01, Horizon.FIXED)
    assert [metric.kind for metric in design.metrics] == [
        Kind.CONVERSION, Kind.REVENUE, Kind.LATENCY, Kind.RATIO,
    ]  # fmt: skip
    spent, slow, rate = design.metrics[1:]
    assert (spent.role, spent.margin, spent.covariate) == (Role.GUARDRAIL, 0.1, True)
    assert (slow.quantile, rate.falling) == (0.9, True)
    assert plan.sources[0] == Source("paid", "bought", absent=True)
    assert plan.sources[3] == Source("rate", "money", "label")
    assert (plan.wait, plan.segments, plan.auto_promote) == (
        timedelta(days=20),
        ("country",),
        False,
    )
    fast = plan_named(settings.experiment_plans, "speed")
    assert (fast.wait, fast.every, fast.traffic) == (timedelta(0), timedelta(hours=6), 0.2)
    assert fast.auto_promote
    with pytest.raises(NotFoundError, match="did you mean 'checkout'"):
        plan_named(settings.experiment_plans, "check")
    with pytest.raises(NotFoundError, match="there are none"):
        plan_named({}, "check")


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("{1: 0.9, 2: 0.1}", "{1: 0.9, 2: 0.2}", 13, "arms", "add up to 1.1"),
        ("{1: 0.9, 2: 0.1}", "{1: 1.0}", 13, "arms", "needs a control and another version"),
        ("{1: 0.9, 2: 0.1}", "[1, 2]", 13, "arms", "must be a mapping"),
        ("size: 20000", "size: 100", 14, "size", "too few entities"),
        ("of: bought", "of: bougt", 16, "of", "did you mean 'bought'"),
        (", of: bought, absent: zero", "", 16, "paid", "is made of something"),
        ("absent: zero", "per: label", 16, "per", "belongs to a ratio"),
        ("absent: zero", "before: before", 16, "before", "belongs to revenue"),
        ("absent: zero", "margin: 0.1", 16, "margin", "belongs to a guardrail"),
        ("absent: zero", "quantile: 0.5", 16, "quantile", "belongs to a latency"),
        ("before: before", "before: country", 17, "before", "'country' is no number"),
        ("margin: 0.2", "margin: 0.001", 18, "margin", "known to 0.8 %"),
        ("margin: 0.2", "absent: zero, margin: 0.2", 18, "absent", "belongs to an outcome"),
        ("per: label", "per: country", 19, "per", "is no number of this model"),
        ("[country]", "[land]", 20, "segments", "land"),
        ("[country]", "[card]", 20, "segments", "is personal"),
        ("alpha: 0.01", "alpha: 0.5", 22, "alpha", "0.5"),
        ("alpha: 0.01", "every: 5m", 22, "every", "less than an hour"),
        ("alpha: 0.01", "longest: 500d", 22, "longest", "longer than rows are kept (400d)"),
        ("alpha: 0.01", "observe: 30d", 22, "observe", "raise retention.features to 65d"),
        ("alpha: 0.01", "model: shp", 22, "model", "no model is named 'shp'"),
    ],
    ids=[
        "sum", "alone", "list", "size", "outcome", "nothing", "per", "before", "margin",
        "quantile", "text", "fine", "absent", "denominator", "segment", "personal", "alpha",
        "every", "longest", "observe", "model",
    ],
)  # fmt: skip
def test_mistakes_are_told_by_line(
    tmp_path: Path, old: str, new: str, line: int, field: str, said: str
) -> None:
    found = problems(written(tmp_path, MODEL + GOOD.replace(old, new, 1)))
    told = [(each.line, f"{each} {each.remedy}") for each in found]
    assert any(at == line and said in words and field in words for at, words in told), told


def test_something_has_to_become_better(tmp_path: Path) -> None:
    guarded = "metrics: {slow: {kind: latency, role: guardrail, margin: 0.2}}"
    text = FAST.replace("metrics: {slow: {kind: latency}}", guarded)
    (found,) = problems(written(tmp_path, f"{MODEL}experiments:\n{text}"))
    assert "no success metric" in str(found)
    assert found.line == 19


def test_who_is_dropped_cannot_be_told_apart(tmp_path: Path) -> None:
    model = MODEL.replace("entity: customer", "entity: customer\n    entity_personal: drop")
    (found,) = problems(written(tmp_path, model + GOOD))
    assert "does not keep 'customer'" in str(found)
    assert "entity_personal: hash" in found.remedy


def test_the_guide_shows_what_is_taken(tmp_path: Path) -> None:
    guide = Path(__file__).parents[4] / "docs/guide/experiments.md"
    (example,) = re.findall(r"^```yaml\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL)
    model = MODEL.replace("before: numeric", "spent_before: numeric")
    plan = load(written(tmp_path, model + example)).experiment_plans["checkout"]
    assert plan.shares == {"champion": 0.1, "v8": 0.1}


def test_names_are_unique_and_models_are_named(tmp_path: Path) -> None:
    (twice,) = problems(written(tmp_path, MODEL + GOOD + FAST.replace("speed", "checkout")))
    assert "also the name of experiments.0" in str(twice)
    second = MODEL + MODEL.replace("models:\n", "").replace("shop", "store")
    (nameless,) = problems(written(tmp_path, second + GOOD))
    assert "names no model" in str(nameless)
