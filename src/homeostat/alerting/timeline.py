"""An incident's timeline: all that happened about it, with the evidence, in one order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from math import isfinite

from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import default_rules
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import Monitor, Status, Verdict

BEFORE = timedelta(days=7)
"""How long before an incident verdicts are looked at."""
MOST_SUBJECTS = 20
OURS = {
    "fire": "fired",
    "acknowledge": "acknowledged",
    "resolve": "resolved",
    "silence": "silenced",
    "unsilence": "silenced",
    "tell": "told",
    "escalate": "escalated",
}
PASSED_OVER = frozenset({*OURS, "inhibit", "refuse"})


class Kind(StrEnum):
    """What happened."""

    PENDING = "pending"
    FIRED = "fired"
    TOLD = "told"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    DIAGNOSED = "diagnosed"
    VERDICT = "verdict"
    ACTION = "action"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Told:
    """A notice and what became of it: its receiver, and what that said or what went wrong."""

    at: datetime
    receiver: str
    action: str
    status: str
    attempts: int
    said: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a timeline. ``evidence`` holds the figures it rests on."""

    at: datetime
    kind: Kind
    words: str
    actor: str = ""
    evidence: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """What a timeline is about.

    Attributes
    ----------
    key, model, rule : str
    began, opened, resolved : datetime or None
        Since when its condition held, when it fired, and when it was over.
    subjects : tuple of str
        Columns or metrics; empty: not known, or the whole model.
    """

    key: str
    model: str
    rule: str
    began: datetime | None
    opened: datetime | None
    resolved: datetime | None
    subjects: tuple[str, ...] = ()


def timeline(
    episode: Episode,
    decisions: Iterable[Decision],
    told: Iterable[Told],
    verdicts: Sequence[Verdict],
    now: datetime,
) -> tuple[Entry, ...]:
    """Return what happened, oldest first.

    Parameters
    ----------
    episode : Episode
    decisions : iterable of Decision
        Of its model; what was done about the model while it was open belongs to it.
    told : iterable of Told
    verdicts : sequence of Verdict
        Of its model: of each subject the first that drifted and the first in order again.
    now : datetime
    """
    start, end = episode.opened or now, episode.resolved or now
    since = min(episode.began or start, start)
    entries = [_verdict(each) for each in _turns(concerning(episode, verdicts), end)]
    if since < start:
        words = "the condition holds; it fires when it has held for long enough"
        entries.append(Entry(since, Kind.PENDING, words))
    for made in decisions:
        if made.subject == episode.key:
            kind = Kind(OURS[made.action]) if made.action in OURS else Kind.ACTION
            words = made.reason if made.action in OURS else f"{_verb(made)}: {made.reason}"
            entries.append(Entry(made.at, kind, words, made.actor, made.evidence))
        elif made.action not in PASSED_OVER and since <= made.at <= end:
            kind = Kind.DIAGNOSED if made.action == "diagnose" else Kind.ACTION
            words = f"{_verb(made)} {made.subject}: {made.reason}"
            entries.append(Entry(made.at, kind, words, made.actor, made.evidence))
    entries += (Entry(each.at, Kind.TOLD, _told(each), each.receiver) for each in told)
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _verb(made: Decision) -> str:
    return made.action.replace("_", " ")


def _told(told: Told) -> str:
    words = {"done": "delivered", "dead": "given up", "pending": "waits"}[told.status]
    tries = f", {told.attempts} attempts" if told.attempts > 1 else ""
    said = f": {told.said}" if told.said else ""
    return f"{told.action} {words}{tries}{said}"


def concerning(episode: Episode, verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts that a rule of that name looks at, of the incident's subjects.

    Examples
    --------
    >>> concerning(Episode("fraud:data_drift:1", "fraud", "data_drift", None, None, None), ())
    ()
    """
    built_in = (each.condition for each in default_rules(()) if each.name == episode.rule)
    condition = next(built_in, None)
    wanted = set(episode.subjects)
    return tuple(
        verdict
        for verdict in verdicts
        if (not isinstance(condition, Verdicts) or _is_of(condition, verdict))
        and (not wanted or verdict.subject in wanted)
    )


def _is_of(condition: Verdicts, verdict: Verdict) -> bool:
    return verdict.monitor is condition.monitor and fnmatchcase(verdict.subject, condition.subject)


def _turns(verdicts: Iterable[Verdict], end: datetime) -> Iterable[Verdict]:
    """Yield of each subject the first verdict that drifted, and the first in order after it."""
    waiting: dict[tuple[Monitor, str, str], Status] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.window.end):
        key = (verdict.monitor, verdict.subject, verdict.version)
        wanted = waiting.get(key, Status.DRIFT)
        known = key in waiting or len(waiting) < MOST_SUBJECTS
        if known and verdict.status is wanted and verdict.window.end <= end:
            waiting[key] = Status.OK if wanted is Status.DRIFT else Status.NO_DATA
            yield verdict


def _verdict(verdict: Verdict) -> Entry:
    figures = (
        ("score", verdict.score),
        ("effect_threshold", verdict.effect_threshold),
        ("evidence", verdict.evidence),
        ("evidence_threshold", verdict.evidence_threshold),
        ("rows", float(verdict.n_current)),
    )
    told = f"{verdict.subject}: " if verdict.subject else ""
    words = f"{told}{verdict.status.replace('_', ' ')}: {verdict.reason}"
    evidence = tuple(pair for pair in figures if isfinite(pair[1]))
    return Entry(verdict.window.end, Kind.VERDICT, words, verdict.monitor.value, evidence)
