"""A slice of ``benchmarks/diagnosis``: causes told right, and no retraining on broken data."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from happenings import FAULTS, SIZES, make
from scenes import WORLDS, World

import homeostat as hs
from homeostat.domain.explanation import Explanation

pytestmark = [
    pytest.mark.statistical,
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]
ROWS = 4000
ASKED = 0.95
CAUSES = ("none", "covariate_shift", "label_shift", "concept_drift")
KINDS = (*FAULTS, "duplicates", "score")


@cache
def fitted(name: str) -> World:
    return WORLDS[name]().fit(np.random.default_rng(1), 8000)


def why(name: str, cell: str, size: int, seed: int) -> Explanation:
    world = fitted(name)
    before, now = make(world, cell, size, ROWS, np.random.default_rng([seed, size]))
    return hs.diagnose(before, now, world.spec)


def test_changes_of_every_size_are_told() -> None:
    cells = [
        (name, cause, size, 0)
        for name in WORLDS
        for cause in CAUSES
        for size in ([0] if cause == "none" else SIZES.values())
    ]
    said = {cell: "+".join(why(*cell).causes) or "none" for cell in cells}
    wrong = {cell: told for cell, told in said.items() if told != cell[1]}
    assert len(wrong) <= (1.0 - ASKED) * len(cells), wrong


@pytest.mark.parametrize("name", list(WORLDS))
def test_broken_data_never_ask_for_a_new_model(name: str) -> None:
    wrong = {}
    # Each kind in one size, the next kind in the next: every size meets every kind in some world.
    start = list(WORLDS).index(name)
    for place, kind in enumerate(KINDS):
        size = (start + place) % len(SIZES)
        found = why(name, f"data_fault:{kind}", size, 7)
        assert not found.retrain, (kind, found)
        if tuple(found.causes) != ("data_fault",):
            wrong[kind, size] = found.causes
    assert len(wrong) <= (1.0 - ASKED) * len(KINDS), wrong
