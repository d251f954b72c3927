"""Settings of the monitors: how often each judges, and from what effect its owner cares."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Count, Duration, Number, Weight


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
    """Labelled rows before performance can be called ok."""
    scale: Annotated[Number, Field(gt=0)] = 1.0
    """Regression only: the absolute error that counts as a loss of 1."""


class Service(Part):
    """Whether the model itself answers, and how fast."""

    max_fallback: Weight = 0.02
    """Share of rows that a fallback tier may answer because the model failed."""
    max_latency: Duration = timedelta(milliseconds=250)
    """99 in 100 rows must be answered within this time."""


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
    service: Service = Service()
    """Answers by fallback tiers, and latency."""
