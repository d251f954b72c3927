"""What rows may overrule in a diagnosis by verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.explanation import Action, Change, Explanation, Part
from homeostat.engine.refine import STILL, note, refine
from simulation.world import MODEL, START

SHIFT = Diagnosis(Cause.COVARIATE_SHIFT, ("a",), "Watch.", "Inputs shifted.", retrain=False)
DRIFT = Diagnosis(Cause.CONCEPT_DRIFT, (), "Retrain.", "It does worse.", retrain=True)
FAULT = Diagnosis(Cause.DATA_FAULT, ("a",), "Mend a.", "Broken.", retrain=False)
LOSS = Change("Brier", 0.1, 0.2, Part("total", 0.1, 0.0, 0.2), (Part("concept", 0.1, 0.0, 0.2),))


def rows(cause: Cause, action: Action, *others: Cause, loss: Change | None = LOSS) -> Explanation:
    causes = () if cause in {Cause.NONE, Cause.UNKNOWN} else (cause, *others)
    text = f"Rows say {cause}."
    return Explanation(cause, causes, False, action, f"Do: {action}.", text, ("b",), loss=loss)


def test_without_verdicts_or_rows_there_is_nothing_to_refine() -> None:
    told = rows(Cause.CONCEPT_DRIFT, Action.RETRAIN)
    assert refine(None, told) is None
    assert refine(SHIFT, None) is SHIFT


@pytest.mark.parametrize("cause", [Cause.MODEL_DOWN, Cause.BAD_VERSION])
def test_what_is_settled_is_not_overruled(cause: Cause) -> None:
    found = replace(DRIFT, cause=cause, retrain=False)
    assert refine(found, rows(Cause.DATA_FAULT, Action.MEND_UPSTREAM)) is found


@pytest.mark.parametrize("cause", [Cause.CONCEPT_DRIFT, Cause.DATA_FAULT, Cause.NONE])
def test_a_data_fault_keeps_everything_but_gains_evidence(cause: Cause) -> None:
    found = refine(FAULT, rows(cause, Action.RETRAIN))
    assert found == replace(FAULT, text=f"Broken. Rows: Rows say {cause}.")


@pytest.mark.parametrize("found", [SHIFT, DRIFT], ids=["shift", "drift"])
@pytest.mark.parametrize("main", [Cause.DATA_FAULT, Cause.CONCEPT_DRIFT])
def test_a_fault_in_rows_stops_retraining_whatever_else_changed(
    found: Diagnosis, main: Cause
) -> None:
    told = rows(main, Action.MEND_UPSTREAM, Cause.DATA_FAULT)
    refined = refine(found, told)
    assert refined is not None
    assert (refined.cause, refined.columns, refined.retrain) == (Cause.DATA_FAULT, ("b",), False)
    assert refined.advice == "Do: mend_upstream."


@pytest.mark.parametrize("action", [Action.RECALIBRATE, Action.NOTHING, Action.WAIT_FOR_LABELS])
def test_other_advice_is_told_and_keeps_nothing_back(action: Action) -> None:
    refined = refine(DRIFT, rows(Cause.LABEL_SHIFT, action))
    assert refined is not None
    assert (refined.cause, refined.retrain) == (Cause.LABEL_SHIFT, True)
    assert refined.advice == f"Do: {action}. {STILL}"
    mild = refine(SHIFT, rows(Cause.LABEL_SHIFT, action))
    assert mild is not None
    assert (mild.retrain, mild.advice) == (False, f"Do: {action}.")


def test_rows_can_ask_for_retraining_where_verdicts_do_not() -> None:
    refined = refine(SHIFT, rows(Cause.CONCEPT_DRIFT, Action.RETRAIN))
    assert refined is not None
    assert (refined.cause, refined.columns, refined.retrain) == (Cause.CONCEPT_DRIFT, ("b",), True)


@pytest.mark.parametrize("cause", [Cause.NONE, Cause.UNKNOWN])
def test_rows_that_found_no_cause_leave_cause_and_advice(cause: Cause) -> None:
    refined = refine(SHIFT, rows(cause, Action.NOTHING))
    assert refined == replace(SHIFT, text=f"Inputs shifted. Rows: Rows say {cause}.")


def test_rows_without_labels_do_not_unsay_what_labels_proved() -> None:
    blind = rows(Cause.COVARIATE_SHIFT, Action.WAIT_FOR_LABELS, loss=None)
    refined = refine(DRIFT, blind)
    assert refined is not None
    assert (refined.cause, refined.retrain) == (Cause.CONCEPT_DRIFT, True)
    odd = refine(replace(DRIFT, cause=Cause.UNKNOWN), blind)
    assert odd is not None
    assert odd.cause is Cause.COVARIATE_SHIFT


def test_a_diagnosis_is_put_on_record_when_something_is_new() -> None:
    told = rows(Cause.CONCEPT_DRIFT, Action.RETRAIN)
    (made,) = note(MODEL, START, (None, DRIFT), (None, told))
    assert (made.action, made.subject) == ("diagnose", "concept_drift")
    assert made.reason == "It does worse. Retrain."
    assert dict(made.evidence) == {
        "reference_rows": 0.0,
        "rows": 0.0,
        "labelled_rows": 0.0,
        "loss_before": 0.1,
        "loss_now": 0.2,
        "concept": 0.1,
    }
    assert note(MODEL, START, (DRIFT, replace(DRIFT, text="More.")), (told, told)) == ()
    assert note(MODEL, START, (DRIFT, None), (told, None)) == ()
    other = replace(told, action=Action.RECALIBRATE)
    assert note(MODEL, START, (DRIFT, DRIFT), (told, other))
    assert note(MODEL, START, (DRIFT, replace(DRIFT, columns=("x",))), (None, None))


def test_figures_that_are_no_numbers_are_no_evidence() -> None:
    unknown = replace(LOSS, now=float("nan"))
    (made,) = note(
        MODEL, START, (None, DRIFT), (None, rows(DRIFT.cause, Action.RETRAIN, loss=unknown))
    )
    assert "loss_now" not in dict(made.evidence)
