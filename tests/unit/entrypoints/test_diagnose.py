"""``hs.diagnose`` as users call it: values in money, bad input, and what can be printed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import homeostat as hs
from homeostat.domain.decision import Cause
from homeostat.domain.errors import ConfigError, DataError
from homeostat.entrypoints.diagnose import Value

Table = dict[str, np.ndarray]
SPEC = hs.PredictionSpec("binary", classes=("no", "yes"))


def month(seed: int, n: int = 2000, lift: float = 0.0) -> Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    score = 1 / (1 + np.exp(-x))
    truth = 1 / (1 + np.exp(-x - lift * (x > 0)))
    label = np.where(rng.random(n) < truth, "yes", "no")
    return {"x": x, "price": rng.uniform(5, 15, n), "score": score, "label": label}


def test_value_is_split_like_the_loss() -> None:
    found = hs.diagnose(
        month(1), month(2, lift=-2.0), SPEC, value={"tp": "price", "fp": -20.0, "tn": 1}
    )
    assert found.cause is Cause.CONCEPT_DRIFT
    assert found.value is not None
    assert found.value.metric == "value"
    assert found.value.now < found.value.before
    assert found.value["concept"].upper < 0.0
    assert sum(p.amount for p in found.value.parts) == pytest.approx(found.value.total.amount)


def test_a_column_of_values_is_no_feature() -> None:
    def priced(rows: Table, factor: float) -> Table:
        return {**rows, "profit": rows["price"] * factor}

    found = hs.diagnose(priced(month(1), 1.0), priced(month(2), 3.0), SPEC, value="profit")
    assert found.cause is Cause.NONE
    assert found.value is not None
    assert found.value.total.amount == pytest.approx(20.0, abs=1.0)


def test_values_that_are_missing_are_not_told() -> None:
    now = month(2)
    now["price"][5] = np.nan
    found = hs.diagnose(month(1), now, SPEC, value="price")
    assert found.value is None
    assert any("no value" in caveat for caveat in found.caveats)


def test_value_by_class_names() -> None:
    found = hs.diagnose(month(1), month(2), SPEC, value={("yes", "no"): -5.0})
    assert found.value is not None
    assert found.value.before < 0.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"hit": 1.0}, "no outcome 'hit'"),
        ({("yes", "maybe"): 1.0}, "give two of the classes no, yes"),
        ("gain", "no column 'gain'"),
        ({"tp": "gain"}, "no column 'gain'"),
        ({"tp": "word"}, "values must be numbers"),
    ],
    ids=["outcome", "class", "column", "amounts", "text"],
)
def test_wrong_values_are_explained(value: Value, said: str) -> None:
    rows = {**month(1), "word": np.array(["a"] * 2000)}
    with pytest.raises(DataError, match=said):
        hs.diagnose(rows, rows, SPEC, value=value)


def test_a_regression_has_no_outcomes() -> None:
    rows = {"x": np.arange(9.0), "score": np.arange(9.0), "label": np.arange(9.0)}
    with pytest.raises(DataError, match="regression has no outcomes"):
        hs.diagnose(rows, rows, hs.PredictionSpec("regression"), value={"tp": 1.0})


def test_a_value_cannot_be_a_feature() -> None:
    spec = hs.PredictionSpec("binary", features=("price",))
    with pytest.raises(DataError, match="both a feature and the value"):
        hs.diagnose(month(1), month(2), spec, value="price")


def test_an_explanation_is_plain_and_prints() -> None:
    now = {**month(2, lift=-2.0), "at": pd.date_range("2024-01-01", periods=2000, freq="h")}
    before = {**month(1), "at": pd.date_range("2023-01-01", periods=2000, freq="h")}
    spec = hs.PredictionSpec("binary", classes=("no", "yes"), timestamp="at")
    found = hs.diagnose(pd.DataFrame(before), pd.DataFrame(now), spec)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["cause"] == "concept_drift"
    assert plain["retrain"] is True
    assert plain["since"].startswith("2024")
    assert plain["loss"]["parts"][0]["name"] == "covariate"
    assert "Advice: Retrain" in str(found)
    logged = found.diagnosis
    assert (logged.cause, logged.retrain, logged.text) == (found.cause, True, found.text)


def test_nothing_changed_is_said_so() -> None:
    found = hs.diagnose(month(1), month(2), SPEC)
    assert found.cause is Cause.NONE
    assert not found.causes
    assert "nothing that matters has changed" in found.text.lower()
    assert found.loss is not None
    assert found.loss["label"].amount == 0.0


def test_classes_without_scores_are_judged_by_their_errors() -> None:
    spec = hs.PredictionSpec("binary", score="", prediction="said", classes=("no", "yes"))
    three = hs.PredictionSpec("multiclass", score="", prediction="said")

    def said(rows: Table) -> Table:
        answer = np.where(rows["score"] > 0.5, "yes", "no")
        return {"x": rows["x"], "said": answer, "label": rows["label"]}

    for one in (spec, three):
        assert hs.diagnose(said(month(1)), said(month(2)), one).cause is Cause.NONE
        changed = hs.diagnose(said(month(1)), said(month(3, lift=-3.0)), one)
        assert changed.cause is Cause.CONCEPT_DRIFT, changed


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_odd_tables_have_defined_answers(task: str) -> None:
    spec = hs.PredictionSpec(task)
    one = {"score": np.full(200, 0.5), "label": np.zeros(200)}
    assert hs.diagnose(one, one, spec).cause in {Cause.NONE, Cause.DATA_FAULT}
    nothing = {"x": [], "score": [], "label": []}
    found = hs.diagnose({**one, "x": np.arange(200.0)}, nothing, spec)
    assert found.loss is None
    wild = {**one, "x": np.tile([np.nan, np.inf, -np.inf, 1e300], 50)}
    assert hs.diagnose(wild, wild, spec).loss is not None


def test_rows_without_weight_do_not_count_and_others_count_alike() -> None:
    spec = hs.PredictionSpec("binary", weight="w")
    before, now = month(1), month(2)
    count = np.asarray(now["label"]).size
    wrong = np.arange(count) < count // 3
    broken = {**now, "label": np.where(wrong, "no", now["label"])}
    usual = {**before, "w": np.ones(count)}
    found = hs.diagnose(usual, {**broken, "w": np.where(wrong, 0.0, 1.0)}, spec)
    assert found.cause is Cause.NONE
    assert found.n_current == count - count // 3
    with pytest.raises(ConfigError, match="current: weights differ, which a diagnosis"):
        hs.diagnose(usual, {**broken, "w": 1.0 + wrong}, spec)
    with pytest.raises(DataError, match="current: no row has a weight above 0"):
        hs.diagnose(usual, {**broken, "w": np.zeros(count)}, spec)


def test_the_change_of_the_value_is_printed() -> None:
    found = hs.diagnose(month(1), month(2, lift=-2.0), SPEC, value={"tp": "price", "fp": -20.0})
    assert found.value is not None
    printed = str(found)
    assert f"Value of a prediction: {found.value.before:.4g} before, " in printed
    assert f"{found.value.total.amount:+.4g} [" in printed
    assert "Value" not in str(hs.diagnose(month(1), month(2), SPEC))
