"""How long a model's data is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import model_validator

from homeostat.domain.retention import Retention
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.upkeep import Retraining
from homeostat.entrypoints.settings.values import Duration, format_duration, wrong

DEFAULT = Retention()


class Keep(Part):
    """How long a model's data is kept; what is older is deleted."""

    features: Duration | None = None
    """The values of features; default: 30d, and as long before as labels and retraining need."""
    records: Duration | None = None
    """Ids, times, versions, scores and predictions, and the labels of these predictions; default:
    400d, or as long as labels and retraining need."""
    profiles: Duration = DEFAULT.profiles
    """Hourly summaries."""
    quarantine: Duration = DEFAULT.quarantine
    """Refused rows."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        records = self.records or DEFAULT.records
        if self.features is not None and self.features > records:
            remedy = f"records is {format_duration(records)}: no row is kept longer"
            raise wrong("is longer than records", remedy, "features")
        if self.profiles < records:
            raise wrong("is shorter than records", "summaries outlive rows", "profiles")
        return self

    def retention(self, maturity: timedelta, retraining: Retraining | None) -> Retention:
        """Return the log's view of it."""
        least = needed(maturity, retraining)
        records = self.records or max(DEFAULT.records, least)
        features = self.features or min(DEFAULT.features + least, records)
        return Retention(features, records, max(self.profiles, records), self.quarantine)

    def check(self, maturity: timedelta, retraining: Retraining | None) -> None:
        """Raise unless what is learned from lives long enough."""
        least = needed(maturity, retraining)
        for name in ("features", "records"):
            kept = getattr(self, name)
            if kept is not None and kept < least:
                problem = f"{format_duration(kept)} is shorter than what labels and retraining need"
                raise wrong(problem, f"use at least {format_duration(least)}", "retention", name)


def needed(maturity: timedelta, retraining: Retraining | None) -> timedelta:
    """Return how far back rows with their features are read."""
    if retraining is None:
        return maturity
    return maturity + retraining.window + retraining.holdout
