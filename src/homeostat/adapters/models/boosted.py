"""LightGBM models: ``model.txt`` in LightGBM's own text form, ``meta.json`` with the encoding."""

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
    import lightgbm


FILE = "model.txt"


class BoostedPredictor(EncodedPredictor):
    """A LightGBM booster with its encoding; one thread a call, so that calls share the cores.

    A booster with several outputs (multi-class) gives a row one probability a class. Those of
    one-against-all boosters (``multiclassova``) are divided by their sum.
    """

    def __init__(self, booster: lightgbm.Booster, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._booster = booster

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of encoded rows."""
        raw = self._booster.predict(matrix, num_threads=1)
        scores = np.asarray(raw, dtype=np.float64)
        if scores.ndim == 1:
            return scores
        with np.errstate(divide="ignore", invalid="ignore"):
            scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """Return exact Shapley values of the raw score (TreeSHAP), one a feature.

        Shape (n, features), or (n, classes, features) of a booster with several outputs. With the
        expected raw score, which is left out, they add up to the row's raw score.
        """
        raw = self._booster.predict(self._encoding.matrix(table), num_threads=1, pred_contrib=True)
        found = np.asarray(raw, dtype=np.float64)
        width = len(self.features) + 1
        if found.shape[1] == width:
            return found[:, :-1]
        return found.reshape(len(found), -1, width)[:, :, :-1]


def load_lightgbm(path: Path) -> BoostedPredictor:
    """Load an artifact folder.

    Raises
    ------
    ArtifactError
        If a file is absent or corrupt, the files do not fit together, or LightGBM is not installed.
    """
    with needing(path, "LightGBM", "lightgbm"):
        import lightgbm  # noqa: PLC0415 - an extra: only those who serve such models need it
    encoding = Encoding.load(path / META)
    text = read_file(path / FILE).decode(errors="replace")
    _check_whole(path, text)
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ArtifactError(f"{path / FILE}: not a LightGBM model: {error}") from error
    check_width(path, FILE, booster.num_feature(), encoding)
    return BoostedPredictor(booster, encoding)


def _check_whole(path: Path, text: str) -> None:
    # LightGBM aborts the process, or reads on past the end, when its text is cut short.
    if not text.startswith("tree") or "end of trees" not in text:
        raise ArtifactError(f"{path / FILE}: not a whole LightGBM text model")


def save_lightgbm(
    booster: lightgbm.Booster,
    folder: Path,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a booster as an artifact folder of flavour ``lightgbm``.

    Parameters
    ----------
    booster : lightgbm.Booster
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
    check_named(booster.num_feature(), features)
    save_encoding(folder, features, categories)
    (folder / FILE).write_text(booster.model_to_string(), encoding="utf-8")
