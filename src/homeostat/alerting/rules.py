"""Alert rules: which verdicts wake whom, and how verdicts become a signal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from homeostat.alerting.routes import Route
from homeostat.domain.decision import Severity
from homeostat.domain.verdict import DEGRADED, Monitor, Status, Verdict

DATA_FAULT = "data_fault"
MODEL_DOWN = "model_down"
PERFORMANCE_DROP = "performance_drop"
DATA_DRIFT = "data_drift"
PREDICTION_DRIFT = "prediction_drift"
VOLUME_ANOMALY = "volume_anomaly"
HIGH_LATENCY = "high_latency"
VALUE_DROP = "value_drop"
METRIC_THRESHOLD = "metric_threshold"
CALIBRATION_DRIFT = "calibration_drift"
DEGRADED_ANSWERS = "degraded_answers"

NAMED = 3


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When verdicts of one monitor become an incident.

    Attributes
    ----------
    name : str
        Unique in the deployment.
    monitor : Monitor
    severity : Severity
    runbook : str
        Path or address of the runbook; there is no page without one.
    subject : str
        Shell-style pattern over the verdicts' subjects (columns, metrics).
    hold : timedelta
        How long the condition must last before it fires.
    keep_firing : timedelta
        How long it must be clear before it resolves; doubles while the incident flaps.
    receivers : tuple of str
        Who is told if no route holds.
    routes : tuple of Route
        Of those that hold when it fires all receivers are told.
    inhibited_by : tuple of str
        Names of rules whose active incident explains this one and keeps it from firing.

    Raises
    ------
    ValueError
        If there is no runbook, or a duration is negative.
    """

    name: str
    monitor: Monitor
    severity: Severity
    runbook: str
    subject: str = "*"
    hold: timedelta = timedelta(0)
    keep_firing: timedelta = timedelta(0)
    receivers: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        if not self.runbook:
            raise ValueError(f"alert rule {self.name!r} has no runbook; no page without one")
        if min(self.hold, self.keep_firing) < timedelta(0):
            raise ValueError(f"alert rule {self.name!r}: hold and keep_firing cannot be negative")


@dataclass(frozen=True, slots=True)
class Signal:
    """What a rule's verdicts say together.

    ``active`` is None where they do not tell: too little data, errors, nothing judged.
    ``subjects`` are the drifted ones, the strongest first.
    """

    active: bool | None
    reason: str
    subjects: tuple[str, ...] = ()


def signal(rule: AlertRule, verdicts: Iterable[Verdict], about: tuple[str, ...] = ()) -> Signal:
    """Return what the latest verdicts say about a rule.

    Parameters
    ----------
    rule : AlertRule
    verdicts : iterable of Verdict
        Of one model; those of other monitors and subjects are passed over.
    about : tuple of str
        Subjects of the incident that is open. It is clear only once each of them is judged ok: a
        column that vanished from the data has not recovered.

    Examples
    --------
    >>> from homeostat.domain.decision import Severity
    >>> rule = AlertRule("model_down", Monitor.SERVICE, Severity.CRITICAL, "runbooks/model-down.md")
    >>> signal(rule, ()).active is None
    True
    """
    matched = [
        v for v in verdicts if v.monitor is rule.monitor and fnmatchcase(v.subject, rule.subject)
    ]
    drifted = sorted(
        (v for v in matched if v.status is Status.DRIFT), key=lambda v: (-v.evidence, v.subject)
    )
    if drifted:
        subjects = tuple(dict.fromkeys(v.subject for v in drifted if v.subject))
        return Signal(True, _told(drifted), subjects)
    fine = {v.subject for v in matched if v.status is Status.OK}
    waiting = sorted(set(about) - fine) if about else []
    if not fine or waiting:
        unknown = ", ".join(waiting) or "anything"
        return Signal(None, f"no judgement on {unknown}")
    return Signal(False, "back to normal")


def _told(drifted: list[Verdict]) -> str:
    reasons = list(dict.fromkeys(v.reason for v in drifted))
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return "; ".join(reasons[:NAMED]) + more


def default_rules(receivers: tuple[str, ...], runbooks: str = "runbooks") -> tuple[AlertRule, ...]:
    """Return the rules that every model starts with.

    Parameters
    ----------
    receivers : tuple of str
        Who is told about each of them.
    runbooks : str
        Folder or base address of the runbooks.

    Examples
    --------
    >>> [(rule.name, rule.severity.value) for rule in default_rules(("console",))][:2]
    [('data_fault', 'critical'), ('model_down', 'critical')]
    """
    minutes, hour, day = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)
    critical, warning = Severity.CRITICAL, Severity.WARNING
    now = timedelta(0)
    fault, down = (DATA_FAULT,), (DATA_FAULT, MODEL_DOWN)
    rows = (
        (DATA_FAULT, Monitor.DATA_QUALITY, critical, "*", now, hour, ()),
        (MODEL_DOWN, Monitor.SERVICE, critical, "availability", now, minutes, ()),
        (PERFORMANCE_DROP, Monitor.PERFORMANCE, critical, "*", now, hour, down),
        (DATA_DRIFT, Monitor.DATA_DRIFT, warning, "*", now, day, fault),
        (PREDICTION_DRIFT, Monitor.PREDICTION_DRIFT, warning, "*", now, day, down),
        (VOLUME_ANOMALY, Monitor.VOLUME, warning, "*", now, hour, ()),
        (HIGH_LATENCY, Monitor.SERVICE, warning, "latency*", 2 * minutes, minutes, (MODEL_DOWN,)),
        (DEGRADED_ANSWERS, Monitor.SERVICE, warning, DEGRADED, now, minutes, down),
        (VALUE_DROP, Monitor.VALUE, critical, "*", now, hour, down),
        (METRIC_THRESHOLD, Monitor.METRIC, warning, "*", now, hour, down),
        (CALIBRATION_DRIFT, Monitor.CALIBRATION, warning, "*", now, day, (*down, PERFORMANCE_DROP)),
    )
    return tuple(
        AlertRule(
            name=name,
            monitor=monitor,
            severity=severity,
            runbook=f"{runbooks}/{name.replace('_', '-')}.md",
            subject=subject,
            hold=hold,
            keep_firing=keep,
            receivers=receivers,
            inhibited_by=inhibited_by,
        )
        for name, monitor, severity, subject, hold, keep, inhibited_by in rows
    )
