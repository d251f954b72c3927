"""What a detector says about one subject in one window."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from homeostat.domain.model import SEGMENT_JOINT
from homeostat.domain.window import Window

MISSING = "(missing)"
MOST_VALUE = 100
"""Characters of a value in the name of a segment."""


class Status(StrEnum):
    """Outcome of an evaluation; only ``DRIFT`` claims that something changed."""

    OK = "ok"
    DRIFT = "drift"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"
    ERROR = "error"


class Monitor(StrEnum):
    """What is watched."""

    DATA_DRIFT = "data_drift"
    PREDICTION_DRIFT = "prediction_drift"
    DATA_QUALITY = "data_quality"
    VOLUME = "volume"
    PERFORMANCE = "performance"
    CALIBRATION = "calibration"
    SERVICE = "service"
    VALUE = "value"
    METRIC = "metric"


DEGRADED = "degraded"
"""Subject of verdicts on the share of answers by fallback tiers: `Monitor.SERVICE`."""


@dataclass(frozen=True, slots=True)
class AlarmBudget:
    """How many false alarms the owner accepts in a period, over all columns and monitors.

    Examples
    --------
    >>> AlarmBudget().threshold(timedelta(days=1), share=0.5)
    180.0
    """

    alarms: float = 1.0
    period: timedelta = timedelta(days=90)

    def __post_init__(self) -> None:
        if not self.alarms > 0 or self.period <= timedelta(0):
            raise ValueError(
                "an alarm budget needs a positive number of alarms and a positive period"
            )

    @property
    def rate(self) -> float:
        """Alarms a day."""
        return self.alarms / (self.period / timedelta(days=1))

    def threshold(self, every: timedelta, share: float = 1.0) -> float:
        """Evidence (average run length in evaluations) at which to alarm.

        Parameters
        ----------
        every : timedelta
            Time between two evaluations.
        share : float
            Part of the budget, in (0, 1], that this monitor may spend.
        """
        return (self.period / every) / (self.alarms * share)


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """What a monitor may spend of the alarm budget; its configuration extends this.

    Attributes
    ----------
    budget : AlarmBudget
    every : timedelta
        Nominal time between evaluations.
    share : float
        Part of the budget that the monitor may spend, in (0, 1].

    Examples
    --------
    >>> BudgetShare(every=timedelta(hours=12), share=0.5).threshold
    360.0
    """

    budget: AlarmBudget = field(default_factory=AlarmBudget)
    every: timedelta = timedelta(days=1)
    share: float = 0.25

    @property
    def threshold(self) -> float:
        """Evidence at which to alarm, in units of `every`."""
        return self.budget.threshold(self.every, self.share)

    @property
    def rate(self) -> float:
        """False alarms a day that it may raise."""
        return self.share * self.budget.rate


@dataclass(frozen=True, slots=True)
class Verdict:
    """A detector's judgement, complete enough to be shown and recomputed.

    Attributes
    ----------
    monitor : Monitor
    model, version : str
        Empty version: all versions together.
    subject : str
        Column, metric, or ``""`` for the model as a whole.
    window : Window
        Event times judged.
    status : Status
    score : float
        Effect size in the statistic's own unit; NaN where there is none.
    effect_threshold : float
        Effect from which the owner cares.
    evidence : float
        Accumulated e-value; grows when the change is real.
    evidence_threshold : float
        Evidence at which the alarm budget is spent.
    p_value : float
        Of this window alone, under the reference's own variation; NaN where there is none.
    n_reference, n_current : int
        Rows behind the judgement.
    reason : str
        One sentence for people.
    details : tuple of (str, float)
        Further statistics, by name.
    """

    monitor: Monitor
    model: str
    subject: str
    window: Window
    status: Status
    score: float
    effect_threshold: float
    evidence: float
    evidence_threshold: float
    p_value: float
    n_reference: int
    n_current: int
    reason: str
    version: str = ""
    details: tuple[tuple[str, float], ...] = ()

    def detail(self, name: str, default: float = float("nan")) -> float:
        """Return one of the further statistics."""
        return dict(self.details).get(name, default)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """A metric of one window, with its interval and what it rests on.

    ``cohort`` is ``"matured"`` or ``"audit"``; ``coverage`` is the share of the window's
    predictions whose label is known; ``segment`` names the rows measured (`segment_name`), and is
    empty for all of them. NaN values are never written: no data, no point.
    """

    model: str
    version: str
    name: str
    window: Window
    value: float
    lower: float
    upper: float
    n: int
    coverage: float = 1.0
    cohort: str = ""
    segment: str = ""


def segment_value(value: str) -> str:
    """Return how a value shows in the name of a segment: a long one is cut, with a digest.

    Examples
    --------
    >>> segment_value("FR"), segment_value("x" * 12_000)[78:]
    ('FR', 'xx…5fdaa3e62da5c77e')
    >>> len(segment_value("x" * 12_000))
    97
    """
    if len(value) <= MOST_VALUE:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()
    return f"{value[: MOST_VALUE - 20]}…{digest[:16]}"


def segment_name(columns: Sequence[str], values: Sequence[str | float | None]) -> str:
    """Return what the rows with these values are called.

    Examples
    --------
    >>> segment_name(["country", "new"], ["FR", True]), segment_name(["country"], [None])
    ('country=FR & new=true', 'country=(missing)')

    A feature that was a number when the rows were logged:

    >>> segment_name(["country"], [4.0])
    'country=4.0'
    """
    pairs = zip(columns, map(_shown, values), strict=True)
    return f" {SEGMENT_JOINT} ".join(f"{name}={value}" for name, value in pairs)


def _shown(value: str | float | None) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    return segment_value(value) if isinstance(value, str) else str(value)
