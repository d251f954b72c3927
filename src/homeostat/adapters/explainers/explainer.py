"""Chooses how a model is explained: exactly where its runtime can, by sampling where it cannot."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.explainers.sampled import SampledExplainer
from homeostat.adapters.models.linear import LinearPredictor, SoftmaxPredictor
from homeostat.adapters.models.predictor import Predictor

Floats = NDArray[np.float64]


class Explainer(Protocol):
    """Splits answers into what each column adds to them."""

    @property
    def features(self) -> tuple[str, ...]:
        """Columns, in the order of the contributions."""
        ...

    def explain(self, table: pa.Table) -> Floats:
        """Return Shapley values, shape (n, features), of several classes (n, classes, features)."""
        ...


@runtime_checkable
class Explained(Predictor, Protocol):
    """A predictor whose runtime tells exact contributions (to its sum, before the link)."""

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each of `features` adds, shape (n, features) or (n, classes, features)."""
        ...


class ExactExplainer:
    """Contributions as the model's own runtime computes them.

    Those of LightGBM are relative to the training rows (TreeSHAP, Lundberg et al. 2018); those of
    linear models to the background.
    """

    def __init__(self, predictor: Explained, background: pa.Table | None = None) -> None:
        self._predictor = predictor
        self._base: Floats | None = None
        if background is not None:
            self._base = predictor.contributions(background).mean(axis=0)

    @property
    def features(self) -> tuple[str, ...]:
        """Columns, in the order of the contributions."""
        return self._predictor.features

    def explain(self, table: pa.Table) -> Floats:
        """Return Shapley values of the sum before the link, by row."""
        found = self._predictor.contributions(table)
        return found if self._base is None else found - self._base


def explainer_of(predictor: Predictor, background: pa.Table) -> Explainer:
    """Return the explainer that suits a model.

    Parameters
    ----------
    predictor : Predictor
        LightGBM and linear models are explained exactly; others by ``pip install
        'homeostat[shap]'``, from their answers alone.
    background : pyarrow.Table
        Rows that stand for "column not known"; a hundred are plenty.

    Raises
    ------
    ArtifactError
        If the model needs the package shap and it is not installed.

    Examples
    --------
    >>> from homeostat.adapters.models import Term
    >>> terms = (Term("age", 0.5), Term("new", 1.0))
    >>> model = LinearPredictor("logistic", 0.0, terms)
    >>> rows = pa.table({"age": [20.0, 40.0], "new": [0.0, 1.0]})
    >>> explainer_of(model, rows).explain(rows).tolist()
    [[-5.0, -0.5], [5.0, 0.5]]
    """
    if isinstance(predictor, LinearPredictor | SoftmaxPredictor):
        return ExactExplainer(predictor, background)
    if isinstance(predictor, Explained):
        return ExactExplainer(predictor)
    return SampledExplainer(predictor, background)


def attributions(explainer: Explainer, table: pa.Table) -> dict[str, float]:
    """Return each column's mean absolute Shapley value, the largest first.

    Of several classes, their sum. It says what moves the answers, whether right or wrong; what the
    loss would lose without a column is `homeostat.importance`.
    """
    values = np.abs(explainer.explain(table))
    values = values if values.ndim == 2 else values.sum(axis=1)
    means = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
    order = np.argsort(-means, kind="stable")
    return {explainer.features[place]: float(means[place]) for place in order.tolist()}
