"""XGBoost artifacts."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from homeostat.adapters.explainers import explainer_of
from homeostat.adapters.models import (
    Encoding,
    MatrixPredictor,
    fit_encoding,
    load_predictor,
    save_linear,
    save_xgboost,
)
from homeostat.adapters.models.loading import flavour_of
from homeostat.domain.errors import ArtifactError

RNG = np.random.default_rng(7)
ROWS = pa.table({"amount": RNG.normal(size=400), "land": RNG.choice(["DE", "FR", "IT"], 400)})
ENCODING = fit_encoding(ROWS, ["amount", "land"])
TRUTH = (ROWS["amount"].to_numpy() + (ENCODING.matrix(ROWS)[:, 1] == 2) > 0).astype(float)


def data(matrix: np.ndarray, truth: np.ndarray | None = None) -> xgboost.DMatrix:
    kinds = ["q", "c"]
    return xgboost.DMatrix(matrix, truth, feature_types=kinds, enable_categorical=True)


def train(objective: str, truth: np.ndarray, **more: int) -> xgboost.Booster:
    settings = {"objective": objective, "nthread": 1, "max_cat_to_onehot": 1, **more}
    return xgboost.train(settings, data(ENCODING.matrix(ROWS), truth), 5)


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    return train("binary:logistic", TRUTH)


@pytest.fixture
def artifact(booster: xgboost.Booster, tmp_path: Path) -> Path:
    save_xgboost(booster, tmp_path / "a", ENCODING.features, ENCODING.categories)
    return tmp_path / "a"


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_loaded_model_scores_as_the_trained_one(
    booster: xgboost.Booster, artifact: Path, form: str
) -> None:
    if form == "json":
        (artifact / "model.ubj").unlink()
        booster.save_model(artifact / "model.json")
    assert flavour_of(artifact) == "xgboost"
    predictor = load_predictor(artifact, "xgboost")
    assert predictor.features == ("amount", "land")
    assert isinstance(predictor, MatrixPredictor)
    expected = booster.predict(data(ENCODING.matrix(ROWS)))
    np.testing.assert_array_equal(predictor.predict(ROWS.select(["land", "amount"])), expected)


def test_a_linear_model_is_told_apart(tmp_path: Path) -> None:
    save_linear(tmp_path, 0.0, [])
    assert flavour_of(tmp_path) == "linear"


def test_unknown_and_missing_values_get_a_score(artifact: Path) -> None:
    rows = pa.table({"amount": pa.array([None, 1.0]), "land": pa.array(["XX", None])})
    assert np.isfinite(load_predictor(artifact, "xgboost").predict(rows)).all()


def test_several_classes_give_probabilities(tmp_path: Path) -> None:
    truth = np.digitize(ROWS["amount"].to_numpy(), [-0.5, 0.5])
    model = train("multi:softprob", truth, num_class=3)
    save_xgboost(model, tmp_path, ENCODING.features, ENCODING.categories)
    got = load_predictor(tmp_path, "xgboost").predict(ROWS)
    np.testing.assert_array_equal(got, model.predict(data(ENCODING.matrix(ROWS))))
    assert got.shape == (400, 3)
    assert (got.argmax(axis=1) == truth).mean() > 0.9


def test_contributions_add_up_to_the_raw_score(booster: xgboost.Booster, artifact: Path) -> None:
    predictor = load_predictor(artifact, "xgboost")
    found = explainer_of(predictor, ROWS).explain(ROWS)
    raw = booster.predict(data(ENCODING.matrix(ROWS)), output_margin=True)
    rest = raw - found.sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-5)
    assert found.shape == (400, 2)


def test_features_must_fit_the_booster(booster: xgboost.Booster, artifact: Path) -> None:
    with pytest.raises(ArtifactError, match="takes 2 features, 1 are named"):
        save_xgboost(booster, artifact, ["amount"])
    Encoding(("amount",)).save(artifact / "meta.json")
    with pytest.raises(ArtifactError, match=r"meta\.json names 1"):
        load_predictor(artifact, "xgboost")


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "garbage", "hollow"])
def test_damaged_model_is_an_artifact_error(artifact: Path, damage: str) -> None:
    file = artifact / "model.ubj"
    content = file.read_bytes()
    match damage:
        case "absent":
            file.unlink()
        case "empty":  # XGBoost itself would abort the process
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "garbage":
            file.write_bytes(b"\x80\x04\xff")
        case _:
            file.write_text(json.dumps({"learner": {}, "version": [3, 0, 0]}))
    with pytest.raises(ArtifactError, match=r"model\.ubj"):
        load_predictor(artifact, "xgboost")


def test_without_xgboost_the_message_says_what_to_install(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ArtifactError, match=r"homeostat\[xgboost\]"):
        load_predictor(artifact, "xgboost")
