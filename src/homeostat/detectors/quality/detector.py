"""Whether data is broken: judged window by window, so that it fires at once and ends at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from homeostat.detectors.quality.faults import Fault, find_faults, stated_faults
from homeostat.detectors.quality.reference import (
    WEEK,
    QualityConfig,
    QualityReference,
    fit,
    unfitted,
)
from homeostat.domain.model import Column, Schema
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.profiles.profile import ColumnProfile, Profile
from homeostat.stats.evidence import p_to_e

__all__ = [
    "ActiveFault",
    "QualityConfig",
    "QualityReference",
    "QualityState",
    "evaluate",
    "fit",
    "unfitted",
]


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A column that is broken, and the start of the first window in which it was."""

    column: str
    fault: str
    since: datetime


@dataclass(frozen=True, slots=True)
class QualityState:
    """Faults of the latest windows that had rows enough."""

    active: tuple[ActiveFault, ...] = ()


def evaluate(
    config: QualityConfig,
    reference: QualityReference,
    state: QualityState,
    model: str,
    window: Window,
    profile: Profile,
    schema: Schema,
) -> tuple[QualityState, tuple[Verdict, ...]]:
    """Judge the columns in a window.

    A fault needs evidence in this window alone and a size that matters; nothing is carried over, so
    the first clean window is ``ok``. The threshold is that of the alarm budget times the number of
    tests, which bounds the expected number of false alarms in the period by the budget's share.
    Columns that the reference does not hold are held to what the schema states.

    Returns
    -------
    QualityState, tuple of Verdict
        One verdict per column of the schema. The score is the rise of the share of bad rows (for a
        change of unit, the share of the distance it explains), the details hold one entry per fault
        found: its share of rows, or ``scale``, the factor (-1: flipped signs).
    """
    verdicts, active = [], []
    known = {fault.column: fault for fault in state.active}
    level = config.check_threshold(max(len(reference.columns), len(schema.columns)))
    for column in schema.columns:
        verdict, names = _judge(config, reference, model, window, profile, column, level)
        verdicts.append(verdict)
        earlier = known.get(column.name)
        if verdict.status is Status.DRIFT:
            since = window.start if earlier is None else earlier.since
            active.append(ActiveFault(column.name, names, since))
        elif earlier is not None and verdict.status is not Status.OK:
            active.append(earlier)
    return QualityState(tuple(active)), tuple(verdicts)


def _judge(
    config: QualityConfig,
    reference: QualityReference,
    model: str,
    window: Window,
    profile: Profile,
    column: Column,
    level: float,
) -> tuple[Verdict, str]:
    seen = profile.columns.get(column.name)
    broken = _broken(profile, column, seen)
    if broken is not None and profile.rows >= config.min_rows:
        faults: tuple[Fault, ...] = (broken,)
    elif seen is None or seen.count < config.min_rows:
        return _undecided(config, reference, model, window, column, seen, level), ""
    elif column.name not in reference.columns:
        faults = stated_faults(seen, column, config)
        if not faults:
            return _undecided(config, reference, model, window, column, seen, level), ""
    else:
        quality, comparable = reference.columns[column.name], reference.comparable(window)
        long = reference.span >= WEEK
        faults = find_faults(seen, quality, config, comparable=comparable, long=long)
    found = [f for f in faults if f.size >= f.needed and p_to_e(f.p_value) >= level]
    # The most evident fault speaks for the column; several are all in the details.
    worst = min(found or faults, key=lambda fault: fault.p_value)
    text = "; ".join(fault.text for fault in found) or "no fault found"
    verdict = Verdict(
        monitor=Monitor.DATA_QUALITY,
        model=model,
        subject=column.name,
        window=window,
        status=Status.DRIFT if found else Status.OK,
        score=worst.size,
        effect_threshold=worst.needed,
        evidence=p_to_e(worst.p_value),
        evidence_threshold=level,
        p_value=worst.p_value,
        n_reference=reference.rows,
        n_current=profile.rows,
        reason=text,
        details=tuple((fault.name, fault.value) for fault in found),
    )
    return verdict, ",".join(fault.name for fault in found)


def _broken(profile: Profile, column: Column, seen: ColumnProfile | None) -> Fault | None:
    """Return the fault of a column that is absent or of another kind: certain at once."""
    if seen is None and profile.rows > 0:
        return Fault("absent", 0.0, 1.0, 0.0, 1.0, "the column is absent")
    if seen is not None and seen.kind is not column.kind:
        text = f"the column is {seen.kind}, not {column.kind}"
        return Fault("kind", 0.0, 1.0, 0.0, 1.0, text)
    return None


def _undecided(
    config: QualityConfig,
    reference: QualityReference,
    model: str,
    window: Window,
    column: Column,
    seen: ColumnProfile | None,
    level: float,
) -> Verdict:
    rows = 0 if seen is None else seen.count
    if rows == 0:
        status, reason = Status.NO_DATA, "no rows in the window"
    elif rows < config.min_rows:
        status = Status.INCONCLUSIVE
        reason = f"{rows} rows in the window, {config.min_rows} are needed"
    else:
        lacking = "the reference does not hold this column" if reference.rows else "no reference"
        status, reason = Status.INCONCLUSIVE, f"{lacking}: not monitored"
    return Verdict(
        monitor=Monitor.DATA_QUALITY,
        model=model,
        subject=column.name,
        window=window,
        status=status,
        score=math.nan,
        effect_threshold=config.min_rise,
        evidence=1.0,
        evidence_threshold=level,
        p_value=math.nan,
        n_reference=reference.rows,
        n_current=rows,
        reason=reason,
    )
