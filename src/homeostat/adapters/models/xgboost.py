"""XGBoost models: ``model.ubj`` or ``model.json`` in XGBoost's own form, ``meta.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.artifact import (
    META,
    EncodedPredictor,
    check_named,
    check_width,
    needing,
    read_file,
    save_encoding,
)
from homeostat.adapters.models.encoding import Encoding
from homeostat.domain.errors import ArtifactError

if TYPE_CHECKING:
    import xgboost

FILES = ("model.ubj", "model.json")


class XgboostPredictor(EncodedPredictor):
    """An XGBoost booster with its encoding; one thread a call, so that calls share the cores."""

    def __init__(self, booster: xgboost.Booster, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._booster = booster

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of encoded rows."""
        # The booster's own names would have to be those of a data frame; the encoding has ours.
        found = self._booster.inplace_predict(matrix, validate_features=False)
        return np.asarray(found, dtype=np.float64)

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """Return exact Shapley values of the raw score (TreeSHAP), as `BoostedPredictor` does."""
        import xgboost  # noqa: PLC0415 - it is loaded: there is a booster

        data = xgboost.DMatrix(
            self._encoding.matrix(table),
            nthread=1,
            feature_names=self._booster.feature_names,
            feature_types=self._booster.feature_types,
            enable_categorical=True,
        )
        found = np.asarray(self._booster.predict(data, pred_contribs=True), dtype=np.float64)
        return found[..., :-1]


def load_xgboost(path: Path) -> XgboostPredictor:
    """Load an artifact folder.

    Raises
    ------
    ArtifactError
        If a file is absent or corrupt, the files do not fit together, or XGBoost is not installed.
    """
    with needing(path, "XGBoost", "xgboost"):
        import xgboost  # noqa: PLC0415 - an extra: only those who serve such models need it
    encoding = Encoding.load(path / META)
    file = next((path / name for name in FILES if (path / name).is_file()), path / FILES[0])
    content = bytearray(read_file(file))
    if not content:  # XGBoost would abort the process
        raise ArtifactError(f"{file}: is empty")
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(content)
        booster.set_param({"nthread": 1})
        width = booster.num_features()
    except xgboost.core.XGBoostError as error:
        raise ArtifactError(f"{file}: not an XGBoost model: {_first_line(error)}") from error
    check_width(path, file.name, width, encoding)
    return XgboostPredictor(booster, encoding)


def is_xgboost(path: Path) -> bool:
    """Whether a folder holds an XGBoost model; ``model.json`` is a linear model's file too."""
    if (path / FILES[0]).is_file():
        return True
    try:
        with (path / FILES[1]).open("rb") as file:
            return b'"learner"' in file.read(256)
    except OSError:
        return False


def save_xgboost(
    booster: xgboost.Booster,
    folder: Path,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a booster as an artifact folder of flavour ``xgboost``.

    Parameters
    ----------
    booster : xgboost.Booster
        Trained on `Encoding.matrix`, that is on columns in the order of `features`.
    folder : Path
        Is made if need be.
    features : sequence of str
        Columns in training order.
    categories : mapping of str to sequence of str, optional
        For each categorical column its values in the order of their codes.

    Raises
    ------
    ArtifactError
        If the booster takes another number of features.
    """
    check_named(booster.num_features(), features)
    save_encoding(folder, features, categories)
    (folder / FILES[0]).write_bytes(booster.save_raw("ubj"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
