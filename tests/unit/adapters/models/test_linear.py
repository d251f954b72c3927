"""Linear artifacts."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat.adapters.models import Term, load_predictor, save_linear, save_softmax
from homeostat.domain.errors import ArtifactError


def test_scores_as_scikit_learn_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2))
    y = x[:, 0] + rng.normal(size=300) > 0
    peer = LogisticRegression().fit(x, y)
    terms = [Term(name, float(w)) for name, w in zip(("a", "b"), peer.coef_[0], strict=True)]
    save_linear(tmp_path, float(peer.intercept_[0]), terms)
    predictor = load_predictor(tmp_path, "linear")
    rows = pa.table({"b": x[:, 1], "a": x[:, 0]})
    np.testing.assert_allclose(predictor.predict(rows), peer.predict_proba(x)[:, 1], rtol=1e-12)
    assert predictor.features == ("a", "b")


def test_identity_with_categories_and_missing_values(tmp_path: Path) -> None:
    terms = [
        Term("amount", 2.0, mean=10.0, scale=5.0),
        Term("land", 100.0, category="DE"),
        Term("land", 200.0, category="FR"),
    ]
    save_linear(tmp_path, 1.0, terms, link="identity")
    rows = pa.table({"amount": [15.0, None, 10.0], "land": ["FR", "DE", None]})
    got = load_predictor(tmp_path, "linear").predict(rows)
    assert got.tolist() == [203.0, 101.0, 1.0]


def test_extreme_sums_stay_probabilities(tmp_path: Path) -> None:
    save_linear(tmp_path, 0.0, [Term("a", 1e6)])
    got = load_predictor(tmp_path, "linear").predict(pa.table({"a": [-1e6, 1e6]}))
    assert got[0] >= 0
    assert got[1] == 1


def test_several_classes_score_as_scikit_learn_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 2))
    y = np.digitize(x[:, 0] + rng.normal(size=300), [-0.5, 0.5])
    peer = LogisticRegression().fit(x, y)
    sums = [
        (float(intercept), [Term("b", float(weights[1])), Term("a", float(weights[0]))])
        for intercept, weights in zip(peer.intercept_, peer.coef_, strict=True)
    ]
    save_softmax(tmp_path, sums)
    predictor = load_predictor(tmp_path, "linear")
    rows = pa.table({"b": x[:, 1], "a": x[:, 0]})
    np.testing.assert_allclose(predictor.predict(rows), peer.predict_proba(x), rtol=1e-9)
    assert predictor.features == ("b", "a")
    assert predictor.predict(rows.slice(0, 0)).shape == (0, 3)


@pytest.mark.parametrize("classes", [None, [], [{"terms": []}], [{"terms": []}, 5], [[], []]])
def test_softmax_needs_terms_of_at_least_two_classes(tmp_path: Path, classes: object) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"link": "softmax", "classes": classes}))
    with pytest.raises(ArtifactError, match=r"model\.json: '(classes|terms)' must be a list"):
        load_predictor(tmp_path, "linear")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"link": "probit"}, "'link'"),
        ({"terms": 5}, "'terms'"),
        ({"terms": [5]}, "names its 'feature'"),
        ({"terms": [{"feature": "a"}]}, "'weight'"),
        ({"terms": [{"feature": "a", "weight": True}]}, "'weight'"),
        ({"terms": [{"feature": "a", "weight": 1, "scale": 0}]}, "'scale'"),
        ({"terms": [{"feature": "a", "weight": 1, "category": 3}]}, "'category'"),
        ({"intercept": "0"}, "'intercept'"),
        ({"intercept": float("nan")}, "'intercept'"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    good = {"link": "logistic", "intercept": 0.0, "terms": [{"feature": "a", "weight": 1.0}]}
    (tmp_path / "model.json").write_text(json.dumps(good | change))
    with pytest.raises(ArtifactError, match=problem):
        load_predictor(tmp_path, "linear")


def test_absent_file_and_unknown_flavour(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json"):
        load_predictor(tmp_path, "linear")
    with pytest.raises(ArtifactError, match="there are joblib, lightgbm, linear"):
        load_predictor(tmp_path, "pickle")
