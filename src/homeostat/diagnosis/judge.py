"""Both sides without the faults found, and which causes the evidence on them names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Columns
from homeostat.detectors.faults.labels import LABEL
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.detectors.faults.mend import Mended, mend
from homeostat.diagnosis.config import DiagnoseConfig
from homeostat.diagnosis.decide import decide
from homeostat.diagnosis.known import is_selection, say_selection, selects
from homeostat.diagnosis.mechanisms import Departure, Evidence, weigh, weigh_inputs
from homeostat.diagnosis.sides import Sides, both, build_sides, days_of, row_loss
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.domain.predictions import Predictions
from homeostat.stats.blocks import FEW_BLOCKS

Floats = NDArray[np.float64]
Places = tuple[NDArray[np.intp], NDArray[np.intp]]
Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Rows of both sides, what is broken in them, and what is left if that is mended.

    ``selected`` says why current labels may be a selection; empty if they are not.
    """

    before: Predictions
    now: Predictions
    found: tuple[FaultyRows, ...]
    mended: Mended
    selected: str = ""

    @property
    def sound(self) -> Masks:
        """Rows that no fault touches."""
        return self.mended.rows_before, self.mended.rows_now

    @property
    def known(self) -> Masks:
        """Rows with a label and a loss."""
        return ~np.isnan(row_loss(self.before)), ~np.isnan(row_loss(self.now))

    @property
    def days(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Days of all rows, if both sides have timestamps."""
        return both(days_of(self.before), days_of(self.now))

    @property
    def faults(self) -> tuple[DataFault, ...]:
        """All faults."""
        return tuple(item.fault for item in self.found)

    @property
    def broken(self) -> tuple[DataFault, ...]:
        """Faults that do harm: what no model reads does none."""
        return tuple(fault for fault in self.faults if fault.kind is not FaultKind.EXTRA_COLUMN)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Rows with labels that were looked at, of both sides, and what they tell."""

    rows: Places
    sides: Sides
    evidence: Evidence


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Causes of a change, and what they are named on.

    ``labelled`` is None where labels were too few, ``inputs`` where rows were. ``sides`` hold the
    rows that were looked at, with and without labels.
    """

    causes: tuple[Cause, ...]
    sides: Sides
    caveats: tuple[str, ...]
    inputs: Departure | None = None
    labelled: Labelled | None = None


def set_scene(
    before: Predictions,
    now: Predictions,
    columns: tuple[Columns, Columns],
    found: Sequence[FaultyRows],
) -> Scene:
    """Mend what was found."""
    inputs = [item for item in found if LABEL not in item.fault.columns]
    mended = mend(*columns, inputs, (len(before), len(now)))
    selected = say_selection(before, now) if is_selection(before, now) else ""
    return Scene(before, now, tuple(found), mended, selected)


def judge(scene: Scene, config: DiagnoseConfig, rng: np.random.Generator) -> Judged:
    """Weigh the evidence and name the causes.

    Parameters
    ----------
    scene : Scene
    config : DiagnoseConfig
    rng : Generator
        The same seed gives the same result.
    """
    labelled = _draw(scene, config, rng, labelled=True)
    partly = any(
        int(np.count_nonzero(mended)) > int(np.count_nonzero(mended & known))
        for mended, known in zip(scene.sound, scene.known, strict=True)
    )
    sides = _sides(scene, _draw(scene, config, rng, labelled=False) if partly else labelled)
    causes = (Cause.DATA_FAULT,) if scene.broken else ()
    least = config.min_rows
    if min(len(sides.before), len(sides.now)) < least:
        few = f"fewer than {least} rows on a side: only faults of the data were looked for"
        return Judged(causes, sides, _told(_about_days(scene), few))
    said = _told(_about_days(scene), _about_labels(scene, labelled, least))
    if min(at.size for at in labelled) < least:
        moved = weigh_inputs(sides, rng)
        level, needed = config.decision.level, config.decision.min_inputs
        if moved.p_value <= level and moved.effect >= needed:
            causes = (*causes, Cause.COVARIATE_SHIFT)
        return Judged(causes, sides, said, moved)
    known = _sides(scene, labelled) if partly else sides
    evidence = weigh(known, rng)
    inputs = weigh_inputs(sides, rng) if partly else evidence.inputs
    told = decide(evidence, config.decision, inputs)
    if scene.selected and selects(told, evidence, config.decision.level):
        told = tuple(cause for cause in told if cause is Cause.COVARIATE_SHIFT)
        return Judged((*causes, *told), sides, _told(*said, scene.selected), inputs)
    if evidence.weights.shared < config.min_shared:
        said = _told(*said, "the sides share hardly any rows: changed meaning cannot be told")
        told = (Cause.COVARIATE_SHIFT,)
    return Judged((*causes, *told), sides, said, inputs, Labelled(labelled, known, evidence))


def _draw(
    scene: Scene, config: DiagnoseConfig, rng: np.random.Generator, *, labelled: bool
) -> Places:
    """Draw the rows to look at: all are drawn from, or only those with labels."""
    drawn = []
    for sound, known in zip(scene.sound, scene.known, strict=True):
        places = np.flatnonzero(sound & known if labelled else sound)
        if places.size > config.max_rows:
            places = np.sort(rng.choice(places, config.max_rows, replace=False))
        drawn.append(places)
    return drawn[0], drawn[1]


def sides_of(
    scene: Scene, inside: Masks, config: DiagnoseConfig, rng: np.random.Generator
) -> Sides:
    """Encode some rows of both sides, of those with labels if they are enough."""
    part = replace(
        scene,
        mended=replace(
            scene.mended,
            rows_before=scene.mended.rows_before & inside[0],
            rows_now=scene.mended.rows_now & inside[1],
        ),
    )
    drawn = _draw(part, config, rng, labelled=True)
    if min(at.size for at in drawn) < config.min_rows:
        drawn = _draw(part, config, rng, labelled=False)
    return _sides(part, drawn)


def _sides(scene: Scene, rows: Places) -> Sides:
    columns = tuple(
        {name: values.take(at) for name, values in side.items()}
        for side, at in zip((scene.mended.before, scene.mended.now), rows, strict=True)
    )
    return build_sides(
        scene.before.take(rows[0]),
        scene.now.take(rows[1]),
        (columns[0], columns[1]),
        scores=scene.mended.scored,
    )


def _told(*caveats: str) -> tuple[str, ...]:
    return tuple(filter(None, caveats))


def _about_days(scene: Scene) -> str:
    """Say what is taken for granted of effects that rows of a day have in common."""
    if scene.days is None:
        return (
            "no timestamps: rows are taken as independent, and what a day does by itself may "
            "pass for a change"
        )
    if (seen := np.unique(scene.days[0]).size) < FEW_BLOCKS:
        return f"reference rows of {seen} days: how days differ by themselves is assumed, not seen"
    return ""


def _about_labels(scene: Scene, labelled: Places, least: int) -> str:
    """Say how many rows have labels, and how many of them were looked at."""
    known, rows = int(np.count_nonzero(scene.now.known)), len(scene.now)
    before, now = (at.size for at in labelled)
    if min(before, now) < least:
        return (
            f"{before:,} reference and {now:,} current rows with labels, {least} are "
            "needed: whether labels or their meaning changed cannot be told"
        )
    if known < rows:
        return (
            f"{known:,} of {rows:,} current rows ({known / rows:.2g}) have labels, {now:,} of "
            "them were looked at: what is said of labels and losses holds if these rows are "
            "like the others"
        )
    return ""
