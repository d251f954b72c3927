"""From evidence to causes: what is said where stories compete."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import homeostat as hs
from homeostat.detectors.faults.columns import read_pair
from homeostat.diagnosis.advice import Remedies, choose
from homeostat.diagnosis.decide import DecisionConfig, decide
from homeostat.diagnosis.mechanisms import Departure, Evidence, weigh
from homeostat.diagnosis.sides import build_sides
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action
from homeostat.entrypoints.predictions import read_predictions
from unit.diagnosis.stories import SPECS, scores, story

YES, NO = Departure(0.0, 1.0), Departure(1.0, 0.0)
COVARIATE, LABEL = Cause.COVARIATE_SHIFT, Cause.LABEL_SHIFT
CONCEPT = Cause.CONCEPT_DRIFT


@pytest.fixture(scope="module")
def quiet() -> Evidence:
    before, now = (read_predictions(story("binary", 400, k), SPECS["binary"]) for k in (1, 2))
    columns = read_pair(before.features, now.features)
    return weigh(build_sides(before, now, columns).labelled(), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("inputs", "labels", "mix", "by_label", "strain", "causes"),
    [
        (NO, NO, NO, NO, (0, 0, 0), ()),
        (NO, NO, YES, NO, (1, 9, 9), (COVARIATE,)),
        (NO, NO, YES, NO, (9, 1, 9), (LABEL,)),
        (NO, NO, YES, YES, (9, 9, 1), (CONCEPT,)),
        (YES, NO, NO, YES, (9, 1, 9), (COVARIATE,)),
        (YES, NO, YES, NO, (9, 1, 9), (LABEL,)),
        (NO, YES, YES, NO, (9, 1, 9), (LABEL,)),
        (NO, YES, YES, YES, (9, 1, 9), (CONCEPT,)),
        (YES, YES, YES, NO, (9, 1, 9), (LABEL,)),
        (YES, YES, YES, Departure(0.0, 0.1), (9, 1, 9), (LABEL,)),
    ],
)
def test_the_story_that_fits_is_told(
    quiet: Evidence,
    inputs: Departure,
    labels: Departure,
    mix: Departure,
    by_label: Departure,
    strain: tuple[float, float, float],
    causes: tuple[Cause, ...],
) -> None:
    seen = replace(quiet, inputs=inputs, labels=labels, mix=mix, by_label=by_label, strain=strain)
    assert decide(seen, DecisionConfig()) == causes


@pytest.mark.parametrize(
    ("mix", "offset", "mixed_inputs", "moved", "causes"),
    [
        (YES, NO, YES, 99.0, {COVARIATE, LABEL}),
        (YES, YES, NO, 99.0, {LABEL, CONCEPT}),
        (YES, YES, NO, 0.1, {COVARIATE, CONCEPT}),
        (NO, NO, YES, 99.0, {COVARIATE, CONCEPT}),
    ],
)
def test_mixtures_are_told_apart(
    quiet: Evidence,
    mix: Departure,
    offset: Departure,
    mixed_inputs: Departure,
    moved: float,
    causes: set[Cause],
) -> None:
    seen = replace(
        quiet,
        inputs=YES,
        labels=YES,
        by_label=YES,
        mix=mix,
        offset=offset,
        mixed_inputs=mixed_inputs,
        strain=(99.0, 99.0, moved),
    )
    assert set(decide(seen, DecisionConfig())) == causes


@pytest.mark.parametrize(
    ("causes", "harmful", "constant", "remedies", "action"),
    [
        ((), False, False, Remedies(0.5, 0.5, sure=True), Action.NOTHING),
        (
            (Cause.DATA_FAULT, CONCEPT),
            True,
            False,
            Remedies(0.5, 0, sure=True),
            Action.MEND_UPSTREAM,
        ),
        ((CONCEPT,), False, False, Remedies(0.5, 0, sure=True), Action.NOTHING),
        ((CONCEPT,), True, False, Remedies(0.5, 0.5, sure=True), Action.RETRAIN),
        ((CONCEPT,), True, True, Remedies(0.5, 0.5, sure=True), Action.RECALIBRATE),
        ((CONCEPT,), True, True, Remedies(0.5, 0.1, sure=True), Action.RETRAIN),
        ((LABEL,), True, True, Remedies(0.0, 0.0, sure=False), Action.RECALIBRATE),
        ((LABEL,), False, True, Remedies(0.1, 0.1, sure=True), Action.RECALIBRATE),
        ((LABEL,), False, True, Remedies(0.1, 0.1, sure=False), Action.NOTHING),
        ((COVARIATE,), True, True, Remedies(0.3, 0.1, sure=True), Action.RETRAIN),
        ((COVARIATE,), True, True, Remedies(0.3, 0.29, sure=True), Action.RECALIBRATE),
        ((COVARIATE,), True, True, Remedies(0.3, 0.1, sure=False), Action.NOTHING),
        ((COVARIATE,), True, True, Remedies(0.01, 0.0, sure=True), Action.NOTHING),
    ],
)
def test_the_remedy_follows_from_cause_and_what_it_would_win(
    causes: tuple[Cause, ...], harmful: bool, constant: bool, remedies: Remedies, action: Action
) -> None:
    chosen = choose(causes, harmful=harmful, constant=constant, remedies=remedies, min_gain=0.02)
    assert chosen is action


def test_inputs_and_labels_both_moved_are_split_into_these() -> None:
    found = hs.diagnose(
        story("binary", 6000, 1), story("binary", 6000, 2, shift=0.7, mix=1.2), SPECS["binary"]
    )
    assert set(found.causes) == {COVARIATE, LABEL}
    assert found.loss is not None
    assert {part.name for part in found.loss.parts} == {"covariate", "label"}


def test_a_unit_that_may_be_wrong_is_left_alone_if_it_explains_too_little() -> None:
    now = story("binary", 6000, 67, concept=1.5)
    now["z"] = now["z"].astype(float) * 2.54
    now.update(scores("binary", now))
    found = hs.diagnose(story("binary", 6000, 4), now, SPECS["binary"])
    assert CONCEPT in found.causes
    assert Cause.DATA_FAULT not in found.causes


def test_labels_that_never_were_are_changed_meaning_or_mix() -> None:
    spec = hs.PredictionSpec("multiclass", score="", prediction="said", classes=("a", "b", "c"))
    rng = np.random.default_rng(5)

    def rows(labels: list[str]) -> dict[str, np.ndarray]:
        drawn = rng.choice(labels, 900)
        return {"x": rng.normal(size=900), "said": drawn, "label": drawn}

    found = hs.diagnose(rows(["a", "b"]), rows(["c"]), spec)
    assert found.causes
    assert found.loss is not None


def test_texts_alone_are_enough() -> None:
    rng = np.random.default_rng(6)

    def rows(share: float, n: int = 2000) -> dict[str, np.ndarray]:
        shop = rng.choice([f"s{k:02}" for k in range(30)], n)
        kind = rng.choice(["a", "b"], n, p=[1 - share, share])
        said = np.where(kind == "b", "yes", "no")
        label = np.where(rng.random(n) < 0.8, said, np.where(said == "yes", "no", "yes"))
        return {"shop": shop, "kind": kind, "said": said, "label": label}

    spec = hs.PredictionSpec("binary", score="", prediction="said", classes=("no", "yes"))
    found = hs.diagnose(rows(0.3), rows(0.6), spec)
    assert found.cause in {COVARIATE, LABEL}
    fault = {**rows(0.3), "kind": np.array(["c"] * 2000)}
    assert hs.diagnose(rows(0.3), fault, spec).n_current == 2000


def test_a_model_without_sound_columns_is_still_judged() -> None:
    rng = np.random.default_rng(7)

    def rows(unit: float) -> dict[str, np.ndarray]:
        z = rng.lognormal(1, 1, 1000)
        score = 1 / (1 + np.exp(2 - z * unit))
        return {"z": np.full(1000, np.nan) if unit > 1 else z, "score": score, "label": z > 2}

    found = hs.diagnose(rows(1.0), rows(2.0), hs.PredictionSpec("binary"))
    assert found.causes[0] is Cause.DATA_FAULT
    assert not found.retrain


def test_no_labels_on_the_reference_leave_only_inputs() -> None:
    before = {"x": np.arange(200.0), "score": np.arange(200.0), "label": np.full(200, np.nan)}
    now = {**before, "label": np.arange(200.0)}
    found = hs.diagnose(before, now, hs.PredictionSpec("regression"))
    assert found.loss is None


def test_a_model_that_is_never_wrong_has_nothing_to_win() -> None:
    rng = np.random.default_rng(8)

    def rows(share: float) -> dict[str, np.ndarray]:
        side = rng.choice(["a", "b"], 1000, p=[1 - share, share])
        only = rng.choice(["new", "newer", "newest"], 1000) if share > 0.5 else "old"
        place = np.where(rng.random(1000) < 0.1, only, "usual")
        label = (side == "b").astype(float)
        return {"side": side, "place": place, "score": label, "label": label}

    found = hs.diagnose(rows(0.3), rows(0.7), hs.PredictionSpec("binary"))
    assert found.action is Action.NOTHING
    assert {part.amount for part in found.segments} == {0.0}
