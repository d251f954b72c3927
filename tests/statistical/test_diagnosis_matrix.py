"""A slice of ``benchmarks/diagnosis``: causes told right, and no retraining on broken data."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from happenings import FAULTS, make
from scenes import WORLDS, World

import homeostat as hs

pytestmark = [
    pytest.mark.statistical,
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]
ROWS = 2500


@cache
def fitted(name: str) -> World:
    return WORLDS[name]().fit(np.random.default_rng(1), 8000)


@pytest.mark.parametrize("cause", ["none", "covariate_shift", "label_shift", "concept_drift"])
@pytest.mark.parametrize("name", list(WORLDS))
def test_medium_changes_are_told(name: str, cause: str) -> None:
    world = fitted(name)
    said = []
    for seed in range(3):
        before, now = make(world, cause, 1, ROWS, np.random.default_rng(seed))
        found = hs.diagnose(before, now, world.spec)
        said.append("+".join(found.causes) or "none")
    assert said.count(cause) >= 2, said


@pytest.mark.parametrize("name", list(WORLDS))
def test_broken_data_never_ask_for_a_new_model(name: str) -> None:
    world = fitted(name)
    told = []
    for fault in sorted(FAULTS.keys() - {"inch", "affine"}):
        before, now = make(world, f"data_fault:{fault}", 1, ROWS, np.random.default_rng(7))
        found = hs.diagnose(before, now, world.spec)
        assert not found.retrain, (fault, found)
        told.append(tuple(found.causes) == ("data_fault",))
    assert sum(told) >= 0.9 * len(told)
