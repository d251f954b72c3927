"""Queues that a person labels, and what evaluations make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import homeostat as hs
from homeostat.domain.errors import ConfigError, DataError

SPEC = hs.PredictionSpec("binary")
WEIGHED = replace(SPEC, weight="weight")


def scored(rng: np.random.Generator, n: int, *, trust: float = 1.0) -> dict[str, np.ndarray]:
    """Return scores and truths; the smaller the trust, the more the scores exaggerate."""
    scores = np.clip(rng.beta(0.3, 3.0, n), 1e-9, 1.0 - 1e-9)
    chance = 1.0 / (1.0 + ((1.0 - scores) / scores) ** trust)
    return {"score": scores, "truth": (rng.random(n) < chance).astype(float)}


def label(world: dict[str, np.ndarray], queue: hs.ReviewQueue) -> dict[str, object]:
    found = np.full(world["truth"].size, np.nan)
    found[queue.rows] = world["truth"][queue.rows]
    return {"score": world["score"], "label": found, "weight": queue.weights}


def unlabelled(world: dict[str, np.ndarray]) -> dict[str, object]:
    return {"score": world["score"], "label": np.full(world["score"].size, np.nan)}


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("trust", [1.0, 0.5], ids=["calibrated", "exaggerated"])
def test_evaluations_of_queues_are_unbiased_covered_and_more_precise(trust: float) -> None:
    names = ("accuracy", "brier")
    errors: dict[tuple[str, float], list[float]] = {(m, f): [] for m in names for f in (0.1, 1.0)}
    hits: dict[str, list[bool]] = {m: [] for m in names}
    for seed in range(250):
        world = scored(np.random.default_rng(seed), 5000, trust=trust)
        wrong = (world["score"] >= 0.5) != world["truth"]
        truth = {"accuracy": 1.0 - wrong.mean()}
        truth["brier"] = ((world["score"] - world["truth"]) ** 2).mean()
        for floor in (0.1, 1.0):
            queue = hs.review_queue(unlabelled(world), SPEC, 250, seed=seed, floor=floor)
            found = hs.evaluate(label(world, queue), WEIGHED, metrics=names)
            for name in names:
                figure = found[name]
                assert figure.value is not None
                assert figure.lower is not None
                assert figure.upper is not None
                errors[name, floor].append(figure.value - truth[name])
                if floor < 1.0:
                    hits[name].append(figure.lower <= truth[name] <= figure.upper)
    for name in names:
        drawn, even = np.array(errors[name, 0.1]), np.array(errors[name, 1.0])
        assert abs(drawn.mean()) < 3.5 * drawn.std() / np.sqrt(drawn.size)
        assert 0.92 <= np.mean(hits[name]) <= 0.985
        # Scores that exaggerate foretell less: then little is won, but nothing lost either.
        assert drawn.var() < (0.85 if trust == 1.0 else 1.0) * even.var()


def test_known_labels_count_as_themselves() -> None:
    world = scored(np.random.default_rng(3), 4000)
    first = np.where(np.arange(4000) < 1000, world["truth"], np.nan)
    data = {"score": world["score"], "label": first, "importance": np.full(4000, 2.0)}
    queue = hs.review_queue(data, replace(SPEC, weight="importance"), 200, seed=1)
    assert queue.rows.min() >= 1000
    assert len(queue) == 200
    assert (queue.candidates, queue.problems) == (3000, ())
    assert (queue.weights[:1000] == 2.0).all()
    np.testing.assert_allclose(queue.weights[queue.rows], 2.0 / queue.probability)
    assert np.count_nonzero(queue.weights) == 1200
    assert queue.weights.sum() == pytest.approx(8000, rel=0.2)


def test_the_table_says_what_to_label_and_why() -> None:
    world = scored(np.random.default_rng(4), 2000)
    names = [f"p{k}" for k in range(2000)]
    data = unlabelled(world) | {"id": names}
    queue = hs.review_queue(data, replace(SPEC, prediction_id="id"), 60, seed=2)
    table = queue.table
    assert table.column_names == [
        "row", "prediction_id", "priority", "inclusion_probability", "reason",
    ]  # fmt: skip
    assert table["prediction_id"].to_pylist() == [names[k] for k in queue.rows]
    assert (np.diff(queue.priority) <= 0.0).all()
    assert queue.reasons[0].endswith("leaves the outcome open (threshold 0.5)")
    assert "drawn as part of the even share" in queue.reasons
    assert "60 of 2,000 predictions" in str(queue)
    again = hs.review_queue(data, replace(SPEC, prediction_id="id"), 60, seed=2)
    assert again.rows.tolist() == queue.rows.tolist()
    other = hs.review_queue(data, replace(SPEC, prediction_id="id"), 60, seed=3)
    assert other.rows.tolist() != queue.rows.tolist()


def test_a_prediction_is_drawn_once_and_not_if_its_label_came() -> None:
    data = {
        "id": ["a", "b", "a", "c", "b"],
        "score": [0.5, 0.4, 0.5, 0.3, 0.4],
        "label": [None, None, None, 1, 0],
    }
    queue = hs.review_queue(data, replace(SPEC, prediction_id="id"), 10, seed=0)
    assert queue.table["prediction_id"].to_pylist() == ["a"]
    assert queue.probability.tolist() == [1.0]
    assert queue.weights.sum() == 3.0
    assert queue.problems[0].startswith("2 of 5 rows repeat the id of another")


def test_rows_unlike_the_labelled_ones_come_first() -> None:
    rng = np.random.default_rng(5)
    n = 3000
    world = scored(rng, n)
    shop = np.where(np.arange(n) < 1000, "old", np.where(rng.random(n) < 0.1, "new", "old"))
    data = {
        "score": world["score"],
        "label": np.where(np.arange(n) < 1000, world["truth"], np.nan),
        "shop": shop,
        "size": rng.normal(size=n),
    }
    queue = hs.review_queue(data, SPEC, 200, seed=1, by=["drift"])
    share = (shop[queue.rows] == "new").mean()
    assert share > 0.2
    assert "times as common as among the labelled ones" in queue.reasons[0]
    few = hs.review_queue(unlabelled(world), SPEC, 200, seed=1, by=["drift"])
    assert few.problems[0].startswith("0 rows with or without label are too few")
    assert np.unique(few.probability.round(12)).size == 1


def test_amounts_at_stake_come_first() -> None:
    rng = np.random.default_rng(6)
    world = scored(rng, 3000)
    amounts = rng.lognormal(3.0, 1.0, 3000)
    amounts[0] = np.nan
    data = unlabelled(world) | {"amount": amounts}
    queue = hs.review_queue(data, SPEC, 200, seed=1, by=["value"], value="amount")
    assert np.nanmean(amounts[queue.rows]) > 1.5 * np.nanmean(amounts)
    assert queue.reasons[0].endswith(" at stake")
    assert queue.problems == ("1 amounts are missing or infinite: taken as 0",)
    both = hs.review_queue(data, SPEC, 200, seed=1, by=("uncertainty", "value"), value="amount")
    assert any("at stake; score" in reason for reason in both.reasons)


def test_classes_and_numbers_have_queues_too() -> None:
    rng = np.random.default_rng(7)
    scores = rng.dirichlet([2.0, 0.2, 0.05], 1000)
    data = {name: scores[:, k] for k, name in enumerate("abc")} | {"label": [None] * 1000}
    columns = {"red": "a", "green": "b", "blue": "c"}
    queue = hs.review_queue(data, hs.PredictionSpec("multiclass", score=columns), 100, seed=1)
    assert scores[queue.rows].max(axis=1).mean() < scores.max(axis=1).mean() - 0.02
    assert "likeliest class has a probability of" in queue.reasons[0]
    number = hs.PredictionSpec("regression", label="y", score="p")
    plain = hs.review_queue({"p": rng.normal(size=50)}, number, 10, seed=1)
    assert plain.problems == ("there are no probabilities to tell how uncertain rows are",)
    assert plain.probability.tolist() == pytest.approx([0.2] * 10)


def test_rows_that_cannot_be_judged_are_left_out() -> None:
    data = {"score": [0.5, None, 0.4], "label": [None, None, None]}
    queue = hs.review_queue(data, SPEC, 5, seed=0)
    assert sorted(queue.rows.tolist()) == [0, 2]
    assert queue.problems[-1].startswith("1 rows without label have no score either")
    named = hs.PredictionSpec("binary", score="", prediction="said", classes=("no", "yes"))
    only = hs.review_queue({"said": ["yes", None, "no"]}, named, 1, seed=0)
    assert only.candidates == 2
    empty = hs.review_queue({"score": [0.5], "label": [1]}, SPEC, 5, seed=0)
    assert (len(empty), empty.candidates, empty.problems) == (0, 0, ())


def test_scores_that_foresee_no_loss_draw_evenly() -> None:
    data = {"score": [0.0, 1.0, 0.0, 1.0], "label": [None] * 4}
    assert hs.review_queue(data, SPEC, 2, seed=0).probability.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": "all"}, "size is 'all'"),
        ({"floor": 0.0}, "floor is 0.0"),
        ({"by": "luck"}, "by names 'luck'"),
        ({"by": "value"}, "need a column"),
        ({"value": "amount"}, "need a column"),
    ],
    ids=["size", "text", "floor", "by", "no column", "not asked"],
)
def test_a_wrong_option_is_named(options: dict[str, object], message: str) -> None:
    data = {"score": [0.5], "label": [None]}
    with pytest.raises(ConfigError, match=message):
        hs.review_queue(data, SPEC, **({"size": 1, "seed": 0} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names", [{"prediction_id": "id"}, {"features": ("score", "age")}], ids=["id", "feature"]
)
@pytest.mark.parametrize("by", ["uncertainty", "drift"])
def test_a_column_that_is_not_there_is_named(names: dict[str, Any], by: str) -> None:
    data = {"score": [0.5] * 300, "label": [None, 1, 0] * 100, "shop": ["north"] * 300}
    wanted = "'id'" if "prediction_id" in names else "'age'"
    with pytest.raises(DataError, match=f"data have no column {wanted}; there are shop"):
        hs.review_queue(data, replace(SPEC, **names), 1, seed=0, by=by)  # type: ignore[arg-type]


def test_amounts_must_be_there_and_be_numbers() -> None:
    data = {"score": [0.5], "label": pa.nulls(1), "shop": ["north"]}
    for name, message in {"amount": "no column 'amount'", "shop": "else than numbers"}.items():
        with pytest.raises(DataError, match=message):
            hs.review_queue(data, SPEC, 1, seed=0, by=["value"], value=name)
