"""Shapley values of any model from its answers alone, by the package shap."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.predictor import Predictor
from homeostat.domain.errors import ArtifactError

MOST_BACKGROUND = 100


class SampledExplainer:
    """Antithetic permutation sampling (``shap.explainers.Permutation``); the same each time.

    Each row costs at least ``2 * features + 1`` answers for each background row.

    Parameters
    ----------
    predictor : Predictor
    background : pyarrow.Table
        Rows that stand for "column not known"; the first `MOST_BACKGROUND` are used.

    Raises
    ------
    ArtifactError
        If the package shap is not installed.
    """

    def __init__(self, predictor: Predictor, background: pa.Table) -> None:
        try:
            self._shap = import_module("shap")
        except ImportError as error:
            raise ArtifactError(
                "the package shap is not installed; pip install 'homeostat[shap]'"
            ) from error
        self._predictor = predictor
        self._background = background.select(list(predictor.features)).slice(0, MOST_BACKGROUND)

    @property
    def features(self) -> tuple[str, ...]:
        """Columns, in the order of the contributions."""
        return self._predictor.features

    def explain(self, table: pa.Table) -> NDArray[np.float64]:
        """Return Shapley values of the answers, by row."""
        rows = table.select(list(self.features))
        both = pa.concat_tables([self._background, rows], promote_options="permissive")
        # shap moves numbers about: each column becomes the places of its values.
        columns = [both.column(name).combine_chunks() for name in self.features]
        values = [column.dictionary_encode("encode") for column in columns]
        codes = np.stack([np.asarray(column.indices) for column in values], axis=1)

        def answer(places: NDArray[np.float64]) -> NDArray[np.float64]:
            chosen = np.asarray(places, dtype=np.int64)
            taken = [
                column.dictionary.take(at) for column, at in zip(values, chosen.T, strict=True)
            ]
            return self._predictor.predict(pa.table(taken, names=list(self.features)))

        known = self._background.num_rows
        masker = self._shap.maskers.Independent(codes[:known], max_samples=known)
        explainer = self._shap.explainers.Permutation(answer, masker, seed=0)
        found = np.asarray(explainer(codes[known:], silent=True).values, dtype=np.float64)
        return found if found.ndim == 2 else found.transpose(0, 2, 1)
