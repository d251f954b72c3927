"""Which alarms were true, as people or outcomes judged them, and what of the budget they used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.domain.decision import Cause, Decision
from homeostat.domain.verdict import Monitor, Status
from homeostat.reports.facts import MATURED, Facts
from homeostat.reports.sheet import Section, listing
from homeostat.reports.wording import number, when
from homeostat.stats.intervals import wilson

AUTOMATIC = "homeostat"
OUTCOMES = frozenset({Monitor.PERFORMANCE, Monitor.CALIBRATION, Monitor.VALUE, Monitor.METRIC})
MEASURED = frozenset({"performance", "calibration", "value", "metric"})
"""Rules that fire on outcomes themselves."""
DAY = timedelta(days=1)


class Judgement(StrEnum):
    """What became of an alarm."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "not known"
    OPEN = "open"


SAID = {"false alarm": Judgement.FALSE, "true alarm": Judgement.TRUE}
"""What people write into the reason with which they close an incident."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An incident that fired, and who or what judged it."""

    at: datetime
    key: str
    rule: str
    reason: str
    judgement: Judgement
    by: str


@dataclass(frozen=True, slots=True)
class Review:
    """All alarms of a time, and what of the budget those used that were not true.

    Attributes
    ----------
    alarms : tuple of Alarm
    allowed : float
        False alarms that the budget allows in this time.
    """

    alarms: tuple[Alarm, ...]
    allowed: float

    def count(self, judgement: Judgement) -> int:
        """Return how many were judged so."""
        return sum(alarm.judgement is judgement for alarm in self.alarms)


def review(facts: Facts) -> Review:
    """Judge every incident that fired in the window.

    People judge by closing an incident by hand with ``false alarm`` or ``true alarm`` in the
    reason; any other reason judges nothing. Otherwise outcomes do. What fires on labels is
    measured, and true. Other alarms are true if, from a day before they fired to a week after
    their end, performance, calibration, value or a metric with a threshold became worse, a data
    fault was diagnosed, or the champion was rolled back; false if labels are complete for all of
    that time and nothing of it was; and not known before.
    """
    alarms = tuple(
        _judged(facts, each) for each in facts.done if each.action == "fire" and each.subject
    )
    days = facts.window.length / DAY
    return Review(alarms, facts.budget.rate * days)


def _judged(facts: Facts, fired: Decision) -> Alarm:
    key = fired.subject
    rule = key.removeprefix(f"{facts.spec.name}:").rpartition(":")[0]
    ends = [d for d in facts.decisions if d.subject == key and d.action == "resolve"]
    judgement, by = _judgement(facts, fired, rule, ends[-1] if ends else None)
    return Alarm(fired.at, key, rule, fired.reason, judgement, by)


def _judgement(
    facts: Facts, fired: Decision, rule: str, over: Decision | None
) -> tuple[Judgement, str]:
    said = over.reason.lower() if over is not None and over.actor != AUTOMATIC else ""
    for words, judgement in SAID.items():
        if over is not None and words in said:
            return judgement, over.actor
    if any(rule == name or rule.startswith(f"{name}_") for name in MEASURED):
        return Judgement.TRUE, "labels"
    until = (over.at if over is not None else facts.window.end) + 7 * DAY
    found = _harm(facts, fired.at, until)
    if found:
        return Judgement.TRUE, found
    if over is None:
        return Judgement.OPEN, ""
    known = max((p.window.end for p in facts.points if p.cohort == MATURED), default=None)
    if known is not None and known >= until:
        return Judgement.FALSE, "no harm in labels since"
    return Judgement.UNKNOWN, "labels are not complete"


def _harm(facts: Facts, start: datetime, until: datetime) -> str:
    for verdict in facts.verdicts:
        touches = verdict.window.end > start - DAY and verdict.window.start < until
        if verdict.monitor in OUTCOMES and verdict.status is Status.DRIFT and touches:
            return f"{verdict.monitor.value} became worse"
    for each in facts.decisions:
        if not start - DAY <= each.at <= until:
            continue
        if each.action == "diagnose" and each.subject == Cause.DATA_FAULT:
            return "a data fault was diagnosed"
        if each.action == "roll_back":
            return "the champion was rolled back"
    return ""


def thresholds(facts: Facts) -> Section:
    """Tell how alarms did against the budget, and what to do about it."""
    found = review(facts)
    true, false = found.count(Judgement.TRUE), found.count(Judgement.FALSE)
    rows = [
        (when(a.at), a.rule.replace("_", " "), a.judgement.value, a.by, a.reason)
        for a in found.alarms
    ]
    header = ("fired", "rule", "judged", "by", "reason")
    table = listing("Alarms", header, rows, "No alarm fired")
    return Section("Threshold review", _words(found, true, false), (), (table,))


def _words(found: Review, true: int, false: int) -> tuple[str, ...]:
    unknown, going = found.count(Judgement.UNKNOWN), found.count(Judgement.OPEN)
    used = f"used {number(100 * false / found.allowed)} %"
    count = len(found.alarms)
    said = [
        f"Alarms: {count}; {true} true, {false} false, {unknown} unknown, {going} open.",
        f"False alarms that the budget allows in this time: {number(found.allowed)}; {used}.",
    ]
    if true + false:
        bounds = wilson(true, true + false)
        interval = f"{number(100 * bounds.lower)} to {number(100 * bounds.upper)} %"
        said.append(f"Of those judged {100 * true / (true + false):.0f} % were true ({interval}).")
    if false > max(2.0 * found.allowed, 1.0):
        said.append("More false alarms than the budget allows: try homeostat alerts tune.")
    elif found.alarms:
        said.append("No threshold needs to change for its false alarms.")
    return tuple(said)
