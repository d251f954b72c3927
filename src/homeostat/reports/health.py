"""A model's health at a glance: verdicts and incidents in, one level and its reasons out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite

from homeostat.domain.decision import Severity
from homeostat.domain.verdict import Monitor, Status, Verdict

LONGEST_SILENCE = timedelta(hours=1)
MOST_NAMES = 3
LONGEST_NAME = 40


class Level(StrEnum):
    """Health, worst first; always shown with its words, never as a colour alone."""

    CRITICAL = "critical"
    WARNING = "warning"
    UNKNOWN = "unknown"
    OK = "ok"

    @property
    def rank(self) -> int:
        """Position in the order worst to best."""
        return list(Level).index(self)


WORDS = {
    Level.CRITICAL: "Needs you now",
    Level.WARNING: "Needs a look",
    Level.UNKNOWN: "Not known",
    Level.OK: "Healthy",
}

MONITOR_WORDS = {
    Monitor.SERVICE: "Serving",
    Monitor.VOLUME: "Volume",
    Monitor.DATA_QUALITY: "Data quality",
    Monitor.DATA_DRIFT: "Data drift",
    Monitor.PREDICTION_DRIFT: "Prediction drift",
    Monitor.PERFORMANCE: "Performance",
    Monitor.CALIBRATION: "Calibration",
    Monitor.VALUE: "Business value",
    Monitor.METRIC: "Metric thresholds",
}

# Worst first: what a monitor with several subjects is said to be.
ORDER = (Status.DRIFT, Status.ERROR, Status.INCONCLUSIVE, Status.OK, Status.NO_DATA)


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """An incident as pages and reports show it.

    ``open`` tells whether it fires or is acknowledged; ``pending`` and ``resolved`` ones are not.
    """

    key: str
    model: str
    title: str
    severity: Severity
    stage: str
    open: bool
    reason: str
    opened: datetime | None = None
    resolved: datetime | None = None
    cause: str = ""
    runbook: str = ""
    acknowledged_by: str = ""


@dataclass(frozen=True, slots=True)
class MonitorLine:
    """The latest judgement of one monitor over all its subjects."""

    monitor: Monitor
    status: Status
    words: str
    as_of: datetime
    rows: int

    @property
    def title(self) -> str:
        """Name for people."""
        return MONITOR_WORDS[self.monitor]


@dataclass(frozen=True, slots=True)
class Health:
    """One level, a headline, and the reasons in order of weight."""

    level: Level
    headline: str
    reasons: tuple[str, ...]
    as_of: datetime | None

    @property
    def words(self) -> str:
        """The level in words."""
        return WORDS[self.level]


def latest(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return each subject's last verdict, of each monitor's most recent window only.

    Subjects that a monitor no longer speaks about are left out.
    """
    last: dict[tuple[Monitor, str, str], Verdict] = {}
    newest: dict[Monitor, Verdict] = {}
    for verdict in verdicts:
        key = (verdict.monitor, verdict.subject, verdict.version)
        if key not in last or verdict.window.end >= last[key].window.end:
            last[key] = verdict
        if (
            verdict.monitor not in newest
            or verdict.window.end >= newest[verdict.monitor].window.end
        ):
            newest[verdict.monitor] = verdict
    return tuple(
        verdict
        for verdict in last.values()
        if verdict.window.end
        > newest[verdict.monitor].window.end - newest[verdict.monitor].window.length
    )


def name_some(names: Sequence[str]) -> str:
    """Name the first few, cut where they are long.

    Examples
    --------
    >>> name_some(["amount", "hour", "country", "age", "device"])
    'amount, hour, country and 2 more'
    """
    shown = ", ".join(
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        for name in names[:MOST_NAMES]
    )
    rest = len(names) - MOST_NAMES
    return f"{shown} and {rest} more" if rest > 0 else shown


def _by_effect(verdict: Verdict) -> tuple[float, str]:
    known = isfinite(verdict.score) and verdict.effect_threshold > 0
    return (-abs(verdict.score) / verdict.effect_threshold if known else 0.0, verdict.subject)


def _line(monitor: Monitor, verdicts: Sequence[Verdict]) -> MonitorLine:
    status = min((verdict.status for verdict in verdicts), key=ORDER.index)
    worst = sorted((verdict for verdict in verdicts if verdict.status is status), key=_by_effect)
    names = list(dict.fromkeys(verdict.subject for verdict in worst if verdict.subject))
    if len(verdicts) == 1 or len(names) <= 1 or status in {Status.OK, Status.NO_DATA}:
        named = [verdict for verdict in worst if verdict.subject] or worst
        words = named[0].reason if status is not Status.OK or len(verdicts) == 1 else "all in order"
    else:
        words = name_some(names)
    return MonitorLine(
        monitor=monitor,
        status=status,
        words=words,
        as_of=max(verdict.window.end for verdict in verdicts),
        rows=max(verdict.n_current for verdict in verdicts),
    )


def monitors(verdicts: Iterable[Verdict]) -> tuple[MonitorLine, ...]:
    """Return one line a monitor that has spoken, in the order in which trouble spreads."""
    spoken: dict[Monitor, list[Verdict]] = defaultdict(list)
    for verdict in latest(verdicts):
        spoken[verdict.monitor].append(verdict)
    return tuple(_line(monitor, spoken[monitor]) for monitor in MONITOR_WORDS if monitor in spoken)


def silent_since(verdicts: Sequence[Verdict], now: datetime) -> datetime | None:
    """Return when judging stopped, or None while it goes on.

    It has stopped when three windows of the freshest monitor, and at least an hour, have passed.
    """
    freshest = max(verdicts, key=lambda verdict: verdict.window.end, default=None)
    if freshest is None:
        return None
    patience = max(3 * freshest.window.length, LONGEST_SILENCE)
    return freshest.window.end if now - freshest.window.end > patience else None


def health(verdicts: Sequence[Verdict], incidents: Sequence[IncidentLine], now: datetime) -> Health:
    """Judge a model's health.

    Open critical incidents make it critical; other open incidents, and monitors that see a change
    or fail, make it a warning. A model that nobody has judged lately is *not known*, never
    healthy: silence is not health.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Of one model; a few windows of each monitor are enough.
    incidents : sequence of IncidentLine
        Of the same model.
    now : datetime
    """
    lines = monitors(verdicts)
    as_of = max((line.as_of for line in lines), default=None)
    fires = sorted(
        (incident for incident in incidents if incident.open),
        key=lambda incident: list(Severity).index(incident.severity),
    )
    bad = [line for line in lines if line.status in {Status.DRIFT, Status.ERROR}]
    reasons = [f"{incident.title}: {incident.reason}" for incident in fires]
    told = {incident.reason for incident in fires}
    reasons += [f"{line.title}: {line.words}" for line in bad if line.words not in told]
    silence = silent_since(verdicts, now)
    if silence is not None:
        reasons.append(f"Nothing has been judged since {silence:%Y-%m-%d %H:%M} UTC.")
    if fires:
        level = Level.CRITICAL if fires[0].severity is Severity.CRITICAL else Level.WARNING
        return Health(level, fires[0].title, tuple(reasons), as_of)
    if silence is not None:
        return Health(Level.UNKNOWN, "Not being judged", tuple(reasons), as_of)
    if bad:
        changed = name_some([line.title for line in bad])
        return Health(Level.WARNING, f"Changed: {changed}", tuple(reasons), as_of)
    if not any(line.status in {Status.OK, Status.INCONCLUSIVE} for line in lines):
        return Health(Level.UNKNOWN, "No data yet", tuple(reasons), as_of)
    return Health(Level.OK, "All monitors in order", tuple(reasons), as_of)
