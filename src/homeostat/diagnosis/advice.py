"""What to do about a change, and how to say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from homeostat.diagnosis.basis import FOLDS, deal
from homeostat.diagnosis.mechanisms import Evidence
from homeostat.diagnosis.sides import SCORE, Sides
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, Change, DataFault
from homeostat.stats.overlap import apply_ridge, fit_ridge

Floats = NDArray[np.float64]

_SURE = 2.5  # standard errors by which a remedy must help
_MOST = 0.8  # share of what a new model could win from which a new calibration is enough

WORDS = {
    Cause.COVARIATE_SHIFT: "the inputs have shifted",
    Cause.LABEL_SHIFT: "the mix of labels has shifted",
    Cause.CONCEPT_DRIFT: "what the inputs mean has changed",
}


@dataclass(frozen=True, slots=True)
class Remedies:
    """What could be won on current labels: share of the squared error that goes away.

    ``model`` by learning from all columns, ``calibration`` by mending the score alone; ``sure`` is
    whether the first is beyond chance and beyond what the reference would have gained as well.
    """

    model: float
    calibration: float
    sure: bool


def measure_remedies(
    sides: Sides, found: Evidence, errors: tuple[Floats, Floats], rng: np.random.Generator
) -> Remedies:
    """Try, cross-fitted on current rows, to predict the model's errors.

    Parameters
    ----------
    sides : Sides
    found : Evidence
    errors : tuple of ndarray of float64, shapes (n, t) and (m, t)
        Label minus score, before and now.
    rng : Generator
    """
    places = [p for p, name in enumerate(sides.names) if name.startswith(SCORE)]
    score = np.isin(found.columns, places)
    before = _gains(found.functions[0], errors[0], rng)
    now = _gains(found.functions[1], errors[1], rng)
    alone = _gains(found.functions[1][:, score], errors[1], rng)
    size = float((errors[1] ** 2).sum(axis=1).mean())
    if not size:
        return Remedies(0.0, 0.0, sure=False)
    model = float(now.mean()) - max(0.0, float(before.mean()))
    error = float(np.sqrt(now.var() / now.size + before.var() / before.size))
    return Remedies(model / size, float(alone.mean()) / size, sure=model > _SURE * error)


def _gains(functions: Floats, errors: Floats, rng: np.random.Generator) -> Floats:
    """Return by how much each row's squared error falls if errors are predicted."""
    folds = deal(len(errors), rng)
    left = errors.copy()
    for fold in range(FOLDS):
        held = folds == fold
        weights = np.ones(int(np.count_nonzero(~held)))
        model = fit_ridge(functions[~held], errors[~held], weights, 20.0)
        left[held] -= apply_ridge(model, functions[held])
    found: Floats = (errors**2).sum(axis=1) - (left**2).sum(axis=1)
    return found


def choose(
    causes: Sequence[Cause],
    *,
    harmful: bool,
    constant: bool,
    remedies: Remedies,
    min_gain: float,
) -> Action:
    """Choose what to do.

    Broken data are mended first, whatever else changed: a model trained on them learns the fault.
    A changed mix of labels asks for a new calibration; a changed meaning for a new model, unless
    the change is a `constant` one of log-odds and a new calibration wins nearly as much; changed
    inputs only if a new model would do better.
    """
    if Cause.DATA_FAULT in causes:
        return Action.MEND_UPSTREAM
    if not causes or not harmful:
        # A score that is off costs decisions even where the mean loss has not risen.
        off = Cause.LABEL_SHIFT in causes and remedies.sure and remedies.model >= min_gain
        return Action.RECALIBRATE if off else Action.NOTHING
    enough = remedies.calibration >= _MOST * remedies.model
    if Cause.CONCEPT_DRIFT in causes:
        return Action.RECALIBRATE if enough and constant and remedies.sure else Action.RETRAIN
    if Cause.LABEL_SHIFT in causes:
        return Action.RECALIBRATE
    if not remedies.sure or remedies.model < min_gain:
        return Action.NOTHING
    return Action.RECALIBRATE if enough else Action.RETRAIN


def advise(
    action: Action,
    causes: Sequence[Cause],
    faults: Sequence[DataFault],
    *,
    harmful: bool,
    since: datetime | None,
) -> str:
    """Say what to do."""
    window = f" from {since:%Y-%m-%d %H:%M} UTC on" if since else " after the change"
    if action is Action.MEND_UPSTREAM:
        named = ", ".join(dict.fromkeys(name for f in faults for name in f.columns)) or "the rows"
        then = " Once it is mended, diagnose again: labels follow from sound inputs otherwise, too."
        return f"Mend {named} upstream. Do not retrain on broken data." + (
            then if Cause.CONCEPT_DRIFT in causes else ""
        )
    if action is Action.RETRAIN:
        return f"Retrain on labelled rows{window}."
    if action is Action.RECALIBRATE:
        return f"Recalibrate the score on labelled rows{window}; a new model would win no more."
    if action is Action.WAIT_FOR_LABELS:
        return (
            "Wait for more rows with labels: without them nobody can tell whether the model does "
            "worse."
        )
    if causes and harmful:
        return "Nothing: the rows have become harder, and a new model would do no better on them."
    return "Nothing: the model does as well as before." if causes else "Nothing."


def describe(
    causes: Sequence[Cause], faults: Sequence[DataFault], loss: Change | None, *, harmful: bool
) -> str:
    """Say what happened."""
    said = [fault.text for fault in faults]
    said += [WORDS[cause] for cause in causes if cause in WORDS]
    if loss is None:
        what = "; ".join(said) or "no change was found"
        return f"{_begun(what, faults)}."
    if not causes:
        said.append("nothing that matters has changed")
    what = "; ".join(said)
    moved = f"{loss.metric} {loss.before:.4g} to {loss.now:.4g}"
    parts = ", ".join(
        f"{part.name} {part.amount:+.3g} ({part.lower:+.3g} to {part.upper:+.3g})"
        for part in loss.parts
    )
    effect = "it hurts" if harmful else "it does not hurt beyond chance"
    end = f"{moved}: {effect}; {parts}" if causes else moved
    return f"{_begun(what, faults)}. {end[0].upper()}{end[1:]}."


def _begun(what: str, faults: Sequence[DataFault]) -> str:
    """Begin a sentence; a column keeps its name."""
    named = bool(faults) and bool(faults[0].columns) and not what.startswith("the ")
    return what if named else f"{what[0].upper()}{what[1:]}"


def judged(*, inputs: bool) -> str:
    """Say what was not judged for want of labels, or of rows, where `inputs` were not either."""
    if inputs:
        return "Whether labels or their meaning have changed was not judged."
    return "Whether inputs, labels or their meaning have changed was not judged."
