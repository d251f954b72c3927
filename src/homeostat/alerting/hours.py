"""Hours of the week, as people's clocks show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, tzinfo

DAYS = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of some days of the week.

    Attributes
    ----------
    start, end : time
        Local; where the end is not after the start it is on the next day.
    zone : tzinfo
    days : frozenset of int
        On which it starts; Monday is 0.

    Examples
    --------
    >>> from datetime import UTC
    >>> night = Hours(time(22), time(6), UTC, frozenset({4}))  # that of Friday to Saturday
    >>> [night.hold(datetime(2024, 1, day, hour, tzinfo=UTC)) for day, hour in
    ...  ((5, 21), (5, 22), (6, 5), (6, 6), (6, 22))]
    [False, True, True, False, False]
    """

    start: time
    end: time
    zone: tzinfo
    days: frozenset[int] = DAYS

    def hold(self, moment: datetime) -> bool:
        """Whether a moment is in these hours."""
        local = moment.astimezone(self.zone)
        clock, today = local.time(), local.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= clock < self.end
        begun = today in self.days and clock >= self.start
        return begun or ((today - 1) % 7 in self.days and clock < self.end)
