"""What came of each event of a world: when it was found, when it was over, and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.domain.decision import Decision
from homeostat.simulation.worlds.case import DAY, EXPECTED, Case, Event, Kind

AFTERMATH = 4 * DAY
"""How long an event may echo after its end: labels mature, versions that learnt it go again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an event.

    Attributes
    ----------
    event : Event
    detected : timedelta or None
        From its beginning to the first alarm of a rule that it should set off.
    recovered : timedelta or None
        From its beginning until that incident was resolved; None as well while it is open.
    """

    event: Event
    detected: timedelta | None
    recovered: timedelta | None


@dataclass(frozen=True, slots=True)
class Score:
    """What came of all events that a person would notice, and alarms that nothing explains."""

    outcomes: tuple[Outcome, ...]
    false_alarms: tuple[str, ...]
    pages: int


def score(case: Case, decisions: Sequence[Decision], pages: int) -> Score:
    """Measure a world from its decision log.

    An alarm is explained by any event from its beginning until `AFTERMATH` after its end. Of events
    in the last two days of the world nothing is asked.
    """
    fired = [d for d in decisions if d.action == "fire"]
    ended = {d.subject: d.at for d in decisions if d.action == "resolve"}
    asked = [e for e in case.events if e.kind in EXPECTED and e.start + 2 * DAY <= case.end]
    return Score(
        tuple(_outcome(event, fired, ended) for event in asked),
        tuple(
            f"{d.at.isoformat()} {_rule(d)}: {d.reason}"
            for d in fired
            if not any(e.start <= d.at <= e.end + AFTERMATH for e in case.events)
        ),
        pages,
    )


def _outcome(event: Event, fired: Sequence[Decision], ended: dict[str, datetime]) -> Outcome:
    until = event.end + AFTERMATH
    for made in fired:
        if event.start <= made.at <= until and _rule(made) in EXPECTED[event.kind]:
            over = ended.get(made.subject)
            return Outcome(
                event, made.at - event.start, None if over is None else over - event.start
            )
    return Outcome(event, None, None)


def _rule(made: Decision) -> str:
    return made.subject.split(":")[1]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of all events of a kind; times are medians, None if there is none."""

    kind: Kind
    events: int
    found: int
    detected: timedelta | None
    recovered: timedelta | None


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return one row for each kind of event that there was."""
    found: list[Row] = []
    for kind in Kind:
        mine = [each for each in outcomes if each.event.kind is kind]
        if mine:
            detected = sorted(o.detected for o in mine if o.detected is not None)
            recovered = sorted(o.recovered for o in mine if o.recovered is not None)
            row = Row(kind, len(mine), len(detected), _middle(detected), _middle(recovered))
            found.append(row)
    return found


def _middle(values: Sequence[timedelta]) -> timedelta | None:
    return values[len(values) // 2] if values else None
