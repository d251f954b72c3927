"""Another version on the rows that were served."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats as oracle

import homeostat as hs
from homeostat.detectors.performance.paired import paired_difference
from homeostat.domain.errors import ConfigError, DataError

SPEC = hs.PredictionSpec(timestamp="at")


def world(seed: int, n: int = 2000, days: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random(n)
    at = np.datetime64("2024-01-01T00:00:00") + (np.arange(n) * (days * 86_400 // n)).astype(
        "timedelta64[s]"
    )
    return {"at": at, "x": x, "score": np.full(n, 0.5), "label": (rng.random(n) < x) * 1.0}


def column(table: pa.Table) -> np.ndarray:
    return table["x"].to_numpy()


def test_rows_that_count_alone_give_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 80))
    found = paired_difference(first, second)
    expected = oracle.ttest_rel(second, first).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))
    weighted = paired_difference(first, second, np.full(80, 3.0))
    assert weighted.lower == pytest.approx(found.lower)
    doubled = paired_difference(
        np.tile(first, 2), np.tile(second, 2), blocks=np.tile(np.arange(80), 2)
    )
    assert (doubled.lower, doubled.blocks) == (pytest.approx(found.lower), 80)
    for few in (first[:1], first[:0]):
        assert not paired_difference(few, few).told_apart


@pytest.mark.statistical
def test_intervals_allow_for_days() -> None:
    rng = np.random.default_rng(1)
    days = np.repeat(np.arange(15), 60)
    hits, naive = [], []
    for _ in range(300):
        apart = rng.normal(0.0, 1.0, 900) + rng.normal(0.0, 0.3, 15)[days]
        zero = np.zeros(900)
        hits.append(not paired_difference(zero, apart, blocks=days).told_apart)
        naive.append(not paired_difference(zero, apart).told_apart)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert np.mean(naive) < 0.8


def test_a_better_and_a_worse_version_are_named() -> None:
    rows = world(2)
    better = hs.counterfactual(rows, SPEC, column)
    assert better.verdict == "better"
    assert better.loss.blocks == 20
    assert better.accuracy is not None
    assert better.accuracy.lower > 0.0
    worse = hs.counterfactual(rows, SPEC, lambda table: 1.0 - column(table))
    assert worse.verdict == "worse"
    assert "the other version: worse" in str(worse)
    same = hs.counterfactual(rows, SPEC, lambda table: np.full(len(table), 0.5))
    assert (same.verdict, same.loss.value) == ("not told apart", 0.0)


def test_only_labelled_rows_with_both_scores_count() -> None:
    rows = world(3)
    rows["label"][:500] = np.nan
    weight = np.ones(2000)
    weight[1500:] = 0.0

    def partly(table: pa.Table) -> np.ndarray:
        return np.where(column(table) < 0.2, 7.0, column(table))

    found = hs.counterfactual(rows | {"weight": weight}, replace(SPEC, weight="weight"), partly)
    assert 700 < found.loss.n < 900
    assert found.problems[-1].endswith("of 1,500 rows got no valid score: left out")
    few = hs.counterfactual({k: v[:20] for k, v in world(4).items()}, SPEC, column)
    assert few.verdict == "not told apart"
    assert few.problems == ("20 labelled rows, 30 are needed",)
    assert few.loss.blocks == 0


def test_numbers_and_classes_are_compared_too() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=300)
    rows = {"x": x, "p": np.zeros(300), "y": x + rng.normal(0.0, 0.1, 300)}
    found = hs.counterfactual(rows, hs.PredictionSpec("regression", "y", "p"), column)
    assert (found.verdict, found.accuracy) == ("better", None)
    truth = rng.integers(0, 3, 300)
    names = np.array(["a", "b", "c"])
    classes = {"x": truth, "said": names[rng.integers(0, 3, 300)], "label": names[truth]}
    hard = hs.PredictionSpec("multiclass", score="said")
    assert hs.counterfactual(classes, hard, column).verdict == "better"
    scores = {name: np.full(300, 1.0 / 3.0) for name in "abc"}
    soft = hs.PredictionSpec("multiclass", score={"a": "a", "b": "b", "c": "c"}, features=("x",))
    data = scores | {"x": truth, "label": names[truth]}
    told = hs.counterfactual(data, soft, lambda table: np.eye(3)[column(table)])
    assert told.verdict == "better"
    assert told.accuracy is not None
    assert told.accuracy.value > 0.5


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="as_of is '2024'; give a datetime"):
        hs.counterfactual(world(6), SPEC, lambda _: [0.1], as_of="2024")  # type: ignore[arg-type]


def test_what_is_no_score_is_named() -> None:
    with pytest.raises(DataError, match=r"shape \(2,\): \(2000,\) is needed"):
        hs.counterfactual(world(6), SPEC, lambda _: [0.1, 0.2])


@pytest.mark.parametrize("rows", ["none", "one", "weightless"])
def test_what_cannot_be_told_is_no_number(rows: str) -> None:
    data, spec = world(7), replace(SPEC, weight="weight")
    weights = np.zeros(2000) if rows == "weightless" else np.ones(2000)
    count = {"none": 0, "one": 1, "weightless": 2000}[rows]
    few = {name: values[:count] for name, values in (data | {"weight": weights}).items()}
    found = hs.counterfactual(few, spec, column)
    assert "loss: not available" in str(found)
    assert "nan" not in str(found)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["loss"]["lower"] is None
    assert plain["accuracy"]["upper"] is None
    assert plain["verdict"] == "not told apart"


def test_figures_are_plain_values() -> None:
    found = hs.counterfactual(world(8), SPEC, column)
    assert found.to_dict()["loss"] == {
        "value": found.loss.value,
        "lower": found.loss.lower,
        "upper": found.loss.upper,
        "n": 2000,
        "blocks": 20,
    }
    numbers = {"x": np.arange(50.0), "score": np.arange(50.0), "label": np.arange(50.0)}
    told = hs.counterfactual(numbers, hs.PredictionSpec("regression"), column)
    assert told.to_dict()["accuracy"] is None
    assert "accuracy" not in str(told)


@pytest.mark.parametrize(
    "answer", [lambda _: 1 / 0, lambda _: ["a"], lambda _: None], ids=["raises", "text", "none"]
)
def test_a_scorer_that_fails_is_named(answer: Callable[[pa.Table], object]) -> None:
    with pytest.raises(DataError, match=r"score (failed on the features: |returned)"):
        hs.counterfactual(world(6), SPEC, answer)  # type: ignore[arg-type]
