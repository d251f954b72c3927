"""What the causes named do, who carries it, and what to do: from a judgement to an explanation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.scored import segments_of
from homeostat.diagnosis.advice import (
    Remedies,
    advise,
    choose,
    describe,
    judged,
    measure_remedies,
)
from homeostat.diagnosis.carriers import moved_columns, onset, segment_shares, share_out, trace
from homeostat.diagnosis.config import DiagnoseConfig
from homeostat.diagnosis.judge import Judged, Labelled, Scene
from homeostat.diagnosis.mechanisms import Departure
from homeostat.diagnosis.sides import loss_name, row_loss, score_errors
from homeostat.diagnosis.split import add_fault, is_harmful, rank, split_change
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, Carrier, Change, DataFault, Explanation, Test
from homeostat.domain.predictions import from_micros

Floats = NDArray[np.float64]
Value = tuple[Floats, Floats]

_NONE = Remedies(0.0, 0.0, sure=False)


def conclude(
    scene: Scene,
    found: Judged,
    value: Value | None,
    config: DiagnoseConfig,
    rng: np.random.Generator,
) -> Explanation:
    """Measure what the causes do, and advise.

    Parameters
    ----------
    scene : Scene
    found : Judged
        On this scene.
    value : tuple of ndarray of float64, optional
        What each prediction was worth, before and now, NaN where not known.
    config : DiagnoseConfig
    rng : Generator
    """
    if found.labelled is None or found.inputs is None:
        return _without_labels(scene, found)
    return _with_labels(scene, found, found.labelled, found.inputs, value, config, rng)


def _without_labels(scene: Scene, found: Judged) -> Explanation:
    causes, inputs, broken = found.causes, found.inputs, scene.broken
    action = Action.MEND_UPSTREAM if broken else Action.WAIT_FOR_LABELS
    said = describe(causes, scene.faults, None, harmful=False)
    return Explanation(
        cause=causes[0] if causes else Cause.UNKNOWN,
        causes=causes,
        harmful=False,
        action=action,
        advice=advise(action, causes, broken, harmful=False, since=None),
        text=f"{said} {judged(inputs=inputs is not None)}",
        columns=_columns(broken),
        faults=scene.faults,
        tests=() if inputs is None else (Test("inputs", inputs.p_value, inputs.effect),),
        caveats=(*found.caveats, *scene.before.problems, *scene.now.problems),
        n_reference=len(scene.before),
        n_current=len(scene.now),
        n_labelled=int(np.count_nonzero(scene.now.known)),
    )


def _with_labels(
    scene: Scene,
    found: Judged,
    labelled: Labelled,
    inputs: Departure,
    value: Value | None,
    config: DiagnoseConfig,
    rng: np.random.Generator,
) -> Explanation:
    sides, evidence, broken = labelled.sides, labelled.evidence, scene.broken
    losses = sides.before.loss, sides.now.loss
    loss = split_change(loss_name(scene.before), losses, sides, evidence, found.causes, rng)
    loss = _with_broken(scene, loss, (row_loss(scene.before), row_loss(scene.now)))
    harmful = is_harmful(loss, config.min_harm)
    causes = rank(found.causes, loss)
    action = choose(
        causes,
        harmful=harmful,
        constant=evidence.offset.p_value > config.decision.level,
        remedies=_remedies(scene, labelled, rng) if causes else _NONE,
        min_gain=config.min_gain,
    )
    since = _since(scene, labelled, causes) if causes else None
    carriers, moved = _carried(labelled, causes, loss, rng)
    worth, unknown = _worth(scene, labelled, causes, value, rng)
    return Explanation(
        cause=causes[0] if causes else Cause.NONE,
        causes=causes,
        harmful=harmful,
        action=action,
        advice=advise(action, causes, broken, harmful=harmful, since=since),
        text=describe(causes, scene.faults, loss, harmful=harmful),
        columns=_columns(broken) or moved,
        faults=scene.faults,
        loss=loss,
        value=worth,
        carriers=carriers,
        segments=_segments(scene, labelled, losses) if causes else (),
        since=since,
        tests=(
            Test("inputs", inputs.p_value, inputs.effect),
            Test("inputs_by_label", evidence.by_label.p_value, evidence.by_label.effect),
            Test("labels_by_input", evidence.labels.p_value, evidence.labels.effect),
        ),
        caveats=(*found.caveats, *unknown, *scene.before.problems, *scene.now.problems),
        n_reference=len(scene.before),
        n_current=len(scene.now),
        n_labelled=int(np.count_nonzero(scene.now.known)),
    )


def _remedies(scene: Scene, labelled: Labelled, rng: np.random.Generator) -> Remedies:
    before, now = labelled.rows
    errors = score_errors(scene.before, before), score_errors(scene.now, now)
    return measure_remedies(labelled.sides, labelled.evidence, errors, rng)


def _carried(
    labelled: Labelled, causes: Sequence[Cause], loss: Change, rng: np.random.Generator
) -> tuple[tuple[Carrier, ...], tuple[str, ...]]:
    """Return the columns that carry the first cause that is no fault, and those that moved."""
    told = next((cause for cause in causes if cause is not Cause.DATA_FAULT), None)
    if told is None:
        return (), ()
    part = loss["concept" if told is Cause.CONCEPT_DRIFT else "covariate"].amount
    return (
        share_out(labelled.sides, labelled.evidence, told, part, rng),
        moved_columns(labelled.sides, labelled.evidence, told),
    )


def _worth(
    scene: Scene,
    labelled: Labelled,
    causes: tuple[Cause, ...],
    value: Value | None,
    rng: np.random.Generator,
) -> tuple[Change | None, tuple[str, ...]]:
    """Return the change of the mean value, and why it is not told."""
    if value is None:
        return None, ()
    amounts = [side[at] for side, at in zip(value, labelled.rows, strict=True)]
    if any(bool(np.isnan(side).any()) for side in amounts):
        return None, ("some labelled rows have no value: the change of value is not told",)
    pair = amounts[0], amounts[1]
    change = split_change("value", pair, labelled.sides, labelled.evidence, causes, rng)
    return _with_broken(scene, change, value), ()


def _with_broken(scene: Scene, change: Change, amounts: Value) -> Change:
    """Add the rows that were left out as broken: the rest of the change is the fault's."""
    partly = any(fault.share < 1.0 for fault in scene.faults) and scene.mended.scored
    return add_fault(change, amounts, scene.sound, scene.days) if partly else change


def _segments(
    scene: Scene, labelled: Labelled, losses: tuple[Floats, Floats]
) -> tuple[Carrier, ...]:
    columns = segments_of(scene.before, scene.now) or (scene.mended.before, scene.mended.now)
    sides = [
        {name: values.take(at) for name, values in side.items()}
        for side, at in zip(columns, labelled.rows, strict=True)
    ]
    names = tuple(name for name in sides[0] if name in sides[1])
    return segment_shares((sides[0], sides[1]), losses, names)


def _since(scene: Scene, labelled: Labelled, causes: tuple[Cause, ...]) -> datetime | None:
    if scene.now.timestamps is None or Cause.DATA_FAULT in causes:
        return None
    times = scene.now.timestamps[labelled.rows[1]]
    before, now = trace(labelled.evidence, causes[0])
    return from_micros(onset(now, times, float(before.mean())))


def _columns(faults: Sequence[DataFault]) -> tuple[str, ...]:
    names = (name for fault in faults for name in fault.columns)
    return tuple(dict.fromkeys(names))
