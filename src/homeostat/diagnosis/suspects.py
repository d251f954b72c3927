"""Columns whose change may be a fault or another mix of rows: which of them are believed broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from homeostat.detectors.faults.columns import Columns
from homeostat.detectors.faults.find import find_suspects
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.detectors.faults.scored import segments_of
from homeostat.diagnosis.config import DiagnoseConfig
from homeostat.diagnosis.hidden import find_hidden
from homeostat.diagnosis.judge import Judged, Scene, judge, set_scene, sides_of
from homeostat.diagnosis.rivals import Weighed, weigh_rivals
from homeostat.diagnosis.sides import Sides
from homeostat.domain.decision import Cause

_BELIEVED = 0.5  # log-likelihood ratio from which a fault is believed, if all else is as it was
_PLAIN = 10.0  # and whatever else has changed, if no more has then
_APART = 1.0  # standard errors between two stories that can be told apart
_OF_SOURCE = 6.0  # log-likelihood ratio from which one source is believed to be at fault
_FAR = 3.0  # standard errors between the stories then
_OPEN = -3.0  # log-likelihood ratio down to which a fault is not ruled out
_TRIED = 5  # faults that moved no distribution
_MISFIT = 3.0  # standard errors from what a fault makes one expect


@dataclass(frozen=True, slots=True)
class Settled:
    """A judgement, the scene that it is on, and the suspects that nobody can tell of."""

    scene: Scene
    told: Judged
    open: tuple[FaultyRows, ...] = ()


def settle(
    scene: Scene,
    told: Judged,
    columns: tuple[Columns, Columns],
    config: DiagnoseConfig,
    rng: np.random.Generator,
) -> Settled:
    """Judge again without the columns that are rather broken than changed, if there are any.

    Parameters
    ----------
    scene : Scene
    told : Judged
        On this scene.
    columns : tuple of Columns
        As they were read.
    config : DiagnoseConfig
    rng : Generator
    """
    if set(told.causes) <= {Cause.DATA_FAULT} or not told.inputs:
        return Settled(scene, told)
    sides = told.labelled.sides if told.labelled else told.sides
    doubtful: list[FaultyRows] = []
    for hidden in find_hidden(sides, scene.mended.now)[:_TRIED]:
        better = _again(scene, told, columns, (hidden.fault,), config, rng, plain=False)
        if better and hidden.sure:
            return better
        if better:
            doubtful.append(hidden.fault)
    segments = segments_of(scene.before, scene.now)
    weighed = [
        (item, _weigh(scene, sides, item, config, rng))
        for item in find_suspects(*columns, scene.found, config.faults, segments)
    ]
    believed = [(item, found) for item, found in weighed if found and _is_believed(item, found)]
    if believed:
        plain = all(found.favour >= _PLAIN for _, found in believed)
        items = [item for item, _ in believed]
        better = _again(scene, told, columns, items, config, rng, plain=plain)
        if better:
            return better
    still = (item for item, found in weighed if _is_open(found))
    return Settled(scene, told, (*doubtful, *still))


def _weigh(
    scene: Scene, sides: Sides, item: FaultyRows, config: DiagnoseConfig, rng: np.random.Generator
) -> Weighed | None:
    """Weigh a suspect on all rows, or on those of the source at fault, if they are enough."""
    if item.fault.source:
        assert item.alike is not None
        sides = sides_of(scene, (item.alike, item.rows), config, rng)
        if min(len(sides.before), len(sides.now)) < config.min_rows:
            return None
        item = replace(item, fault=replace(item.fault, share=1.0))
    if item.fault.columns[0] not in sides.tables[0].numbers:
        return None
    return weigh_rivals(sides, item, rng)


def _again(
    scene: Scene,
    told: Judged,
    columns: tuple[Columns, Columns],
    items: Sequence[FaultyRows],
    config: DiagnoseConfig,
    rng: np.random.Generator,
    *,
    plain: bool,
) -> Settled | None:
    """Judge as if these were faults; None unless that leaves nothing, or, if plain, no more."""
    other = set_scene(scene.before, scene.now, columns, (*scene.found, *items))
    again = judge(other, config, rng)
    left, were = (set(each.causes) - {Cause.DATA_FAULT} for each in (again, told))
    return Settled(other, again) if not left or (plain and left <= were) else None


def say_open(told: Judged, suspects: Sequence[FaultyRows]) -> Judged:
    """Add a caveat for each suspect that nobody can tell of."""
    said = tuple(
        f"{item.fault.text}? That, or a real change: check it before retraining on these rows"
        for item in suspects
    )
    return replace(told, caveats=(*told.caveats, *said))


def _is_believed(item: FaultyRows, found: Weighed) -> bool:
    # Sources are many: one that has moved is rather another mix of its rows.
    if item.fault.source and (found.favour < _OF_SOURCE or found.apart < _FAR):
        return False
    return found.favour >= _BELIEVED and found.apart >= _APART and abs(found.misfit) <= _MISFIT


def _is_open(found: Weighed | None) -> bool:
    return found is None or (found.favour >= _OPEN and abs(found.misfit) <= _MISFIT)
