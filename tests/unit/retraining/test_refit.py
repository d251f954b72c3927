"""A refit serves only if it agrees with the version that the gate has judged."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
from homeostat.retraining.refit import agreement

SPEC = ModelSpec("m", Task.BINARY, Schema(()), LabelSpec(timedelta(days=1)), classes=("no", "yes"))
LABELS = np.tile([0.0, 1.0], 50)
GOOD = 0.8 * LABELS + 0.1
NEW = np.linspace(0.1, 0.9, 60)


def test_the_same_scores_agree() -> None:
    found = agreement(SPEC, LABELS, (GOOD, NEW), (GOOD, NEW), 0.0)
    assert found.problem == ""
    assert dict(found.evidence)["apart"] == 0.0


@pytest.mark.parametrize("shift", [0.12, -0.12])
def test_how_far_apart_is_told_in_deviations_of_the_labels(shift: float) -> None:
    # The labels' deviation is 0.5: a quarter of it is 0.125.
    moved = (GOOD, NEW + shift)
    assert agreement(SPEC, LABELS, (GOOD, NEW), moved, 0.25).problem == ""
    found = agreement(SPEC, LABELS, (GOOD, NEW), moved, 0.23)
    assert found.problem.startswith("its scores of the newest rows are 0.120 apart (limit 0.115)")


def test_a_refit_that_is_worse_on_what_it_has_seen_is_refused() -> None:
    found = agreement(SPEC, LABELS, (GOOD, NEW), (0.6 * LABELS + 0.2, NEW), 1.0)
    assert "its loss on the hold-out, which it has trained on, is 0.04" in found.problem


@pytest.mark.parametrize("place", [0, 1], ids=["holdout", "newest"])
def test_scores_that_are_no_numbers_are_refused(place: int) -> None:
    scores = [GOOD.copy(), NEW.copy()]
    scores[place][3] = math.nan
    found = agreement(SPEC, LABELS, (GOOD, NEW), (scores[0], scores[1]), 1.0)
    assert found.problem == "it gives scores that are no numbers"


def test_without_new_rows_only_the_hold_out_tells() -> None:
    none = np.empty(0)
    assert agreement(SPEC, LABELS, (GOOD, none), (GOOD, none), 0.0).problem == ""


def test_classes_are_compared_by_the_share_of_rows_that_are_told_otherwise() -> None:
    spec = replace(SPEC, task=Task.MULTICLASS, classes=("a", "b", "c"))
    labels = np.tile([0.0, 1.0, 2.0], 20)
    moved = labels.copy()
    moved[:6] = 0.0
    assert agreement(spec, labels, (labels, labels), (labels, moved), 0.1).problem == ""
    found = agreement(spec, labels, (labels, labels), (labels, moved), 0.05)
    assert "are 0.067 apart (limit 0.050)" in found.problem
    none = np.empty(0)
    assert agreement(spec, labels, (labels, none), (labels, none), 0.0).problem == ""
