"""What rows add to a diagnosis by verdicts, and what they may overrule in it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

from homeostat.domain.decision import Cause, Decision, Diagnosis
from homeostat.domain.explanation import Action, Explanation

AUTOMATIC = "homeostat"
SETTLED = frozenset({Cause.MODEL_DOWN, Cause.BAD_VERSION})
UNTOLD = frozenset({Cause.NONE, Cause.UNKNOWN})
STILL = "The monitors still ask for a retraining, and nothing here keeps it back."


def refine(found: Diagnosis | None, told: Explanation | None) -> Diagnosis | None:
    """Return the diagnosis that people, the decision log and the retraining policy get.

    Verdicts say that something changed: there is a diagnosis exactly if they give one. A model that
    is down and a bad version are never overruled, nor the columns, the advice and the ``retrain``
    of a data fault. Of the rest, rows

    - name the cause and give the advice, if they found a cause: few rows may not show what monitors
      have gathered evidence for; and without labels they do not unsay what labels proved;
    - turn ``retrain`` off only if they found a data fault: advice to recalibrate, to wait or to do
      nothing is told and recorded, and the policy goes on by its monitors.

    Examples
    --------
    >>> found = Diagnosis(Cause.UNKNOWN, (), "Look into it.", "Scores have moved.", retrain=False)
    >>> broken = Explanation(Cause.DATA_FAULT, (Cause.DATA_FAULT,), False, Action.MEND_UPSTREAM,
    ...     "Mend amount upstream.", "Amount is 100 times too big.", ("amount",))
    >>> told = refine(found, broken)
    >>> told.cause.value, told.columns, told.text
    ('data_fault', ('amount',), 'Scores have moved. Rows: Amount is 100 times too big.')
    """
    if found is None or told is None or found.cause in SETTLED:
        return found
    text = f"{found.text} Rows: {told.text}"
    if found.cause is Cause.DATA_FAULT or told.cause in UNTOLD:
        return replace(found, text=text)
    if Cause.DATA_FAULT in told.causes:
        return Diagnosis(Cause.DATA_FAULT, told.columns, told.advice, text, retrain=False)
    proven = found.cause is Cause.CONCEPT_DRIFT and told.loss is None
    cause = found.cause if proven else told.cause
    columns = found.columns if cause is found.cause else told.columns
    kept_back = found.retrain and told.action is not Action.RETRAIN
    advice = f"{told.advice} {STILL}" if kept_back else told.advice
    return Diagnosis(cause, columns, advice, text, found.retrain or told.retrain)


def note(
    model: str,
    now: datetime,
    diagnoses: tuple[Diagnosis | None, Diagnosis | None],
    explanations: tuple[Explanation | None, Explanation | None],
) -> tuple[Decision, ...]:
    """Return what to put on record, given both before and after this tick.

    That is the diagnosis if its cause or columns are new, or if rows say something else now.
    """
    before, found = diagnoses
    told = explanations[1]
    if found is None or (
        before is not None
        and (before.cause, before.columns) == (found.cause, found.columns)
        and _gist(explanations[0]) == _gist(told)
    ):
        return ()
    text = f"{found.text} {found.advice}"
    return (Decision(model, now, AUTOMATIC, "diagnose", found.cause, text, _figures(told)),)


def _gist(told: Explanation | None) -> tuple[object, ...]:
    return () if told is None else (told.causes, told.action)


def _figures(told: Explanation | None) -> tuple[tuple[str, float], ...]:
    """Return the figures that an explanation rests on."""
    if told is None:
        return ()
    found = [("reference_rows", float(told.n_reference)), ("rows", float(told.n_current))]
    found.append(("labelled_rows", float(told.n_labelled)))
    if told.loss is not None:
        found += [("loss_before", told.loss.before), ("loss_now", told.loss.now)]
        found += [(part.name, part.amount) for part in told.loss.parts]
    return tuple((name, value) for name, value in found if math.isfinite(value))
