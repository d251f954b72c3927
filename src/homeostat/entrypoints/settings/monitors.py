"""Settings of the monitors: how often each judges, and from what effect its owner cares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Count, Duration, Flag, Number, Weight, wrong


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        remedy = "write a day such as 2026-03-01, or a time such as 2026-03-01T12:00Z"
        raise wrong(f"is no time: {value!r}", remedy) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-03-01", "2026-03-01T12:00Z"]}),
]
"""A day or a time; in UTC unless it says otherwise."""


class Budget(Part):
    """How many false alarms the owner accepts, over all columns and monitors of a model."""

    alarms: Annotated[Number, Field(gt=0)] = 1.0
    """False alarms accepted ..."""
    per: Duration = timedelta(days=90)
    """... in this time."""


class Drift(Part):
    """Data drift and prediction drift: distributions against the reference."""

    window: Duration = timedelta(days=1)
    """Length of a window; one judgement each."""
    min_rows: Count = 50
    """Windows with fewer rows are inconclusive."""
    min_shift: Annotated[Number, Field(gt=0)] = 0.05
    """Shift of a number from which drift matters, in standard deviations of the reference."""
    min_spread: Annotated[Number, Field(gt=0)] = 0.15
    """Change of a number's spread that matters, relative, measured on ranks."""
    min_share: Weight = 0.045
    """Share of rows in other cells or categories from which drift matters."""
    min_correlation: Weight = 0.1
    """Change of the correlation of two numbers from which drift matters."""
    min_missing: Weight = 0.02
    """Change of the share of missing values from which drift matters."""
    reference: Literal["fixed", "rolling", "previous", "same_weekday"] = "fixed"
    """What windows are compared with: those from before the version was promoted; the newest ones;
    the previous period; or those of the same weekday among the newest."""
    reference_windows: Annotated[Count, Field(ge=4)] = 28
    """Windows of a reference that is not fixed."""
    renew: Count = 7
    """Windows after which a rolling reference moves on; it does not while inputs drift."""
    match: Literal["auto", "none", "hour", "weekday"] = "auto"
    """Rhythm that is taken out before windows are judged; auto: hour and weekday, where there are
    reference windows enough."""
    segments: Annotated[int, Field(ge=0, le=50)] = 8
    """Most segments whose inputs are judged beside all rows, those with the most rows; 0: none.
    They share drift's part of the alarm budget with all rows, half each."""


class Quality(Part):
    """Constraints of the features, and fault patterns such as a changed unit."""

    window: Duration = timedelta(minutes=30)
    """Length of a window; one judgement each."""
    min_rows: Count = 60
    """Windows with fewer rows are inconclusive."""
    min_rise: Weight = 0.05
    """Rise of a column's share of missing values from which it matters."""
    min_breach: Weight = 0.01
    """Rise of a column's share of values outside its constraints from which it matters."""


class Volume(Part):
    """Rows per window against the reference's rhythm."""

    window: Duration = timedelta(hours=1)
    """Length of a window; one judgement each."""
    min_change: Weight = 0.5
    """Change from which volume matters, as a part of what is expected."""
    match: Literal["none", "hour", "weekday", "hour_of_week"] = "hour"
    """Compare only with reference windows of the same hour of day, day of week, or both."""


class Performance(Part):
    """Realized performance on matured labels."""

    window: Duration = timedelta(days=1)
    """Length of a window of metrics."""
    margin: Weight = 0.02
    """Loss above the champion's baseline that the owner tolerates (losses lie in [0, 1])."""
    min_rows: Count = 30
    """Labelled rows before performance can be called ok, and before a window has metrics."""
    scale: Annotated[Number, Field(gt=0)] = 1.0
    """Regression only: the absolute error that counts as a loss of 1."""


class Calibration(Part):
    """Whether a binary model's probabilities come true as often as they say, on matured labels."""

    enabled: Flag = True
    """Whether it is judged."""
    tolerance: Annotated[Number, Field(gt=0)] = 0.2
    """Miscalibration that does not matter, in log-odds: 0.2 is a chance of 0.45 or 0.55 where the
    score says 0.5, and of 0.008 or 0.012 where it says 0.01. The champion's own, on rows held out,
    comes on top."""
    cells: Count = 5
    """Cells of similar score that are judged beside all rows; after a change, from the next
    version on."""
    min_rows: Count = 100
    """Labelled rows before calibration can be called ok."""


class Service(Part):
    """Whether the model itself answers, and how fast."""

    max_fallback: Weight = 0.02
    """Share of rows that a fallback tier may answer because the model failed."""
    max_latency: Duration = timedelta(milliseconds=250)
    """99 in 100 rows must be answered within this time."""
    max_degraded: Weight | None = 0.1
    """Share of a window's answers that may come from fallback tiers, whatever the reason; two
    windows in a row above it alarm. It is a limit and costs nothing of the alarm budget; null:
    none."""
    degraded_window: Duration = timedelta(minutes=5)
    """Length of such a window."""
    min_rows: Count = 30
    """Such windows with fewer answers are not judged."""


class Threshold(Part):
    """A threshold on the figures of a metric: a limit, or what its history makes usual."""

    metric: Annotated[str, Field(min_length=1)]
    """Name of the metric, such as auc, or of a business metric."""
    segment: str = ""
    """Judge the figures of these rows only, such as country=FR: one of the segments."""
    above: Number | None = None
    """It must not lie above."""
    below: Number | None = None
    """It must not lie below."""
    dynamic: Literal["above", "below", "both"] | None = None
    """Instead of a limit: alarm when it leaves what its history makes usual, this way."""
    windows: Count = 1
    """Limits only: windows in a row beyond it that make an alarm."""
    sure: Flag = False
    """Limits only: count a window only if its 95 % interval is beyond the limit."""
    min_rows: Count = 30
    """Windows with fewer rows are not judged."""
    min_change: Annotated[Number, Field(gt=0)] | None = None
    """Dynamic only: change that matters, in the metric's unit; default: one usual deviation."""
    history: Duration | None = None
    """Dynamic only: how far back the history reaches, 21 windows at least; default: 56 days, or 56
    windows where that is longer."""
    since: Moment | None = None
    """Dynamic only: history from before does not count; set it to accept a new level."""

    @model_validator(mode="after")
    def _limit_or_dynamic(self) -> Self:
        limits = [name for name in ("above", "below") if getattr(self, name) is not None]
        if self.dynamic is None and not limits:
            raise wrong("needs above, below or dynamic", "write for example below: 0.8")
        if self.dynamic is not None and limits:
            raise wrong("is a limit, and the threshold is dynamic", "make it two", limits[0])
        if self.above is not None and self.below is not None and self.above < self.below:
            raise wrong(f"is under below ({self.below:g})", "swap the two", "above")
        foreign = ("windows", "sure") if self.dynamic else ("min_change", "history", "since")
        for name in foreign:
            if name in self.model_fields_set:
                other = "limits" if self.dynamic else "dynamic thresholds"
                raise wrong(f"is for {other}", "remove it", name)
        return self

    @property
    def name(self) -> str:
        """What its verdicts are about."""
        of = f"{self.metric} of {self.segment}" if self.segment else self.metric
        return of if self.dynamic else f"{of} limit"


class Business(Part):
    """What predictions are worth: an expression over the row, and when to alarm."""

    value: str
    """Mean of EXPRESSION (a condition: its share), sum(EXPRESSION), or sum(...) / sum(...)."""
    better: Literal["higher", "lower"] = "higher"
    """Which way is good."""
    alert: Flag = True
    """Alarm when it leaves its usual level for the worse."""
    min_rows: Count = 30
    """Windows with fewer rows are not judged."""
    min_change: Annotated[Number, Field(gt=0)] | None = None
    """Change that matters, in its own unit; default: one usual deviation."""
    since: Moment | None = None
    """History from before does not count; set it to accept a new level."""


class Importance(Part):
    """Which columns the champion lives on, by permutation on rows whose labels are complete."""

    enabled: Flag = True
    """Whether it is measured."""
    every: Duration = timedelta(days=30)
    """Length of a window; one measurement each."""
    rows: Count = 2_000
    """Rows used at most; the model scores five times as many for each column."""
    columns: Count = 100
    """Columns measured at most."""


class Estimation(Part):
    """Metrics of windows whose labels have not come, such as ``estimated_accuracy``."""

    enabled: Flag = True
    """Whether they are estimated."""
    rows: Annotated[Count, Field(ge=300)] = 5_000
    """Labelled rows learnt from at most, the newest ones."""


class Early(Part):
    """Metrics of windows whose labels are partly there: each counts for those still to come."""

    enabled: Flag = True
    """Whether they are measured; not of models with audited labels, which are early anyway."""
    rows: Annotated[Count, Field(ge=300)] = 3_000
    """Rows used of a window at most, and to learn how long labels take."""


class Diagnosis(Part):
    """What rows say of a change that monitors have found: its cause, its parts, its carriers."""

    enabled: Flag = True
    """Whether rows are looked at; else what changed is told from verdicts only."""
    rows: Annotated[Count, Field(ge=300)] = 2_000
    """Rows of either side looked at, at most: so many labelled ones, and so many others."""


class Monitors(Part):
    """What is watched."""

    drift: Drift = Drift()
    """Data drift and prediction drift."""
    quality: Quality = Quality()
    """Data quality."""
    volume: Volume = Volume()
    """Rows per window."""
    performance: Performance = Performance()
    """Realized performance."""
    calibration: Calibration = Calibration()
    """Probabilities against matured labels, of binary models."""
    service: Service = Service()
    """Answers by fallback tiers, and latency."""
    thresholds: tuple[Threshold, ...] = ()
    """Thresholds on metrics."""
    importance: Importance = Importance()
    """Importance of the columns."""
    estimation: Estimation = Estimation()
    """Performance before labels come."""
    early: Early = Early()
    """Performance while labels come."""
