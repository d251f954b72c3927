"""Whether the inputs, or the scores, have changed beyond what the reference's windows do.

``DRIFT`` needs two things. *Evidence*: the e-detectors of all columns together hold the alarm
budget, over columns and over time. *Effect*: the distance, without its sampling noise, is one that
the owner cares about. Small shifts gather evidence over windows, big ones fire at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from homeostat.detectors.cells import FloatArray, count_cells
from homeostat.detectors.drift.reference import (
    SCORE,
    ColumnReference,
    DriftConfig,
    DriftReference,
    fit,
    group_of,
)
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.profiles.profile import ColumnProfile, Profile
from homeostat.stats.dispersion import Distance, distance
from homeostat.stats.evidence import e_bh, p_to_e, shiryaev_roberts

__all__ = [
    "SCORE",
    "ColumnEvidence",
    "DriftConfig",
    "DriftReference",
    "DriftState",
    "evaluate",
    "evaluate_scores",
    "fit",
]

CAP = 4.0  # times the level at which one column alone alarms: bounds the time to recover
FORGET = 0.5  # weight of the past in the recent histogram, per window


@dataclass(frozen=True, slots=True)
class ColumnEvidence:
    """State of one column's e-detector.

    ``recent`` and ``expected`` are the observed and the reference's rows over the cells, of the
    windows since the evidence was last down at 1, each window weighted half of the next one.
    ``rows`` is the effective number of rows behind ``recent``.
    """

    column: str
    evidence: float = 0.0
    drifted: bool = False
    recent: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()
    rows: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftState:
    """Evidence so far against the reference named ``reference``."""

    reference: str = ""
    columns: tuple[ColumnEvidence, ...] = ()

    def column(self, name: str) -> ColumnEvidence:
        """Return the state of a column, fresh if there is none."""
        return next((c for c in self.columns if c.column == name), ColumnEvidence(name))


def evaluate(
    reference: DriftReference,
    state: DriftState,
    model: str,
    window: Window,
    profile: Profile,
    config: DriftConfig,
) -> tuple[DriftState, tuple[Verdict, ...]]:
    """Judge the features in a window; call once a window, in order of time.

    Returns
    -------
    DriftState, tuple of Verdict
        One verdict per feature, and a last one for subject ``""`` whose score is the share of
        features that drifted and whose details hold ``share_drifted``, ``drifted`` and ``columns``.

    Notes
    -----
    Per column, a p-value under the reference's own variation becomes an e-value, and these an
    e-detector (`homeostat.stats.evidence`). Columns are named by e-BH, which names one only if the
    average e-detector is over the threshold, so the expected time to the first false alarm of *any*
    column is at least the threshold.

    A column that drifted is back to ``ok`` with the first window whose own effect is under half of
    ``min_effect``; its evidence then starts afresh. Windows with too few rows change nothing.
    """
    names = [name for name in reference.columns if name != SCORE]
    frame = _Frame(reference, config, model, window, Monitor.DATA_DRIFT, len(names))
    state, verdicts = _judge(frame, state, profile, names)
    evidence = [column.evidence for column in state.columns]
    return state, (*verdicts, _overall(frame, verdicts, evidence, profile.rows))


def evaluate_scores(
    reference: DriftReference,
    state: DriftState,
    model: str,
    window: Window,
    profile: Profile,
    config: DriftConfig,
) -> tuple[DriftState, tuple[Verdict, ...]]:
    """Judge the model's answers in a window, as `evaluate` does the features.

    Keep its state apart from that of `evaluate`. No verdict if the reference holds no scores.
    """
    names = [name for name in reference.columns if name == SCORE]
    frame = _Frame(reference, config, model, window, Monitor.PREDICTION_DRIFT, len(names))
    return _judge(frame, state, profile, names)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One column of one window; ``found`` is None if there were too few rows to compare."""

    found: Distance | None
    rows: int
    p_value: float = math.nan
    effect: float = math.nan
    inflation: float = math.nan
    missing: float = math.nan


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all columns of one evaluation share."""

    reference: DriftReference
    config: DriftConfig
    model: str
    window: Window
    monitor: Monitor
    columns: int


def _judge(
    frame: _Frame, state: DriftState, profile: Profile, names: Sequence[str]
) -> tuple[DriftState, tuple[Verdict, ...]]:
    reference, config = frame.reference, frame.config
    if state.reference != reference.key:
        state = DriftState(reference.key)
    columns, readings = [], []
    for name in names:
        known, seen = reference.columns[name], profile.columns.get(name)
        column, reading = _read(frame, known, state.column(name), seen)
        columns.append(column)
        readings.append(reading)
    named = e_bh([column.evidence for column in columns], config.threshold)
    level = config.threshold * len(names) / max(1, len(named))
    verdicts, settled = [], []
    for index, (column, reading) in enumerate(zip(columns, readings, strict=True)):
        verdict = _verdict(frame, column, reading, level, proven=index in named)
        drifted = column.drifted if reading.found is None else verdict.status is Status.DRIFT
        settled.append(replace(column, drifted=drifted))
        verdicts.append(verdict)
    return DriftState(reference.key, tuple(settled)), tuple(verdicts)


def _read(
    frame: _Frame, known: ColumnReference, column: ColumnEvidence, seen: ColumnProfile | None
) -> tuple[ColumnEvidence, _Reading]:
    """Compare one column with its reference and update its evidence."""
    usable = seen is not None and seen.kind is known.binning.kind
    if seen is None or not usable or seen.count < frame.config.min_rows:
        return column, _Reading(None, 0 if seen is None else seen.count)
    expected = known.expected(group_of(frame.window, frame.config.match))
    current = count_cells(seen, known.binning)
    found = distance(current, expected)
    p_value = known.dispersion.p_value(found)
    if column.drifted and found.effect < frame.config.min_effect / 2:
        column = ColumnEvidence(column.column)
    else:
        column = _accumulate(frame, column, p_value, current, expected)
    reading = _Reading(
        found,
        seen.count,
        p_value,
        _recent_effect(column, found, float(expected.sum())),
        known.dispersion.inflation(found.rows),
        float(current[-1]) / seen.count,
    )
    return column, reading


def _accumulate(
    frame: _Frame,
    column: ColumnEvidence,
    p_value: float,
    current: FloatArray,
    expected: FloatArray,
) -> ColumnEvidence:
    rows = float(current.sum())
    share = expected * (rows / float(expected.sum()))
    # While evidence is down at 1 the most likely moment of a change is now: the past says nothing.
    fresh = column.evidence <= 1.0 or frame.reference.partial or not column.recent
    if fresh:
        recent, due, effective = current, share, rows
    else:
        before = np.asarray(column.recent)
        recent = current + FORGET * before
        due = share + FORGET * np.asarray(column.expected)
        squares = rows + FORGET**2 * float(before.sum()) ** 2 / column.rows
        effective = float(recent.sum()) ** 2 / squares
    past = 0.0 if frame.reference.partial else column.evidence
    evidence = shiryaev_roberts(past, p_to_e(p_value))
    return ColumnEvidence(
        column.column,
        min(evidence, CAP * frame.config.threshold * frame.columns),
        column.drifted,
        tuple(recent.tolist()),
        tuple(due.tolist()),
        effective,
    )


def _recent_effect(column: ColumnEvidence, found: Distance, known: float) -> float:
    """Return the effect over the recent windows, against a reference of `known` rows."""
    if not column.recent:
        return found.effect
    due = np.asarray(column.expected)
    return distance(column.recent, due * (known / float(due.sum())), rows=column.rows).effect


def _verdict(
    frame: _Frame, column: ColumnEvidence, reading: _Reading, level: float, *, proven: bool
) -> Verdict:
    status, reason = _status(frame, reading, proven=proven)
    details: tuple[tuple[str, float], ...] = ()
    if reading.found is not None:
        details = (
            ("window_effect", reading.found.effect),
            ("inflation", reading.inflation),
            ("missing", reading.missing),
        )
    return Verdict(
        monitor=frame.monitor,
        model=frame.model,
        subject=column.column,
        window=frame.window,
        status=status,
        score=reading.effect,
        effect_threshold=frame.config.min_effect,
        evidence=column.evidence,
        evidence_threshold=level,
        p_value=reading.p_value,
        n_reference=frame.reference.rows,
        n_current=reading.rows,
        reason=reason,
        details=details,
    )


def _status(frame: _Frame, reading: _Reading, *, proven: bool) -> tuple[Status, str]:
    if reading.rows == 0:
        return Status.NO_DATA, "no rows in the window"
    if reading.found is None:
        needed = frame.config.min_rows
        return Status.INCONCLUSIVE, f"{reading.rows} rows in the window, {needed} are needed"
    big = reading.effect >= frame.config.min_effect
    moved = f"distance {reading.effect:.3g} from the reference"
    if proven and big:
        return Status.DRIFT, f"{moved}: more than its own windows vary, and enough to matter"
    if big and frame.reference.partial:
        return Status.INCONCLUSIVE, f"{moved}, but the reference is too short to tell"
    if big:
        return Status.OK, f"{moved}: not more than the reference's own windows explain"
    return Status.OK, f"{moved}: too small to matter" if proven else f"{moved}: as usual"


def _overall(
    frame: _Frame, verdicts: Sequence[Verdict], evidence: Sequence[float], rows: int
) -> Verdict:
    drifted = [verdict.subject for verdict in verdicts if verdict.status is Status.DRIFT]
    share = len(drifted) / len(verdicts) if verdicts else math.nan
    judged = {verdict.status for verdict in verdicts}
    for status in (Status.DRIFT, Status.OK, Status.INCONCLUSIVE):
        if status in judged:
            break
    else:
        status = Status.NO_DATA
    named = ", ".join(drifted[:5]) + (", ..." if len(drifted) > 5 else "")
    reason = f"{len(drifted)} of {len(verdicts)} columns drifted"
    return Verdict(
        monitor=frame.monitor,
        model=frame.model,
        subject="",
        window=frame.window,
        status=status,
        score=share,
        effect_threshold=0.0,
        evidence=math.fsum(evidence) / max(1, len(evidence)),
        evidence_threshold=frame.config.threshold,
        p_value=math.nan,
        n_reference=frame.reference.rows,
        n_current=rows,
        reason=f"{reason}: {named}" if drifted else reason,
        details=(
            ("share_drifted", share),
            ("drifted", float(len(drifted))),
            ("columns", float(len(verdicts))),
        ),
    )
