"""Sampled Shapley values beside their definition, in an environment that has the package shap."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.adapters.explainers import SampledExplainer, attributions, explainer_of
from homeostat.adapters.models import Predictor

pytestmark = pytest.mark.peers

RNG = np.random.default_rng(6)
ROWS = pa.table(
    {"a": RNG.normal(size=60), "b": RNG.normal(size=60), "land": RNG.choice(["DE", "FR"], 60)}
)


class Other:
    """A model of a runtime that explains nothing."""

    features = ("a", "b", "land")

    def __init__(self, classes: int = 1) -> None:
        self._classes = classes

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        french = np.asarray(table["land"].to_pylist()) == "FR"
        a, b = (table[name].to_numpy() for name in ("a", "b"))
        total = a * b + 2.0 * french
        return total if self._classes == 1 else np.stack([total, -total], axis=1)


def shapley(predictor: Predictor, row: pa.Table, background: pa.Table) -> dict[str, float]:
    """Return Shapley values by their definition: over all orders of the columns."""
    names = predictor.features

    def value(known: frozenset[str]) -> float:
        mixed = {
            name: row[name].combine_chunks().take([0] * len(background))
            if name in known
            else background[name]
            for name in names
        }
        return float(predictor.predict(pa.table(mixed)).mean())

    found = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(names):
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            found[name] += value(before | {name}) - value(before)
    return {name: total / math.factorial(len(names)) for name, total in found.items()}


def test_other_models_are_explained_from_their_answers() -> None:
    background = ROWS.slice(0, 40)
    explainer = explainer_of(Other(), background)
    assert isinstance(explainer, SampledExplainer)
    found = explainer.explain(ROWS.slice(50, 3))
    for place in range(3):
        expected = shapley(Other(), ROWS.slice(50 + place, 1), background)
        got = dict(zip(explainer.features, found[place].tolist(), strict=True))
        assert got == pytest.approx(expected, abs=1e-6)
    both = explainer_of(Other(2), background).explain(ROWS.slice(50, 3))
    np.testing.assert_allclose(both, np.stack([found, -found], axis=1), atol=1e-6)
    assert set(attributions(explainer, ROWS.slice(50, 3))) == {"a", "b", "land"}
