"""hs.importance, as a user calls it."""

import json
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import homeostat as hs
from homeostat.domain.errors import DataError

SPEC = hs.PredictionSpec("binary", label="y", score="p", features=("x", "twin", "land", "idle"))


def rows(n: int = 1200, seed: int = 0, weight: float = 2.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "land": rng.choice(["DE", "FR", "IT"], n)}
    ).assign(twin=lambda f: 10 * f["x"] + rng.normal(size=n), idle=rng.normal(size=n))
    total = weight * frame["x"] + 1.5 * (frame["land"] == "FR")
    frame["y"] = rng.random(n) < 1 / (1 + np.exp(-total))
    return frame.assign(p=0.5)


@pytest.fixture(scope="module")
def model() -> lightgbm.LGBMClassifier:
    train = rows(3000, seed=1)
    train["land"] = train["land"].astype("category")
    fitted = lightgbm.LGBMClassifier(n_estimators=40, num_leaves=8, verbose=-1, n_jobs=1)
    return fitted.fit(train[list(SPEC.features)], train["y"])


def scorer(model: lightgbm.LGBMClassifier):  # noqa: ANN201 - what a user would write
    def score(table: pa.Table) -> np.ndarray:
        frame = table.to_pandas()
        return model.predict_proba(frame.assign(land=frame["land"].astype("category")))

    return score


def test_a_model_on_a_dataframe(model: lightgbm.LGBMClassifier) -> None:
    report = hs.importance(rows(), SPEC, scorer(model))
    assert report.columns[0].name == "x"
    assert report["x"].lower > report["idle"].upper
    assert report["land"].best >= 2
    assert json.loads(json.dumps(report.to_dict()))["columns"][0]["rank"] == 1
    assert str(report).startswith("1. x: +0.")
    assert hs.importance(rows(), SPEC, scorer(model)) == report, "one seed, one result"
    with pytest.raises(KeyError):
        report["y"]


def test_columns_that_say_the_same(model: lightgbm.LGBMClassifier) -> None:
    report = hs.importance(rows(), SPEC, scorer(model), groups="correlated")
    assert report["twin"] is report["x"]
    assert report["x"].name == "x + twin"
    pair = hs.importance(rows(), SPEC, scorer(model), groups=[("x", "land")])
    assert [one.name for one in pair.columns] == ["x + land"]


def test_a_shift_is_found_and_its_absence_too(model: lightgbm.LGBMClassifier) -> None:
    before = hs.importance(rows(2000), SPEC, scorer(model))
    calm = before.shift(hs.importance(rows(2000, seed=5), SPEC, scorer(model)))
    assert [one.name for one in calm if one.status is hs.Status.DRIFT] == []
    changed = hs.importance(rows(2000, seed=6, weight=0.0), SPEC, scorer(model))
    found = {one.name for one in before.shift(changed) if one.status is hs.Status.DRIFT}
    assert "x" in found
    assert not found & {"land", "idle"}


def test_files_and_several_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "y": np.where(x > 0.5, "c", np.where(x < -0.5, "a", "b"))})
    frame.assign(said="b").to_parquet(tmp_path / "rows.parquet")
    spec = hs.PredictionSpec("multiclass", label="y", score="said", features=("x",))

    def score(table: pa.Table) -> np.ndarray:
        powers = np.exp(np.outer(table["x"].to_numpy(), [-2.0, 0.0, 2.0]))
        return powers / powers.sum(axis=1, keepdims=True)

    assert hs.importance(tmp_path / "rows.parquet", spec, score)["x"].lower > 0.05


def test_what_cannot_be_measured() -> None:
    def fails(table: pa.Table) -> np.ndarray:
        raise MemoryError("too much")

    report = hs.importance(rows(50), SPEC, fails)
    assert str(report).splitlines()[0] == "-. x: error, scoring failed: MemoryError: too much"
    assert report.to_dict()["columns"][0]["value"] is None
    unlabelled = hs.importance(rows(50).assign(y=None), SPEC, len)
    assert unlabelled["x"].status is hs.Status.NO_DATA
    few = hs.importance(rows(1), SPEC, lambda table: [0.5])
    assert few["x"].status is hs.Status.NO_DATA
    with pytest.raises(hs.UserError, match="'height' is no feature; there are x, twin"):
        hs.importance(rows(50), SPEC, len, groups=[("height",)])
    with pytest.raises(hs.UserError, match='give "correlated"'):
        hs.importance(rows(50), SPEC, len, groups="correlate")
    nothing = hs.PredictionSpec("binary", label="y", score="p")
    with pytest.raises(hs.UserError, match="no features to measure"):
        hs.importance(rows(50)[["y", "p"]], nothing, len)


def test_many_columns_are_summed_up() -> None:
    wide = {f"c{i}": np.arange(40.0) for i in range(40)} | {"y": [0, 1] * 20, "p": [0.5] * 40}
    spec = hs.PredictionSpec("binary", label="y", score="p")
    report = hs.importance(wide, spec, lambda table: np.full(table.num_rows, 0.5))
    assert str(report).splitlines()[-1] == "... and 10 more columns"
    assert repr(report) == "<ImportanceReport: 40 columns>"


def test_scores_that_are_no_probabilities_are_named() -> None:
    found = hs.importance(rows(300), SPEC, lambda table: np.full(len(table), 5.0))
    assert {one.reason for one in found.columns} == {
        "scoring failed: DataError: a score is 5: probabilities are from 0 to 1"
    }
    said = hs.importance(
        rows(300), SPEC, lambda table: np.full(len(table), 5.0), losses=lambda a, b: abs(a - b)
    )
    assert all(one.rank for one in said.columns)
    classes = pd.DataFrame({"x": np.arange(300) % 3, "said": np.arange(300) % 3}).assign(
        label=lambda f: f["x"]
    )
    hard = hs.PredictionSpec("multiclass", score="said", features=("x",))
    told = hs.importance(classes, hard, lambda table: table["x"].to_numpy())
    assert told["x"].value > 0.5


def test_a_group_without_columns_is_refused() -> None:
    with pytest.raises(DataError, match="a group names no column"):
        hs.importance(rows(300), SPEC, lambda table: np.zeros(len(table)), groups=[["x"], []])
