"""What a series usually is at an hour and weekday, learnt one point after the other.

A level, plus what the hour of day adds, plus what the day of week adds. Each is a running mean of
what the other two leave (backfitting; Buja, Hastie and Tibshirani 1989), over a memory of its own,
so that whatever lasts is followed; hours and weekdays count the less, the fewer of them were seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

HOUR, DAY, WEEK = 3_600.0, 86_400.0, 604_800.0
_HOUR_VISITS, _DAY_VISITS = 14.0, 4.0
"""Visits that the means of hours, and of weekdays, go back, exponentially."""
_DOUBT = 1.0
"""Visits that what it adds must outweigh: the first one counts half."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What parts of a cycle add, and how many points each of them has had."""

    adds: tuple[float, ...]
    points: tuple[int, ...]

    @staticmethod
    def of(count: int) -> Slots:
        """Return slots that add nothing yet."""
        return Slots((0.0,) * count, (0,) * count)

    def added(self, slot: int, share: float) -> float:
        """Return what a slot is taken to add, if a point is that share of a visit."""
        seen = self.points[slot] * share
        return self.adds[slot] * seen / (seen + _DOUBT)

    def learning(self, slot: int, deviation: float, share: float, visits: float) -> Slots:
        """Return the slots after a point that lay so far off what was expected with this one."""
        count = self.points[slot] + 1
        left = deviation + self.added(slot, share)
        rate = max(share / visits, 1.0 / count)
        mean = self.adds[slot] + rate * (left - self.adds[slot])
        return Slots(
            (*self.adds[:slot], mean, *self.adds[slot + 1 :]),
            (*self.points[:slot], count, *self.points[slot + 1 :]),
        )


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Level and rhythm of a series so far.

    Attributes
    ----------
    level : float
    count : int
        Points behind the level.
    hours, weekdays : Slots
        24 hours of the day in UTC, and 7 weekdays (the first is Thursday, as 1 January 1970 was).

    Examples
    --------
    Nights are 2 lower; after a week the difference of day and night is known, nearly:

    >>> rhythm = Rhythm(5.0)
    >>> for hour in range(7 * 24):
    ...     time = hour * HOUR
    ...     value = 5.0 if hour % 24 >= 8 else 3.0
    ...     off = value - rhythm.expected(time, HOUR)
    ...     rhythm = rhythm.learning(time, off, HOUR, WEEK)
    >>> day, night = (rhythm.expected(WEEK + hour * HOUR, HOUR) for hour in (15, 3))
    >>> round(day - night, 1)
    1.7
    """

    level: float
    count: int = 0
    hours: Slots = field(default_factory=lambda: Slots.of(24))
    weekdays: Slots = field(default_factory=lambda: Slots.of(7))

    def expected(self, time: float, step: float) -> float:
        """Return what is usual.

        Parameters
        ----------
        time : float
            Seconds since 1 January 1970.
        step : float
            Seconds between two points.
        """
        found = self.level
        if step < DAY:
            found += self.hours.added(_hour(time), min(step / HOUR, 1.0))
        if step < WEEK:
            found += self.weekdays.added(_weekday(time), min(step / DAY, 1.0))
        return found

    def learning(self, time: float, deviation: float, step: float, memory: float) -> Rhythm:
        """Return the rhythm after a point that lay so far off.

        Parameters
        ----------
        time, step : float
            As of `expected`.
        deviation : float
            The point minus what was expected.
        memory : float
            Seconds in which a lasting change of level is followed.
        """
        count = self.count + 1
        hours, weekdays = self.hours, self.weekdays
        if step < DAY:
            share = min(step / HOUR, 1.0)
            hours = hours.learning(_hour(time), deviation, share, _HOUR_VISITS)
        if step < WEEK:
            share = min(step / DAY, 1.0)
            weekdays = weekdays.learning(_weekday(time), deviation, share, _DAY_VISITS)
        rate = max(min(1.0, step / memory), 1.0 / count)
        return Rhythm(self.level + rate * deviation, count, hours, weekdays)

    def moved(self, by: float, count: int) -> Rhythm:
        """Return the rhythm at another level that only so many points speak for."""
        return replace(self, level=self.level + by, count=count)


def _hour(time: float) -> int:
    return int(time % DAY // HOUR)


def _weekday(time: float) -> int:
    return int(time // DAY) % 7
