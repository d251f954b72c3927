"""Cause, parts, carriers and advice on labelled rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import homeostat as hs
from homeostat.diagnosis.explain import DiagnoseConfig
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, Explanation, FaultKind
from unit.diagnosis.stories import SPECS, Columns, scores, story

COVARIATE, LABEL = Cause.COVARIATE_SHIFT, Cause.LABEL_SHIFT
CONCEPT, FAULT = Cause.CONCEPT_DRIFT, Cause.DATA_FAULT
TASKS = list(SPECS)
N = 3000


def why(task: str, now: Columns, seed: int = 1, before: Columns | None = None) -> Explanation:
    return hs.diagnose(before or story(task, N, seed), now, SPECS[task])


@pytest.mark.statistical
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("happened", "causes"),
    [
        ({}, set()),
        ({"shift": 0.8}, {COVARIATE}),
        ({"mix": 1.0}, {LABEL}),
        ({"concept": 0.8}, {CONCEPT}),
        ({"shift": 0.6, "concept": 0.8}, {COVARIATE, CONCEPT}),
    ],
    ids=["nothing", "covariate", "label", "concept", "covariate and concept"],
)
def test_causes_are_told(task: str, happened: dict[str, float], causes: set[Cause]) -> None:
    for seed in range(3):
        found = why(task, story(task, N, seed + 50, **happened), seed)
        assert set(found.causes) == causes, found
        assert found.cause is (found.causes[0] if causes else Cause.NONE)


@pytest.mark.parametrize("task", TASKS)
def test_parts_add_up_and_name_what_hurts(task: str) -> None:
    found = why(task, story(task, N, 60, concept=1.2, shift=0.5))
    assert found.loss is not None
    parts = found.loss.parts
    assert sum(part.amount for part in parts) == pytest.approx(found.loss.total.amount)
    assert found.loss.total.amount == pytest.approx(found.loss.now - found.loss.before)
    assert found.loss["concept"].significant
    assert found.loss["concept"].amount > abs(found.loss["covariate"].amount)
    assert found.harmful
    assert found.action is Action.RETRAIN
    assert found.retrain


def test_a_changed_meaning_names_its_columns() -> None:
    found = why("binary", story("binary", 6000, 61, concept=1.0), 1, story("binary", 6000, 2))
    assert {"x", "shop"} <= set(found.columns)
    assert {carrier.name for carrier in found.carriers} >= {"x", "shop"}
    assert found.loss is not None
    assert sum(c.amount for c in found.carriers) == pytest.approx(found.loss["concept"].amount)


def test_a_shift_names_its_column_and_needs_no_new_model() -> None:
    found = why("binary", story("binary", N, 62, shift=0.8))
    assert found.columns[0] == "x"
    assert found.carriers[0].name == "x"
    assert found.action is Action.NOTHING
    assert "Nothing" in found.advice


def test_a_changed_mix_asks_for_a_new_calibration() -> None:
    found = why("binary", story("binary", 6000, 63, mix=1.2), 1, story("binary", 6000, 3))
    assert found.action is Action.RECALIBRATE
    assert found.loss is not None
    assert found.loss["label"].significant


def test_a_better_world_hurts_nobody() -> None:
    now = story("regression", N, 64)
    now["label"] = now["score"] + 0.5 * (now["label"] - now["score"])
    found = why("regression", now)
    assert found.causes == (CONCEPT,)
    assert not found.harmful
    assert found.action is Action.NOTHING


def broken(task: str, seed: int, share: float = 1.0, **happened: float) -> Columns:
    now = story(task, N, seed, **happened)
    hit = np.random.default_rng(seed + 7000).random(N) < share
    now["z"] = np.where(hit, now["z"].astype(float) * 1000, now["z"].astype(float))
    return {**now, **scores(task, now)}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("concept", [0.0, 1.0])
def test_broken_data_are_mended_before_all(task: str, share: float, concept: float) -> None:
    found = why(task, broken(task, 65, share, concept=concept))
    assert set(found.causes) == ({FAULT, CONCEPT} if concept else {FAULT}), found
    assert found.action is Action.MEND_UPSTREAM
    assert not found.retrain
    assert found.faults[0].kind is FaultKind.UNIT
    assert found.columns == ("z",)
    assert found.loss is not None
    assert found.loss["fault"].amount > 0.0


def test_nulls_in_some_rows_leave_the_others_to_judge_by() -> None:
    now = story("binary", N, 66, concept=1.0)
    now["x"] = np.where(np.arange(N) % 4 == 0, np.nan, now["x"].astype(float))
    found = why("binary", now)
    assert set(found.causes) == {FAULT, CONCEPT}
    assert found.loss is not None
    assert {part.name for part in found.loss.parts} == {"covariate", "concept", "fault"}
    assert found.cause is CONCEPT
    assert "diagnose again" in found.advice


def test_units_near_one_are_told_by_labels() -> None:
    now = story("binary", 6000, 67)
    now["z"] = now["z"].astype(float) * 2.54
    now.update(scores("binary", now))
    found = why("binary", now, 1, story("binary", 6000, 4))
    assert found.causes == (FAULT,)
    assert found.faults[0].factor == 2.54


def test_repeated_rows_and_a_constant_score_are_faults() -> None:
    now = story("binary", N, 68)
    twice = {name: np.concatenate((values, values[:900])) for name, values in now.items()}
    found = why("binary", twice)
    assert [fault.kind for fault in found.faults] == [FaultKind.DUPLICATES]
    assert found.causes == (FAULT,)
    for task in TASKS:
        still = story(task, N, 69)
        for name in set(still) & {"score", "p0", "p1", "p2"}:
            still[name] = np.full(N, 1.0 / 3.0)
        found = why(task, still)
        assert [fault.kind for fault in found.faults] == [FaultKind.CONSTANT_SCORE]
        assert found.causes == (FAULT,)


def test_a_new_column_is_told_but_blocks_no_new_model() -> None:
    now = story("binary", N, 82, concept=1.2)
    now["fresh"] = np.arange(float(N))
    found = why("binary", now)
    assert [fault.kind for fault in found.faults] == [FaultKind.EXTRA_COLUMN]
    assert found.causes == (CONCEPT,)
    assert found.action is Action.RETRAIN
    assert "fresh" not in found.columns
    assert found.text.startswith("fresh was not there before")
    still = {**story("binary", N, 83), "fresh": np.arange(float(N))}
    found = why("binary", still)
    assert (found.cause, found.action) == (Cause.NONE, Action.NOTHING)
    assert "nothing that matters has changed" in found.text


def test_missing_scores_are_a_fault() -> None:
    now = story("binary", N, 70)
    now["score"] = np.where(np.arange(N) % 5 == 0, np.nan, now["score"].astype(float))
    found = why("binary", now)
    assert [fault.kind for fault in found.faults] == [FaultKind.NULLS]


def test_a_moved_clock_of_events_is_a_fault() -> None:
    def timed(rows: Columns, shift: int) -> Columns:
        rng = np.random.default_rng(5)
        hours = np.clip(rng.normal(13, 3, N).round(), 0, 23).astype(int)
        day = np.datetime64("2024-03-01T00", "h")
        return {**rows, "at": day + 24 * rng.integers(0, 14, N) + (hours + shift) % 24}

    spec = replace(SPECS["binary"], timestamp="at")
    before = timed(story("binary", N, 1), 0)
    found = hs.diagnose(before, timed(story("binary", N, 71), 5), spec)
    assert [(f.kind, f.offset) for f in found.faults] == [(FaultKind.CLOCK_SHIFT, 5 * 3600.0)]
    assert hs.diagnose(before, timed(story("binary", N, 71), 0), spec).cause is Cause.NONE


@pytest.mark.parametrize("happened", [{"concept": 1.2}, {"shift": 1.0}, {"mix": 1.5}])
def test_the_onset_is_told(happened: dict[str, float]) -> None:
    first, then = story("binary", N, 72), story("binary", N, 73, **happened)
    now = {name: np.concatenate((first[name], then[name])) for name in first}
    start = np.datetime64("2024-01-01T00:00", "m")
    now["at"] = start + np.arange(2 * N)
    before = {**story("binary", N, 1), "at": start - N + np.arange(N)}
    found = hs.diagnose(before, now, replace(SPECS["binary"], timestamp="at"))
    assert found.since is not None
    change = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=N)
    assert abs(found.since - change) < timedelta(minutes=500)


def test_without_labels_only_inputs_are_judged() -> None:
    now = {**story("binary", N, 74, shift=0.8), "label": np.full(N, np.nan)}
    found = why("binary", now)
    assert found.causes == (COVARIATE,)
    assert found.action is Action.WAIT_FOR_LABELS
    assert found.loss is None
    assert any("cannot be told" in caveat for caveat in found.caveats)
    still = {**story("binary", N, 75), "label": np.full(N, np.nan)}
    silent = why("binary", still)
    assert (silent.cause, silent.causes) == (Cause.UNKNOWN, ())
    assert silent.action is Action.WAIT_FOR_LABELS
    assert "Whether labels or their meaning have changed was not judged" in silent.text
    bad = {**broken("binary", 76), "label": np.full(N, np.nan)}
    assert why("binary", bad).action is Action.MEND_UPSTREAM


def test_labels_of_some_rows_are_used_and_said() -> None:
    now = story("binary", N, 77, concept=1.2)
    now["label"] = np.where(np.arange(N) % 2 == 0, np.nan, now["label"].astype(float))
    found = why("binary", now)
    assert found.causes == (CONCEPT,)
    assert any(
        "1,500 of 3,000 current rows (0.5) have labels, 1,500 of them" in caveat
        for caveat in found.caveats
    )
    assert found.n_labelled == N // 2


def test_few_labels_among_many_rows_are_all_looked_at() -> None:
    now = story("binary", 60_000, 84, concept=1.2)
    now["label"] = np.where(np.arange(60_000) % 20 == 0, now["label"].astype(float), np.nan)
    config = DiagnoseConfig(max_rows=3_000)
    found = hs.diagnose(story("binary", N, 1), now, SPECS["binary"], config=config)
    assert found.causes == (CONCEPT,)
    assert any("3,000 of 60,000 current rows (0.05)" in caveat for caveat in found.caveats)
    assert any("3,000 of them were looked at" in caveat for caveat in found.caveats)


def test_few_rows_are_not_called_unchanged() -> None:
    now = {name: values[:40] for name, values in story("binary", N, 78).items()}
    now["label"] = 1 - now["label"].astype(float)
    found = why("binary", now)
    assert (found.cause, found.causes) == (Cause.UNKNOWN, ())
    assert found.action is Action.WAIT_FOR_LABELS
    assert "nothing that matters" not in found.text.lower()
    assert "Whether inputs, labels or their meaning have changed was not judged" in found.text
    assert found.loss is None
    assert any("fewer than" in caveat for caveat in found.caveats)


def test_sides_without_shared_rows_say_so() -> None:
    before, now = story("binary", N, 1), story("binary", N, 79)
    before["x"] = before["x"].astype(float) * 0.1
    now["x"] = 0.8 + 0.1 * np.abs(now["x"].astype(float))
    for rows in (before, now):
        rows.update(scores("binary", rows))
    found = hs.diagnose(before, now, SPECS["binary"])
    assert found.causes == (COVARIATE,)
    assert any("share hardly any rows" in caveat for caveat in found.caveats)


def test_many_rows_are_sampled() -> None:
    config = DiagnoseConfig(max_rows=1500)
    found = hs.diagnose(
        story("binary", N, 1), story("binary", N, 80, concept=1.2), SPECS["binary"], config=config
    )
    assert found.causes == (CONCEPT,)
    assert found.n_current == N


def test_segments_that_carry_the_loss_are_named() -> None:
    def split(rows: Columns) -> Columns:
        return {**rows, "side": np.where(rows["x"].astype(float) > 0, "right", "left")}

    now = split(story("binary", N, 81))
    right = now["side"] == "right"
    now["label"] = np.where(right, 1 - now["label"].astype(float), now["label"].astype(float))
    spec = replace(SPECS["binary"], segments=("side",))
    found = hs.diagnose(split(story("binary", N, 1)), now, spec)
    assert found.segments[0].name == "side=right"
    assert sum(part.amount for part in found.segments) == pytest.approx(found.loss.total.amount)  # type: ignore[union-attr]


def test_the_same_seed_says_the_same() -> None:
    now = story("binary", N, 82, concept=0.5)
    assert why("binary", now) == why("binary", now)


def dated(days: int, first: int, rng: np.random.Generator, by_day: float, lift: float) -> Columns:
    """Return rows of days that differ by themselves, in inputs and in the chance of a label."""
    day = np.sort(rng.integers(0, days, 4000))
    x = rng.normal(size=(4000, 3)) + rng.normal(0.0, by_day or 1e-9, (days, 3))[day]
    odds = x @ np.array([1.0, 0.6, -0.4]) - 1.0
    moved = rng.normal(0.0, by_day or 1e-9, days)[day] + lift * x[:, 1]
    chance = 1 / (1 + np.exp(-odds - moved))
    at = np.datetime64("2026-01-01", "s") + 86_400 * (first + day) + rng.integers(0, 86_400, 4000)
    known = {f"x{k}": x[:, k] for k in range(3)}
    label = (rng.random(4000) < chance).astype(float)
    return {**known, "score": 1 / (1 + np.exp(-odds)), "label": label, "at": at}


@pytest.mark.parametrize("days", [1, 10])
def test_what_days_do_by_themselves_is_no_change(days: int) -> None:
    spec = replace(SPECS["binary"], timestamp="at")
    for seed in range(4):
        rng = np.random.default_rng(seed)
        before, now = dated(30, 0, rng, 0.1, 0.0), dated(days, 30, rng, 0.1, 0.0)
        found = hs.diagnose(before, now, spec)
        assert found.cause is Cause.NONE, found
        assert not any("taken as independent" in caveat for caveat in found.caveats)
    changed = dated(days, 30, np.random.default_rng(9), 0.1, -1.5)
    assert hs.diagnose(before, changed, spec).causes == (CONCEPT,)


@pytest.mark.parametrize(
    ("task", "name"), [("binary", "brier"), ("regression", "mae"), ("multiclass", "brier")]
)
def test_the_loss_is_that_of_an_evaluation(task: str, name: str) -> None:
    now = story(task, N, 86)
    found, judged = why(task, now), hs.evaluate(now, SPECS[task])
    assert found.loss is not None
    assert found.loss.metric == name
    assert found.loss.now == pytest.approx(judged[name].value)


def test_what_is_taken_for_granted_of_days_is_said() -> None:
    rng = np.random.default_rng(3)
    now = dated(1, 30, rng, 0.0, 0.0)
    few = hs.diagnose(dated(3, 0, rng, 0.0, 0.0), now, replace(SPECS["binary"], timestamp="at"))
    assert any("reference rows of 3 days" in caveat for caveat in few.caveats)
    none = why("binary", story("binary", N, 85))
    assert any("rows are taken as independent" in caveat for caveat in none.caveats)


def test_a_class_that_was_rare_and_is_most_of_all_is_a_label_shift() -> None:
    rng = np.random.default_rng(0)

    def side(rows: int, positive: int) -> dict[str, object]:
        label = np.zeros(rows, dtype=int)
        label[:positive] = 1
        x = rng.normal(label * 1.0)
        return {"x": x, "score": 1.0 / (1.0 + np.exp(-x)), "label": label}

    # Fifteen rows of a class are too few to draw today's mix of labels from.
    found = hs.diagnose(side(400, 15), side(400, 380), hs.PredictionSpec())
    assert found.cause is LABEL
