"""Labels that are at fault, and labels that are known of some rows only."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

import homeostat as hs
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, Explanation, FaultKind
from homeostat.domain.predictions import PredictionSpec
from unit.diagnosis.stories import SPECS, Columns, story

N = 3000
DAY = np.timedelta64(86_400_000_000, "us")
WAIT = "Wait for more rows with labels"


def why(task: str, now: Columns, before: Columns | None = None) -> Explanation:
    return hs.diagnose(before or story(task, N, 1), now, SPECS[task])


def told_as_fault(found: Explanation, kind: FaultKind) -> None:
    assert [fault.kind for fault in found.faults] == [kind], found
    assert found.faults[0].columns == ("the label",)
    assert found.cause is Cause.DATA_FAULT
    assert found.action is Action.MEND_UPSTREAM
    assert "Mend the label" in found.advice


@pytest.mark.parametrize("task", list(SPECS))
@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_that_stand_still_are_a_fault(task: str, shift: float, value: float) -> None:
    now = {**story(task, N, 51, shift=shift), "label": np.full(N, value)}
    found = why(task, now)
    told_as_fault(found, FaultKind.STUCK)
    assert (Cause.COVARIATE_SHIFT in found.causes) == (shift > 0.0)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_classes_under_each_other_s_names_are_a_fault(task: str, shift: float) -> None:
    turn = {"binary": [1.0, 0.0], "multiclass": [1.0, 2.0, 0.0]}[task]
    now = story(task, N, 51, shift=shift)
    now["label"] = np.array(turn)[now["label"].astype(int)]
    found = why(task, now)
    told_as_fault(found, FaultKind.RECODED)
    assert ("0", str(int(turn[0]))) in found.faults[0].mapping


def test_exchanged_classes_are_told_from_predicted_classes_alone() -> None:
    sides = [story("binary", N, seed) for seed in (1, 51)]
    for side in sides:
        side["prediction"] = (side.pop("score").astype(float) > 0.35).astype(int)
    sides[1]["label"] = 1.0 - sides[1]["label"].astype(float)
    spec = PredictionSpec("binary", classes=("0", "1"), score="", prediction="prediction")
    found = hs.diagnose(sides[0], sides[1], spec)
    told_as_fault(found, FaultKind.RECODED)
    assert not found.retrain


@pytest.mark.parametrize("task", list(SPECS))
@pytest.mark.parametrize("change", ["none", "mix", "concept", "shift"])
def test_sound_labels_are_no_fault(task: str, change: str) -> None:
    size = {} if change == "none" else {change: 1.2}
    assert not why(task, story(task, N, 60, **size)).faults


def test_no_positive_among_few_rows_of_a_rare_class_is_no_fault() -> None:
    def rare(n: int, seed: int) -> Columns:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=n)
        score = 1 / (1 + np.exp(6.0 - x))
        return {"x": x, "score": score, "label": (rng.random(n) < score).astype(float)}

    now = rare(300, 2)
    now["label"] = np.zeros(300)
    assert not why("binary", now, rare(4000, 1)).faults


def test_where_only_positives_are_known_labels_are_waited_for() -> None:
    now = story("binary", N, 51)
    now["label"] = np.where(now["label"].astype(float) == 1.0, 1.0, np.nan)
    found = why("binary", now)
    assert found.action is Action.WAIT_FOR_LABELS
    assert not found.faults
    assert any("labels are known of" in caveat for caveat in found.caveats)


@pytest.mark.parametrize("kept", [0.2, 0.5])
def test_where_one_class_is_rather_known_labels_are_waited_for(kept: float) -> None:
    now = story("binary", N, 51)
    label = now["label"].astype(float)
    lucky = np.random.default_rng(2).random(N) < kept
    now["label"] = np.where((label == 1.0) | lucky, label, np.nan)
    found = why("binary", now)
    assert found.action is Action.WAIT_FOR_LABELS, found
    assert WAIT in found.advice
    assert found.cause is Cause.UNKNOWN


def test_a_selection_of_labels_does_not_hide_that_inputs_moved() -> None:
    now = story("binary", N, 51, shift=0.8)
    label = now["label"].astype(float)
    lucky = np.random.default_rng(2).random(N) < 0.3
    now["label"] = np.where((label == 1.0) | lucky, label, np.nan)
    found = why("binary", now)
    assert found.causes == (Cause.COVARIATE_SHIFT,)
    assert found.action is Action.WAIT_FOR_LABELS


def test_labels_known_at_random_tell_a_changed_meaning() -> None:
    now = story("binary", 2 * N, 51, concept=1.2)
    lucky = np.random.default_rng(2).random(2 * N) < 0.5
    now["label"] = np.where(lucky, now["label"].astype(float), np.nan)
    assert Cause.CONCEPT_DRIFT in why("binary", now).causes


def test_a_mix_told_from_as_few_labels_as_ever_is_told() -> None:
    sides = [story("binary", 2 * N, 1), story("binary", 2 * N, 51, mix=1.2)]
    for seed, side in enumerate(sides):
        lucky = np.random.default_rng(seed).random(2 * N) < 0.5
        side["label"] = np.where(lucky, side["label"].astype(float), np.nan)
    found = why("binary", sides[1], sides[0])
    assert found.causes == (Cause.LABEL_SHIFT,)
    assert found.action is Action.RECALIBRATE


def timed(seed: int, month: int, **how: float) -> Columns:
    rows = story("binary", N, seed, **how)
    start = np.datetime64(f"2026-{month:02d}-01T00:00:00", "us")
    spread = (np.sort(np.random.default_rng(seed).random(N)) * 28 * 86_400e6).astype("int64")
    delay = np.where(rows["label"].astype(float) == 1.0, 2, 20) * DAY
    at = start + spread.astype("timedelta64[us]")
    return {**rows, "at": at, "came": at + delay}


@pytest.mark.parametrize("matured", [False, True], ids=["young", "matured"])
def test_labels_that_came_early_are_no_other_mix(matured: bool) -> None:
    before, now = timed(1, 1), timed(51, 2)
    came = now["came"] <= now["at"].max()
    now["label"] = np.where(came, now["label"].astype(float), np.nan)
    spec = PredictionSpec(
        "binary",
        classes=("0", "1"),
        timestamp="at",
        arrival="came",
        maturity=timedelta(days=21) if matured else None,
    )
    found = hs.diagnose(before, now, spec)
    assert not {Cause.LABEL_SHIFT, Cause.CONCEPT_DRIFT, Cause.DATA_FAULT} & set(found.causes)
    assert found.action is (Action.NOTHING if matured else Action.WAIT_FOR_LABELS)


def test_without_answers_on_all_rows_classes_are_not_compared() -> None:
    now = story("binary", N, 51)
    now["label"] = 1.0 - now["label"].astype(float)
    now["score"] = np.where(np.arange(N) % 3 == 0, np.nan, now["score"].astype(float))
    assert FaultKind.RECODED not in {fault.kind for fault in why("binary", now).faults}


def test_answers_that_never_were_tell_nothing_of_labels() -> None:
    sides = [story("binary", N, seed) for seed in (1, 51)]
    for said, side in enumerate(sides):
        side.pop("score")
        side["prediction"] = np.full(N, said)
    spec = PredictionSpec("binary", classes=("0", "1"), score="", prediction="prediction")
    found = hs.diagnose(sides[0], sides[1], spec)
    assert "the label" not in {name for fault in found.faults for name in fault.columns}
