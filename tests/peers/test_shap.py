"""Sampled Shapley values beside their definition, in an environment that has the package shap."""

from __future__ import annotations

import numpy as np
import pytest

from by_definition import Opaque, rows, shapley
from homeostat.adapters.explainers import SampledExplainer, attributions, explainer_of

pytestmark = pytest.mark.peers

ROWS = rows(60)


def test_other_models_are_explained_from_their_answers() -> None:
    background = ROWS.slice(0, 40)
    explainer = explainer_of(Opaque(), background)
    assert isinstance(explainer, SampledExplainer)
    found = explainer.explain(ROWS.slice(50, 3))
    for place in range(3):
        expected = shapley(Opaque(), ROWS.slice(50 + place, 1), background)
        got = dict(zip(explainer.features, found[place].tolist(), strict=True))
        assert got == pytest.approx(expected, abs=1e-6)
    both = explainer_of(Opaque(2), background).explain(ROWS.slice(50, 3))
    np.testing.assert_allclose(both, np.stack([found, -found], axis=1), atol=1e-6)
    assert set(attributions(explainer, ROWS.slice(50, 3))) == {"a", "b", "land"}
