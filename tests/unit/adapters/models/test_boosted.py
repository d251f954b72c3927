"""LightGBM artifacts."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import Encoding, fit_encoding, load_predictor, save_lightgbm
from homeostat.domain.errors import ArtifactError

RNG = np.random.default_rng(7)
ROWS = pa.table(
    {
        "amount": RNG.normal(size=600),
        "land": RNG.choice(["DE", "FR", "IT"], 600),
    }
)
ENCODING = fit_encoding(ROWS, ["amount", "land"])
TRUTH = (ROWS["amount"].to_numpy() + (ENCODING.matrix(ROWS)[:, 1] == 2) > 0).astype(float)


def train(objective: str, truth: np.ndarray, **more: int) -> lightgbm.Booster:
    settings = {"objective": objective, "verbose": -1, "num_threads": 1, **more}
    data = lightgbm.Dataset(ENCODING.matrix(ROWS), truth, categorical_feature=[1])
    return lightgbm.train(settings, data, 5)


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return train("binary", TRUTH)


@pytest.fixture
def artifact(booster: lightgbm.Booster, tmp_path: Path) -> Path:
    save_lightgbm(booster, tmp_path / "a", ENCODING.features, ENCODING.categories)
    return tmp_path / "a"


def test_loaded_model_scores_as_the_trained_one(booster: lightgbm.Booster, artifact: Path) -> None:
    predictor = load_predictor(artifact, "lightgbm")
    assert predictor.features == ("amount", "land")
    shuffled = ROWS.select(["land", "amount"])
    np.testing.assert_array_equal(
        predictor.predict(shuffled), booster.predict(ENCODING.matrix(ROWS), num_threads=1)
    )


def test_unknown_and_missing_values_get_a_score(artifact: Path) -> None:
    rows = pa.table({"amount": pa.array([None, 1.0]), "land": pa.array(["XX", None])})
    assert np.isfinite(load_predictor(artifact, "lightgbm").predict(rows)).all()


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_several_classes_give_probabilities(tmp_path: Path, objective: str) -> None:
    truth = np.digitize(ROWS["amount"].to_numpy(), [-0.5, 0.5])
    model = train(objective, truth, num_class=3)
    save_lightgbm(model, tmp_path, ENCODING.features, ENCODING.categories)
    got = load_predictor(tmp_path, "lightgbm").predict(ROWS)
    assert got.shape == (600, 3)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-12)
    raw = np.asarray(model.predict(ENCODING.matrix(ROWS), num_threads=1))
    np.testing.assert_allclose(got, raw / raw.sum(axis=1, keepdims=True), rtol=1e-12)
    assert (got.argmax(axis=1) == truth).mean() > 0.9


def test_features_must_fit_the_booster(booster: lightgbm.Booster, artifact: Path) -> None:
    with pytest.raises(ArtifactError, match="takes 2 features, 1 are named"):
        save_lightgbm(booster, artifact, ["amount"])
    Encoding(("amount",)).save(artifact / "meta.json")
    with pytest.raises(ArtifactError, match=r"meta\.json names 1"):
        load_predictor(artifact, "lightgbm")


@pytest.mark.parametrize("damage", ["absent", "cut", "garbage", "binary"])
def test_damaged_model_is_an_artifact_error(artifact: Path, damage: str) -> None:
    file = artifact / "model.txt"
    text = file.read_text()
    match damage:
        case "absent":
            file.unlink()
        case "cut":
            file.write_text(text[: len(text) // 2])
        case "garbage":
            file.write_text("tree\nversion=v4\nend of trees\n")
        case _:
            file.write_bytes(b"\x80\x04\xff")
    with pytest.raises(ArtifactError, match=r"model\.txt"):
        load_predictor(artifact, "lightgbm")


def test_without_lightgbm_the_message_says_what_to_install(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ArtifactError, match=r"homeostat\[lightgbm\]"):
        load_predictor(artifact, "lightgbm")
