"""Measures, from the records alone, how each event was found, what was done, when it was over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.domain.decision import Decision
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.engine.ports import Records
from homeostat.entrypoints.demo.play import Played
from homeostat.entrypoints.demo.stage import MODEL
from homeostat.entrypoints.demo.story import Event, Story

AFTERMATH = timedelta(days=1)  # how long an event may echo in daily windows after it is over
TELLING = frozenset(
    {
        "fire", "diagnose", "begin_fault", "end_fault", "refuse_retraining", "start_training",
        "accept_candidate", "shadow", "ramp", "promote", "push", "roll_back",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one event went.

    Times are None where it was not found or not recovered from; ``real_`` figures are seconds of
    this run between the event and the tick that found or ended it.
    """

    event: Event
    handled: bool
    detected: timedelta | None
    recovered: timedelta | None
    real_detected: float | None
    real_recovered: float | None
    done: str
    why: str


@dataclass(frozen=True, slots=True)
class Score:
    """All events, and the alarms that none of them explains."""

    outcomes: tuple[Outcome, ...]
    false_alarms: tuple[Decision, ...]

    @property
    def handled(self) -> int:
        """Events handled as they should be."""
        return sum(outcome.handled for outcome in self.outcomes)


@dataclass(frozen=True)
class Evidence:
    """What was recorded, in order."""

    decisions: tuple[Decision, ...]
    verdicts: tuple[Verdict, ...]

    def first(self, since: datetime, *actions: str, about: tuple[str, ...] = ()) -> Decision | None:
        """Return the first decision of these kinds since a moment, about one of the rules."""
        for decision in self.decisions:
            if decision.at < since or decision.action not in actions:
                continue
            if not about or _rule(decision) in about:
                return decision
        return None

    def fine_again(self, since: datetime, monitor: Monitor, subject: str) -> datetime | None:
        """Return the end of the first window since a moment that was judged ok."""
        ends = (
            v.window.end
            for v in self.verdicts
            if (v.monitor, v.subject, v.status) == (monitor, subject, Status.OK)
            and v.window.start >= since
        )
        return min(ends, default=None)


def score(records: Records, story: Story, played: Played) -> Score:
    """Measure a finished run."""
    evidence = Evidence(records.decisions(MODEL), records.verdicts(MODEL))
    recoveries: dict[str, Callable[[], datetime | None]] = {
        story.fault.name: lambda: _at(evidence.first(story.fault.start, "end_fault")),
        story.pattern.name: lambda: _after_promotion(evidence, story.pattern),
        story.bad_version.name: lambda: _at(evidence.first(story.bad_version.start, "roll_back")),
        story.outage.name: lambda: evidence.fine_again(
            story.outage.start, Monitor.SERVICE, "availability"
        ),
    }
    ends = {name: recovery() for name, recovery in recoveries.items()}
    explained = [(e, ends.get(e.name) or e.end) for e in story.events]
    false = tuple(d for d in evidence.decisions if d.action == "fire" and not _due(d, explained))
    outcomes = tuple(
        _outcome(evidence, event, ends.get(event.name), false, played, story)
        for event in story.events
    )
    return Score(outcomes, false)


def _after_promotion(evidence: Evidence, event: Event) -> datetime | None:
    promoted = evidence.first(event.start, "promote")
    if promoted is None:
        return None
    return evidence.fine_again(promoted.at, Monitor.PERFORMANCE, "loss")


def _outcome(
    evidence: Evidence,
    event: Event,
    ended: datetime | None,
    false: tuple[Decision, ...],
    played: Played,
    story: Story,
) -> Outcome:
    if not event.alerts:
        calm = not any(event.start <= alarm.at < event.end for alarm in false)
        done = "nothing" if calm else "alarmed"
        return Outcome(event, calm, None, None, None, None, done, "all within the reference")
    found = evidence.first(event.start, "fire", about=event.alerts)
    until = (ended or story.end) + timedelta(minutes=1)
    told = [d for d in evidence.decisions if event.start <= d.at <= until and d.action in TELLING]
    done = ", ".join(dict.fromkeys(d.action.replace("_", " ") for d in told))
    why = next((d for d in told if d.action == "diagnose"), None)
    return Outcome(
        event=event,
        handled=found is not None and ended is not None,
        detected=found.at - event.start if found else None,
        recovered=ended - event.start if ended else None,
        real_detected=_real(played, event.start, found.at) if found else None,
        real_recovered=_real(played, event.start, ended) if ended else None,
        done=done,
        why=f"{why.subject}: {why.reason}" if why else "",
    )


def _due(alarm: Decision, explained: list[tuple[Event, datetime]]) -> bool:
    rule = _rule(alarm)
    return any(
        rule in event.alerts and event.start <= alarm.at <= end + AFTERMATH
        for event, end in explained
    )


def _rule(decision: Decision) -> str:
    parts = decision.subject.split(":")
    return parts[1] if len(parts) == 3 else ""


def _at(decision: Decision | None) -> datetime | None:
    return decision.at if decision else None


def _real(played: Played, start: datetime, end: datetime) -> float:
    """Return the real seconds of this run between two simulated moments."""
    before = max((s for t, s in played.seconds.items() if t <= start), default=0.0)
    after = min((s for t, s in played.seconds.items() if t >= end), default=before)
    return max(after - before, 0.0)
