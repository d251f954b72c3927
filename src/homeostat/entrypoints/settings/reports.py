"""Reports that are made on a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import Field, Strict

from homeostat.entrypoints.settings.hours import Day, Zone
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.receivers import Mail, Receiver
from homeostat.entrypoints.settings.values import Duration, Name, nearest, wrong

Hour = Annotated[int, Strict(), Field(ge=0, le=23)]
DayOfMonth = Annotated[int, Strict(), Field(ge=1, le=28)]


class Scheduled(Part):
    """When a report is made, of what, and who gets it."""

    hour: Hour = 7
    """Hour of the day at which it is made, in the zone of reports."""
    receivers: tuple[Name, ...] = ()
    """Receivers of type mail that get it; without any it is only kept."""
    models: tuple[Name, ...] = ()
    """Models that it is about; default: all."""


class Weekly(Scheduled):
    """The report of the seven days before."""

    day: Day = "mon"
    """Day of the week on which it is made."""


class Monthly(Scheduled):
    """The report of the calendar month before."""

    day: DayOfMonth = 1
    """Day of the month on which it is made, 1 to 28."""


class Reports(Part):
    """Reports that are made on a schedule, kept, and mailed."""

    folder: str = ""
    """Folder in which they are kept, relative to this file; default: reports in the data folder."""
    keep: Duration = timedelta(days=730)
    """They are deleted after this time."""
    zone: Zone = "UTC"
    """Time zone of hours and days, such as Europe/Berlin."""
    weekly: Weekly | None = None
    """Made each week; default: not at all."""
    monthly: Monthly | None = None
    """Made each month; default: not at all."""


def check_reports(
    reports: Reports, receivers: Mapping[str, Receiver], models: Mapping[str, int]
) -> None:
    """Raise unless every receiver is there and takes mail, and every model is there."""
    named: dict[str, Scheduled | None] = {"weekly": reports.weekly, "monthly": reports.monthly}
    for name, part in named.items():
        if part is None:
            continue
        for place, receiver in enumerate(part.receivers):
            path = ("reports", name, "receivers", place)
            if receiver not in receivers:
                problem = f"no receiver is named {receiver!r}"
                raise wrong(problem, nearest(receiver, receivers), *path)
            if not isinstance(receivers[receiver], Mail):
                problem = (
                    f"{receiver!r} is of type {receivers[receiver].type}, and reports are files"
                )
                raise wrong(problem, "name a receiver of type mail", *path)
        for place, model in enumerate(part.models):
            if model not in models:
                problem = f"no model is named {model!r}"
                raise wrong(problem, nearest(model, models), "reports", name, "models", place)
