"""What happens in the demo's eight weeks, and when. Nobody tells the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.domain.window import floor

DAYS = 56
COARSE = timedelta(hours=4)
MIDDLE = timedelta(minutes=10)
FINE = timedelta(minutes=1)
NEW_PATTERN = 0.03  # share of payments that the new kind of fraud makes up
HISTORY_DAYS = 42  # of which a good four weeks have complete labels at the start


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to the model.

    Attributes
    ----------
    name, what : str
    start, end : datetime
        When the world does it; the new pattern never ends.
    alerts : tuple of str
        Alert rules that it may rightly fire.
    """

    name: str
    what: str
    start: datetime
    end: datetime
    alerts: tuple[str, ...] = ()

    @property
    def short(self) -> bool:
        """Whether it is over within a day."""
        return self.end - self.start < timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Story:
    """The events in order, from `start`."""

    start: datetime
    quiet: Event
    fault: Event
    pattern: Event
    bad_version: Event
    outage: Event

    @property
    def events(self) -> tuple[Event, ...]:
        """All events, in order of time."""
        return (self.quiet, self.fault, self.pattern, self.bad_version, self.outage)

    @property
    def end(self) -> datetime:
        """End of the story."""
        return self.start + timedelta(days=DAYS)

    @property
    def asked_at(self) -> datetime:
        """When somebody asks for a retraining in the middle of the data fault."""
        return self.fault.start + timedelta(hours=2)

    def moments(self) -> Iterator[datetime]:
        """Yield the times at which the engine ticks: minutes where minutes matter."""
        now = self.start
        while now < self.end:
            now += self._step(now)
            yield now

    def _step(self, moment: datetime) -> timedelta:
        """Return how long to wait at a moment; each step divides the next longer one."""
        if _around(self.bad_version, moment, MIDDLE) or _around(self.outage, moment, MIDDLE):
            return FINE
        near = any(_around(event, moment, COARSE) for event in self.events if event.short)
        return MIDDLE if near else COARSE


def _around(event: Event, moment: datetime, step: timedelta) -> bool:
    """Whether a moment lies within about two steps of the event."""
    start, end = floor(event.start, step), floor(event.end, step)
    return start - step <= moment < end + 2 * step


def story(start: datetime) -> Story:
    """Return the demo's story from a Monday at midnight."""

    def at(day: int, hour: int = 0) -> datetime:
        return start + timedelta(days=day, hours=hour)

    return Story(
        start,
        Event("quiet weeks", "weekday rhythm and a payday peak", start, at(14, 10)),
        Event(
            "upstream fault", "amounts arrive in cents instead of units",
            at(14, 10), at(14, 15), ("data_fault",),
        ),
        Event(
            "new fraud pattern", "a takeover fraud that the model has never seen",
            at(18), at(DAYS),
            ("performance_drop", "prediction_drift", "data_drift", "calibration_drift"),
        ),
        Event(
            "bad model", "a version with mixed-up labels is pushed by hand",
            at(47, 17), at(47, 17) + timedelta(minutes=20),
            ("performance_drop", "prediction_drift", "calibration_drift"),
        ),
        Event(
            "backend hangs", "the model stops answering",
            at(52, 18), at(52, 18) + timedelta(minutes=6), ("model_down", "high_latency"),
        ),
    )  # fmt: skip
