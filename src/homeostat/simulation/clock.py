"""A clock that moves only when told to."""

from __future__ import annotations

from datetime import datetime, timedelta


class SimulatedClock:
    """Months in seconds: time stands still between calls of `advance` and `set`.

    Parameters
    ----------
    start : datetime
        First wall time; time-zone aware.

    Raises
    ------
    ValueError
        If the start has no time zone.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> clock = SimulatedClock(datetime(2024, 1, 1, tzinfo=UTC))
    >>> clock.advance(timedelta(minutes=90)).isoformat()
    '2024-01-01T01:30:00+00:00'
    >>> clock.monotonic()
    5400.0
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a simulated clock starts at a time-zone aware time (UTC)")
        self._now = start
        self._elapsed = timedelta(0)

    def now(self) -> datetime:
        """Return the simulated wall time."""
        return self._now

    def monotonic(self) -> float:
        """Return the simulated seconds since the start, steps backwards left out."""
        return self._elapsed.total_seconds()

    def advance(self, by: timedelta) -> datetime:
        """Move both times forward and return the new wall time; raises ValueError if backwards."""
        if by < timedelta(0):
            raise ValueError(
                f"time cannot advance by {by}; use set() for a wall clock that jumps back"
            )
        self._now += by
        self._elapsed += by
        return self._now

    def set(self, moment: datetime) -> None:
        """Set the wall time, also backwards as NTP may; monotonic time never follows it back."""
        if moment.tzinfo is None:
            raise ValueError("a simulated clock is set to a time-zone aware time (UTC)")
        self._elapsed += max(moment - self._now, timedelta(0))
        self._now = moment
