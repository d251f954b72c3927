"""Hours of the week in homeostat.yaml."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from homeostat.alerting.hours import Hours
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import wrong

CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _read_clock(value: object) -> object:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.fullmatch(CLOCK, value):
        raise wrong(f"is no time of day: {value!r}", 'write it such as "22:00"')
    return time.fromisoformat(value)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong(f"is no known time zone: {value!r}", "use one such as Europe/Berlin") from None
    return value


Clock = Annotated[
    time,
    BeforeValidator(_read_clock),
    WithJsonSchema({"type": "string", "pattern": CLOCK, "examples": ["22:00"]}),
    PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str, when_used="json"),
]
"""A local time of day such as ``"22:00"``."""

Zone = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone, such as ``Europe/Berlin``."""


class Stretch(Part):
    """A stretch of some days of the week."""

    start: Clock
    """Local time at which it begins."""
    end: Clock
    """Local time at which it ends; not after the start: on the next day."""
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)
    """Days on which it begins."""
    zone: Zone = "UTC"
    """Time zone, such as Europe/Berlin."""

    def hours(self) -> Hours:
        """Return the domain's view of it."""
        days = frozenset(DAYS.index(day) for day in self.days)
        return Hours(self.start, self.end, ZoneInfo(self.zone), days)
