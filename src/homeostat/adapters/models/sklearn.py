"""scikit-learn models: through skops, which runs no code of the file, or a permitted pickle.

``model.skops`` or ``model.joblib``; ``meta.json`` has the encoding, the order of the classes and
the version of scikit-learn that wrote the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.artifact import META, check_width, needing, read_file
from homeostat.adapters.models.encoding import Encoding, read_json
from homeostat.domain.errors import ArtifactError

SKOPS, JOBLIB = "model.skops", "model.joblib"
LIBRARY = "scikit-learn"
HARMLESS = frozenset({"numpy.dtype"})  # skops leaves it to us; nothing but data is in it
QUICK = ("sklearn.linear_model.", "sklearn.naive_bayes.", "sklearn.tree.")


class Estimator(Protocol):
    """What is used of an estimator or pipeline of scikit-learn."""

    def predict(self, matrix: NDArray[np.float64]) -> object:
        """Return one label or number a row."""
        ...


class SklearnPredictor:
    """An estimator with its encoding, asked for probabilities if it gives them.

    Parameters
    ----------
    estimator : Estimator
    encoding : Encoding
    order : sequence of int, optional
        Of a classifier: the position of each of our classes among the estimator's.
    """

    def __init__(
        self, estimator: Estimator, encoding: Encoding, order: Sequence[int] | None
    ) -> None:
        self._encoding, self._order = encoding, None if order is None else np.asarray(order)
        chances = getattr(estimator, "predict_proba", None) if order is not None else None
        self._ask = estimator.predict if chances is None else chances
        self._labels = None if chances is not None else getattr(estimator, "classes_", None)

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that it reads."""
        return self._encoding.features

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Return one number a row; of a classifier probabilities, or else indices of classes."""
        return self._predict(self._encoding.matrix(table))

    def _predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.asarray(self._ask(matrix))
        if self._order is None:
            return np.asarray(found, dtype=np.float64)
        if self._labels is not None:
            places = np.searchsorted(np.asarray(self._labels), found)
            return np.argsort(self._order)[places].astype(np.float64)
        return np.asarray(found[:, self._order], dtype=np.float64)


class QuickSklearnPredictor(SklearnPredictor):
    """An estimator that only adds, multiplies and compares: one that may work on a matrix."""

    @property
    def encoding(self) -> Encoding:
        """How rows become numbers."""
        return self._encoding

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of encoded rows."""
        return self._predict(matrix)


def load_skops(path: Path, trusted: Collection[str] = ()) -> SklearnPredictor:
    """Load an artifact folder of flavour ``skops``.

    Parameters
    ----------
    path : Path
    trusted : collection of str
        Full names of types that may be made besides those that skops trusts.

    Raises
    ------
    ArtifactError
        If a file is absent or corrupt, holds types that are not trusted, was written by another
        minor version of scikit-learn, or the libraries are not installed.
    """
    skops = _library(path, "skops.io")
    file = path / SKOPS
    encoding, meta = _meta(path, exact=False)
    content = read_file(file)
    try:
        known = HARMLESS | set(trusted)
        unknown = sorted(set(skops.get_untrusted_types(data=content)) - known)
        if unknown:
            raise ArtifactError(
                f"{file}: holds types that are not trusted: {', '.join(unknown)}; if you know "
                "them, name them under serving.trusted_types of the model"
            )
        estimator = skops.loads(content, trusted=sorted(known))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{file}: not a model written by skops: {error}") from error
    return _predictor(path, estimator, encoding, meta)


def load_joblib(path: Path, allowed: Collection[str] = ()) -> SklearnPredictor:
    """Load an artifact folder of flavour ``joblib``, whose file can do anything when it is loaded.

    Parameters
    ----------
    path : Path
    allowed : collection of str
        SHA-256 of the files that may be loaded.

    Raises
    ------
    ArtifactError
        If a file is absent or corrupt, is not allowed, was written by another version of
        scikit-learn, or the libraries are not installed.
    """
    file = path / JOBLIB
    content = read_file(file)
    digest = hashlib.sha256(content).hexdigest()
    if digest not in allowed:
        raise ArtifactError(
            f"{file}: a pickle can run any code and is not loaded; if you know where it comes "
            f"from, name its SHA-256 {digest} under serving.allow_pickle of the model"
        )
    joblib = _library(path, "joblib")
    encoding, meta = _meta(path, exact=True)
    try:
        estimator = joblib.load(io.BytesIO(content))
    except Exception as error:  # a pickle may raise anything
        raise ArtifactError(f"{file}: cannot be loaded: {error!r}") from error
    return _predictor(path, estimator, encoding, meta)


def save_skops(
    estimator: Estimator,
    folder: Path,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
    classes: Sequence[object] | None = None,
) -> None:
    """Write an estimator or pipeline as an artifact folder of flavour ``skops``.

    Parameters
    ----------
    estimator : estimator of scikit-learn
        Trained on `Encoding.matrix`. It has to take NaN, where values are missing: a pipeline
        may begin with an imputer.
    folder : Path
        Is made if need be.
    features : sequence of str
        Columns in training order.
    categories : mapping of str to sequence of str, optional
        For each categorical column its values in the order of their codes.
    classes : sequence, optional
        Labels that a classifier was trained on, in the order of the model's ``classes``; can be
        left out if they are 0, 1, 2 and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SKOPS).write_bytes(_library(folder, "skops.io").dumps(estimator))
    _save_meta(folder, features, categories, classes)


def save_joblib(
    estimator: Estimator,
    folder: Path,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
    classes: Sequence[object] | None = None,
) -> str:
    """Write an artifact folder of flavour ``joblib``; as `save_skops`, which is safer.

    Returns
    -------
    str
        The SHA-256 that ``serving.allow_pickle`` has to name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _library(folder, "joblib").dump(estimator, folder / JOBLIB)
    _save_meta(folder, features, categories, classes)
    return hashlib.sha256(read_file(folder / JOBLIB)).hexdigest()


def _save_meta(
    folder: Path,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None,
    classes: Sequence[object] | None,
) -> None:
    known = {name: list(values) for name, values in (categories or {}).items()}
    content: dict[str, object] = {"features": list(features), "categories": known}
    if classes is not None:
        content["classes"] = list(classes)
    content["libraries"] = {LIBRARY: version(LIBRARY)}
    (folder / META).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _meta(path: Path, *, exact: bool) -> tuple[Encoding, Mapping[str, object]]:
    meta = read_json(path / META)
    libraries = meta.get("libraries")
    wrote = libraries.get(LIBRARY) if isinstance(libraries, dict) else None
    if not isinstance(wrote, str):
        raise ArtifactError(
            f"{path / META}: 'libraries' must tell the version of {LIBRARY} that wrote it"
        )
    here = version(LIBRARY)
    if here != wrote if exact else here.split(".")[:2] != wrote.split(".")[:2]:
        raise ArtifactError(
            f"{path}: written by {LIBRARY} {wrote}, and this is {here}; install {wrote} or train "
            "it again"
        )
    return Encoding.load(path / META), meta


def _predictor(
    path: Path, estimator: object, encoding: Encoding, meta: Mapping[str, object]
) -> SklearnPredictor:
    if not callable(getattr(estimator, "predict", None)):
        raise ArtifactError(f"{path}: {type(estimator).__name__} cannot predict")
    width = getattr(estimator, "n_features_in_", len(encoding.features))
    check_width(path, "the model", width, encoding)
    kind = f"{type(estimator).__module__}.{type(estimator).__name__}"
    made = QuickSklearnPredictor if kind.startswith(QUICK) else SklearnPredictor
    return made(estimator, encoding, _order(path, estimator, meta))  # type: ignore[arg-type]


def _order(path: Path, estimator: object, meta: Mapping[str, object]) -> list[int] | None:
    labels = getattr(estimator, "classes_", None)
    if labels is None:
        return None
    found = np.asarray(labels).tolist()
    wanted = meta.get("classes", list(range(len(found))))
    if not isinstance(wanted, list) or sorted(map(str, found)) != sorted(
        str(type(found[0])(name)) if isinstance(found[0], bool | int | float) else str(name)
        for name in wanted
    ):
        raise ArtifactError(
            f"{path}: the model tells {found!r} apart, and not {wanted!r}; list the labels under "
            "'classes' in meta.json, in the order of the model's classes"
        )
    return [found.index(type(found[0])(name)) for name in wanted]


def _library(path: Path, name: str) -> ModuleType:
    with needing(path, "scikit-learn or skops", "sklearn"):
        import_module("sklearn")
        return import_module(name)
