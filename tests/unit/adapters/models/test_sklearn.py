"""scikit-learn artifacts: through skops, and pickles that were allowed."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from homeostat.adapters.models import (
    Encoding,
    Loader,
    MatrixPredictor,
    fit_encoding,
    load_predictor,
    save_joblib,
    save_skops,
)
from homeostat.adapters.models.loading import flavour_of
from homeostat.domain.errors import ArtifactError

RNG = np.random.default_rng(7)
ROWS = pa.table({"amount": RNG.normal(size=300), "land": RNG.choice(["DE", "FR", "IT"], 300)})
ENCODING = fit_encoding(ROWS, ["amount", "land"])
MATRIX = ENCODING.matrix(ROWS)
TRUTH = (MATRIX[:, 0] + (MATRIX[:, 1] == 2) > 0).astype(int)
NAMES = np.array(["bad", "good", "so"])[np.digitize(MATRIX[:, 0], [-0.5, 0.5])]


TREES = Loader(
    trusted_types=frozenset(
        {
            "sklearn.tree._tree.Tree",
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        }
    )
)


class Homemade(LogisticRegression):
    """A type that skops does not know."""


def pipeline() -> Any:
    return make_pipeline(SimpleImputer(), LogisticRegression()).fit(MATRIX, TRUTH)


def saved(tmp_path: Path, model: Any, **more: Any) -> Path:
    save_skops(model, tmp_path / "a", ENCODING.features, ENCODING.categories, **more)
    return tmp_path / "a"


def test_a_pipeline_scores_as_the_trained_one(tmp_path: Path) -> None:
    model = pipeline()
    folder = saved(tmp_path, model)
    assert flavour_of(folder) == "skops"
    predictor = load_predictor(folder, "skops")
    assert predictor.features == ("amount", "land")
    got = predictor.predict(ROWS.select(["land", "amount"]))
    np.testing.assert_array_equal(got, model.predict_proba(MATRIX))
    missing = pa.table({"amount": pa.array([None], pa.float64()), "land": ["XX"]})
    assert np.isfinite(predictor.predict(missing)).all()


def test_a_regression_gives_numbers(tmp_path: Path) -> None:
    model = LinearRegression().fit(MATRIX, MATRIX[:, 0] * 2)
    predictor = load_predictor(saved(tmp_path, model), "skops")
    assert isinstance(predictor, MatrixPredictor)
    np.testing.assert_array_equal(predictor.predict_matrix(MATRIX), model.predict(MATRIX))
    assert predictor.encoding == ENCODING


def test_only_what_is_quick_works_on_a_matrix_in_the_event_loop(tmp_path: Path) -> None:
    slow = HistGradientBoostingClassifier(max_iter=5).fit(MATRIX, TRUTH)
    predictor = TREES(saved(tmp_path, slow), "skops")
    assert not isinstance(predictor, MatrixPredictor)
    np.testing.assert_array_equal(predictor.predict(ROWS), slow.predict_proba(MATRIX))


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, LinearSVC], ids=["chances", "labels"])
def test_classes_come_in_the_order_of_the_model(tmp_path: Path, kind: Any) -> None:
    model = kind(random_state=0).fit(MATRIX, NAMES)
    order = ["so", "bad", "good"]
    got = TREES(saved(tmp_path, model, classes=order), "skops").predict(ROWS)
    index = got if got.ndim == 1 else got.argmax(axis=1)
    assert [order[int(place)] for place in index] == model.predict(MATRIX).tolist()


@pytest.mark.parametrize("classes", [None, ["bad", "good"], ["bad", "good", "odd"]], ids=str)
def test_classes_that_do_not_fit_are_refused(tmp_path: Path, classes: list[str] | None) -> None:
    model = DecisionTreeClassifier().fit(MATRIX, NAMES)
    with pytest.raises(ArtifactError, match=r"tells .* apart, and not"):
        TREES(saved(tmp_path, model, classes=classes), "skops")


def test_unknown_types_are_named_and_not_made(tmp_path: Path) -> None:
    model = Homemade().fit(MATRIX, TRUTH)
    folder = saved(tmp_path, model)
    name = f"{Homemade.__module__}.Homemade"
    with pytest.raises(ArtifactError, match=rf"not trusted: {name}; "):
        load_predictor(folder, "skops")
    predictor = Loader(trusted_types=frozenset({name}))(folder, "skops")
    np.testing.assert_array_equal(predictor.predict(ROWS), model.predict_proba(MATRIX))


def test_a_pickle_is_loaded_only_if_its_hash_is_allowed(tmp_path: Path) -> None:
    model = pipeline()
    digest = save_joblib(model, tmp_path, ENCODING.features, ENCODING.categories)
    assert flavour_of(tmp_path) == "joblib"
    with pytest.raises(ArtifactError, match=f"SHA-256 {digest} under serving.allow_pickle"):
        load_predictor(tmp_path, "joblib")
    load = Loader(allow_pickle=frozenset({digest}))
    got = load(tmp_path, "joblib").predict(ROWS)
    np.testing.assert_array_equal(got, model.predict_proba(MATRIX))


class Bomb:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("exploded", "w")


def test_a_pickle_that_is_not_allowed_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_joblib(Bomb(), tmp_path, ["amount"])  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="can run any code"):
        Loader(allow_pickle=frozenset({"0" * 64}))(tmp_path, "joblib")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("flavour", "wrote", "fine"),
    [
        ("skops", "0.1.2", False),
        ("skops", "{minor}.99", True),
        ("joblib", "{minor}.99", False),
        ("joblib", "{here}", True),
    ],
)
def test_the_version_of_the_library_is_checked(
    tmp_path: Path, flavour: str, wrote: str, fine: bool
) -> None:
    digest = save_joblib(pipeline(), tmp_path, ENCODING.features, ENCODING.categories)
    save_skops(pipeline(), tmp_path, ENCODING.features, ENCODING.categories)
    meta = json.loads((tmp_path / "meta.json").read_text())
    here = meta["libraries"]["scikit-learn"]
    wrote = wrote.format(minor=here.rpartition(".")[0], here=here)
    meta["libraries"]["scikit-learn"] = wrote
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    load = Loader(allow_pickle=frozenset({digest}))
    if fine:
        assert load(tmp_path, flavour).predict(ROWS).shape == (300, 2)
    else:
        with pytest.raises(ArtifactError, match=f"written by scikit-learn {wrote}"):
            load(tmp_path, flavour)


def test_a_version_must_be_on_record(tmp_path: Path) -> None:
    folder = saved(tmp_path, pipeline())
    ENCODING.save(folder / "meta.json")
    with pytest.raises(ArtifactError, match="'libraries' must tell"):
        load_predictor(folder, "skops")


def test_features_must_fit(tmp_path: Path) -> None:
    save_skops(pipeline(), tmp_path, ["amount"])
    with pytest.raises(ArtifactError, match=r"takes 2 features, meta\.json names 1"):
        load_predictor(tmp_path, "skops")


def test_what_cannot_predict_is_no_model(tmp_path: Path) -> None:
    save_skops(SimpleImputer().fit(MATRIX), tmp_path, ENCODING.features)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="SimpleImputer cannot predict"):
        load_predictor(tmp_path, "skops")


@pytest.mark.parametrize("damage", ["absent", "cut", "garbage", "empty"])
@pytest.mark.parametrize("flavour", ["skops", "joblib"])
def test_damaged_model_is_an_artifact_error(tmp_path: Path, flavour: str, damage: str) -> None:
    save_joblib(pipeline(), tmp_path, ENCODING.features)
    save_skops(pipeline(), tmp_path, ENCODING.features)
    file = tmp_path / f"model.{flavour}"
    content = file.read_bytes()
    new = {"cut": content[: len(content) // 2], "garbage": b"\x80\x04\xff", "empty": b""}
    if damage == "absent":
        file.unlink()
    else:
        file.write_bytes(new[damage])
    digest = hashlib.sha256(new.get(damage, b"")).hexdigest()
    with pytest.raises(ArtifactError, match=rf"model\.{flavour}"):
        Loader(allow_pickle=frozenset({digest}))(tmp_path, flavour)


@pytest.mark.parametrize("module", ["sklearn", "skops.io"])
def test_without_the_libraries_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    Encoding(("amount",)).save(tmp_path / "meta.json")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ArtifactError, match=r"homeostat\[sklearn\]"):
        load_predictor(tmp_path, "skops")
