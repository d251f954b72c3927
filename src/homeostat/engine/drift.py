"""Judges drift window by window, against a reference that is fixed or moves along."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.detectors.drift import detector as drift
from homeostat.detectors.drift.reference import FEW_WINDOWS, DriftReference, Windows
from homeostat.detectors.drift.steadiness import drifting
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window, closed_windows
from homeostat.engine.outcomes import Found
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.training import SCORE, clear_stretches
from homeostat.engine.watch import DriftMemory, Fault, Watch
from homeostat.profiles.profile import Profile, merge_all

NAMED = 5
SEGMENT = re.compile(r" \[.+=.*\]$", re.DOTALL)
CLEAR = 0.9  # share of a window that must be free of faults: what is left of a day is not a day


@dataclass(frozen=True, slots=True, eq=False)
class DriftReferences:
    """A version's reference windows, and what was fitted to them."""

    windows: Windows
    inputs: DriftReference
    scores: DriftReference

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments that are followed, besides all rows."""
        return tuple(dict.fromkeys(s.segment for s in self.inputs.streams if s.segment))


def fit_drift(plan: ModelPlan, windows: Windows) -> DriftReferences:
    """Fit the detector of inputs and that of scores."""
    inputs = drift.fit(windows, plan.spec.schema.names, plan.drift)
    return DriftReferences(windows, inputs, drift.fit(windows, (SCORE,), plan.drift))


def follow_segments(
    plan: ModelPlan, log: PredictionLog, watch: Watch, reference: DriftReferences
) -> DriftReferences:
    """Return the reference with the segments that the log has in its windows.

    They are the ones with the most rows, and have `FEW_WINDOWS` with enough of them. The alarm
    budget of drift is shared: segments together have as much of it as all rows.
    """
    rows = _segments(plan, log, reference)
    spans = sorted(span for span, _ in reference.windows)
    most = sorted(rows, key=lambda name: (-rows[name], name))[: plan.reference.segments]
    parts: dict[str, Windows] = {}
    for segment in most:
        seen = [(span, _clear(plan, log, watch, span, segment=segment)) for span in spans]
        known = [(span, p) for span, p in seen if p is not None and p.rows >= plan.drift.min_rows]
        if len(known) >= FEW_WINDOWS:
            parts[segment] = known
    if not parts:
        return reference
    inputs = drift.fit(reference.windows, plan.spec.schema.names, plan.drift, parts)
    return replace(reference, inputs=inputs)


def still_there(plan: ModelPlan, log: PredictionLog, reference: DriftReferences) -> bool:
    """Whether the log has all segments that are followed: none was erased."""
    followed = reference.segments
    return not followed or _segments(plan, log, reference).keys() >= set(followed)


def _segments(plan: ModelPlan, log: PredictionLog, reference: DriftReferences) -> dict[str, int]:
    if not plan.spec.segments:
        return {}
    spans = [span for span, _ in reference.windows]
    whole = Window(min(span.start for span in spans), max(span.end for span in spans))
    return log.segments(plan.spec, whole)


@dataclass(frozen=True, slots=True)
class DriftJudged:
    """What a tick found about drift, and what it remembers."""

    found: Found
    memory: DriftMemory
    decisions: tuple[Decision, ...] = ()


def judge_drift(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    memory: DriftMemory,
    fixed: DriftReferences | None,
    champion: str,
    now: datetime,
) -> DriftJudged:
    """Compare every closed window, without what data faults cover, with the reference.

    Scores are only compared with the champion's own.
    """
    verdicts: list[Verdict] = []
    decisions: list[Decision] = []
    if memory.champion != champion:
        # A new champion brings its own reference; a moving one begins anew after it.
        memory = DriftMemory(memory.inputs, champion=champion)
    reference = fixed
    for window in closed_windows(watch.inputs_until, now, plan.drift.every):
        watch = replace(watch, inputs_until=window.end)
        if fixed is None:
            continue
        moved = _renew(plan, log, watch, memory, window, champion)
        if moved is not None or reference is None or memory.anchor is None:
            memory = memory if moved is None else replace(memory, anchor=window.start)
            reference = moved or fixed
        elif reference is fixed:
            reference = _learn(plan, log, watch, memory.anchor, champion) or fixed
        profile = _clear(plan, log, watch, window)
        if profile is None:
            continue
        decisions += _doubt(plan, reference, memory, window)
        parts = {
            name: part
            for name in reference.segments
            if (part := _clear(plan, log, watch, window, segment=name)) is not None
        }
        state, found = drift.evaluate(
            reference.inputs, memory.inputs, plan.spec.name, window, profile, plan.drift, parts
        )
        memory = replace(memory, inputs=state)
        verdicts += _ended(plan, watch, verdicts, found, window)
        verdicts += found
        own = _clear(plan, log, watch, window, champion)
        if watch.reference != champion or own is None:
            continue
        state, found = drift.evaluate(
            reference.scores, memory.scores, plan.spec.name, window, own, plan.drift,
            monitor=Monitor.PREDICTION_DRIFT,
        )  # fmt: skip
        memory = replace(memory, scores=state)
        verdicts += found
    return DriftJudged(Found(watch, tuple(verdicts)), memory, tuple(decisions))


def _clear(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    window: Window,
    version: str = "",
    segment: str = "",
) -> Profile | None:
    """Return the profile of what no fault covers; None if that is less than nearly all of it."""
    faults = tuple(_spans(watch.faults, window.end))
    stretches = tuple(clear_stretches(window, faults))
    if sum((stretch.length for stretch in stretches), timedelta(0)) < CLEAR * window.length:
        return None
    return merge_all(log.profile(plan.spec, stretch, version, segment) for stretch in stretches)


def _ended(
    plan: ModelPlan,
    watch: Watch,
    verdicts: Sequence[Verdict],
    found: Sequence[Verdict],
    window: Window,
) -> Iterator[Verdict]:
    """Yield the ends of drift in segments that the reference follows no more.

    Nobody would take it back; all rows, and the segments that are followed, are judged on.
    """
    judged = {verdict.subject for verdict in found}
    for last in watch.noting(tuple(verdicts)).verdicts(Monitor.DATA_DRIFT):
        segment = SEGMENT.search(last.subject)
        gone = segment is not None and last.subject not in {*judged, *plan.spec.schema.names}
        if gone and last.status is Status.DRIFT:
            reason = f"{last.subject} is no longer judged: the reference has too few rows of it"
            yield replace(last, status=Status.OK, window=window, reason=reason)


def _spans(faults: tuple[Fault, ...], now: datetime) -> Iterator[Window]:
    return (fault.window(max(now, fault.start)) for fault in faults)


def _renew(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    memory: DriftMemory,
    window: Window,
    champion: str,
) -> DriftReferences | None:
    """Return the reference that begins to apply with a window; None if nothing changes.

    A reference does not move on while inputs drift: it would learn what it should report.
    """
    policy = plan.reference
    if policy.kind == "fixed" or memory.inputs.drifted:
        return None
    last = memory.anchor or watch.since
    if window.start - last < policy.step * plan.drift.every:
        return None
    return _learn(plan, log, watch, window.start, champion)


def _learn(
    plan: ModelPlan, log: PredictionLog, watch: Watch, end: datetime, champion: str
) -> DriftReferences | None:
    """Fit the windows before `end`; None if too few of them have rows.

    Inputs are those of all versions, scores the champion's alone.
    """
    start = end - plan.reference.windows * plan.drift.every
    spans = tuple(closed_windows(start, end, plan.drift.every))

    def known(version: str) -> list[tuple[Window, Profile]]:
        seen = ((span, _clear(plan, log, watch, span, version)) for span in spans)
        return [(span, p) for span, p in seen if p is not None and p.rows >= plan.drift.min_rows]

    inputs, own = known(""), known(champion)
    if len(inputs) < FEW_WINDOWS or len(own) < FEW_WINDOWS:
        return None
    scores = drift.fit(own, (SCORE,), plan.drift)
    learnt = DriftReferences(inputs, fit_drift(plan, inputs).inputs, scores)
    return follow_segments(plan, log, watch, learnt)


def _doubt(
    plan: ModelPlan, reference: DriftReferences, memory: DriftMemory, window: Window
) -> tuple[Decision, ...]:
    """Put on record, once, that a reference drifts by itself."""
    if memory.inputs.reference == reference.inputs.key:
        return ()
    found = drifting(reference.windows, plan.spec.schema.names, plan.drift)
    if not found:
        return ()
    names = ", ".join(verdict.subject for verdict in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    text = (
        f"the reference drifts by itself in {names}{more} ({found[0].reason}): what counts as "
        "usual there depends on where it is cut; choose a steadier stretch or a rolling reference"
    )
    return (Decision(plan.spec.name, window.end, "homeostat", "doubt_reference", names, text),)
