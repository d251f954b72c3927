"""Alert rules: which condition wakes whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from homeostat.alerting.conditions.kinds import Condition
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.routes import Route
from homeostat.domain.decision import Severity
from homeostat.domain.verdict import DEGRADED, Monitor

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

MISSING = ".missing"
"""Ends the name of the rule that tells of missing data of another one."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When a condition becomes an incident.

    Attributes
    ----------
    name : str
        Unique in the model.
    condition : Condition
        On verdicts of one monitor, or on the figures of a series.
    severity : Severity
    runbook : str
        Path or address of the runbook; there is no page without one.
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
    own : bool
        Whether the owner wrote it; else it is built in.
    series : Series or None
        What the condition looks at, if that is figures.
    about : str
        That, or the monitor: an incident ends when its rule is about something else.
    mark : str
        Tells conditions that are not the same apart.

    Raises
    ------
    ValueError
        If there is no runbook, or a duration is negative.
    """

    name: str
    condition: Condition
    severity: Severity
    runbook: str
    hold: timedelta = timedelta(0)
    keep_firing: timedelta = timedelta(0)
    receivers: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    own: bool = False
    series: Series | None = field(init=False, default=None)
    about: str = field(init=False, default="")
    mark: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not self.runbook:
            raise ValueError(f"alert rule {self.name!r} has no runbook; no page without one")
        if min(self.hold, self.keep_firing) < timedelta(0):
            raise ValueError(f"alert rule {self.name!r}: hold and keep_firing cannot be negative")
        condition = self.condition
        series = None if isinstance(condition, Verdicts) else condition.series
        about = condition.monitor.value if isinstance(condition, Verdicts) else str(series)
        mark = hashlib.sha256(repr(condition).encode()).hexdigest()[:16]
        for name, value in (("series", series), ("about", about), ("mark", mark)):
            object.__setattr__(self, name, value)


def parents_first(rules: Iterable[AlertRule]) -> tuple[AlertRule, ...]:
    """Order rules so that each comes after the ones that inhibit it; cycles keep their order."""
    waiting, ordered = list(rules), list[AlertRule]()
    while waiting:
        names = {rule.name for rule in waiting}
        later = [rule for rule in waiting if names & set(rule.inhibited_by) - {rule.name}]
        if len(later) == len(waiting):
            return (*ordered, *waiting)
        ordered += (rule for rule in waiting if not names & set(rule.inhibited_by) - {rule.name})
        waiting = later
    return tuple(ordered)


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
        (PREDICTION_DRIFT, Monitor.PREDICTION_DRIFT, warning, "*", now, day, (*down, DATA_DRIFT)),
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
            condition=Verdicts(monitor, subject),
            severity=severity,
            runbook=f"{runbooks}/{name.replace('_', '-')}.md",
            hold=hold,
            keep_firing=keep,
            receivers=receivers,
            inhibited_by=inhibited_by,
        )
        for name, monitor, severity, subject, hold, keep, inhibited_by in rows
    )
