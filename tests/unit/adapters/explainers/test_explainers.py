"""What each column adds to an answer."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from by_definition import Opaque, rows, shapley
from homeostat.adapters.explainers import attributions, explainer_of
from homeostat.adapters.models import (
    Term,
    fit_encoding,
    load_predictor,
    save_lightgbm,
    save_linear,
    save_softmax,
)
from homeostat.domain.errors import ArtifactError

ROWS = rows(300)
TERMS = [Term("a", 2.0), Term("land", 1.5, category="FR"), Term("b", -1.0, mean=0.5, scale=2.0)]


def test_a_linear_model_is_explained_exactly(tmp_path: Path) -> None:
    save_linear(tmp_path, -1.0, TERMS, link="identity")
    predictor = load_predictor(tmp_path, "linear")
    explainer = explainer_of(predictor, ROWS.slice(0, 50))
    found = explainer.explain(ROWS.slice(60, 2))
    for place in range(2):
        expected = shapley(predictor, ROWS.slice(60 + place, 1), ROWS.slice(0, 50))
        assert dict(zip(explainer.features, found[place].tolist(), strict=True)) == pytest.approx(
            expected
        )


def test_each_class_of_a_softmax_model_is_explained(tmp_path: Path) -> None:
    save_softmax(tmp_path, [(0.0, []), (1.0, TERMS[:2]), (0.0, TERMS[2:])])
    explainer = explainer_of(load_predictor(tmp_path, "linear"), ROWS)
    assert explainer.features == ("a", "land", "b")
    found = explainer.explain(ROWS)
    assert found.shape == (300, 3, 3)
    assert np.abs(found.mean(axis=0)).max() < 1e-12
    assert not found[:, 0].any()
    assert not found[:, 1, 2].any()
    assert not found[:, 2, :2].any()
    np.testing.assert_allclose(np.diff(found[:, 1, 0]), 2.0 * np.diff(ROWS["a"].to_numpy()))


@pytest.mark.parametrize(("objective", "classes"), [("binary", 1), ("multiclass", 3)])
def test_lightgbm_adds_up_to_its_raw_score(tmp_path: Path, objective: str, classes: int) -> None:
    encoding = fit_encoding(ROWS, ROWS.column_names)
    matrix = encoding.matrix(ROWS)
    truth = np.digitize(
        matrix[:, 0] * matrix[:, 1] + matrix[:, 2], [0.0, 0.9][: max(classes - 1, 1)]
    )
    settings = {"objective": objective, "num_class": classes, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(matrix, truth), 10)
    save_lightgbm(booster, tmp_path, encoding.features, encoding.categories)
    explainer = explainer_of(load_predictor(tmp_path, "lightgbm"), ROWS)
    found = explainer.explain(ROWS)
    assert found.shape == ((300, 3) if classes == 1 else (300, 3, 3))
    raw = np.asarray(booster.predict(matrix, raw_score=True, num_threads=1))
    base = raw - found.sum(axis=-1)
    np.testing.assert_allclose(base, np.broadcast_to(base[0], base.shape), atol=1e-9)
    shares = attributions(explainer, ROWS)
    assert set(shares) == {"a", "b", "land"}
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_of_no_rows_nothing_is_said(tmp_path: Path) -> None:
    save_linear(tmp_path, -1.0, TERMS)
    explainer = explainer_of(load_predictor(tmp_path, "linear"), ROWS)
    assert attributions(explainer, ROWS.slice(0, 0)) == {"a": 0.0, "land": 0.0, "b": 0.0}


def test_other_models_need_shap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ArtifactError, match=r"pip install 'homeostat\[shap\]'"):
        explainer_of(Opaque(), ROWS)
