"""How long the parts of a model's data are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages from which data is deleted.

    Attributes
    ----------
    features : timedelta
        Of a prediction, from which its features are deleted.
    records : timedelta
        Of a prediction, from which all of it is deleted, and its labels.
    profiles, quarantine : timedelta
        Of hourly profiles and of refused rows.
    """

    features: timedelta = timedelta(days=30)
    records: timedelta = timedelta(days=400)
    profiles: timedelta = timedelta(days=3653)
    quarantine: timedelta = timedelta(days=90)
