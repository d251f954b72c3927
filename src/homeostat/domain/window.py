"""Half-open intervals of event time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The event times ``start <= t < end``, both in UTC.

    Raises
    ------
    ValueError
        If the end is not after the start, or a time has no zone.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> day = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    >>> day.length
    datetime.timedelta(days=1)
    >>> datetime(2024, 1, 2, tzinfo=UTC) in day
    False
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs time-zone aware times (UTC)")
        if self.end <= self.start:
            raise ValueError(f"window ends at {self.end}, not after its start {self.start}")

    @property
    def length(self) -> timedelta:
        """Duration of the window."""
        return self.end - self.start

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%dT%H:%M}/{self.end:%Y-%m-%dT%H:%M}"


def floor(moment: datetime, step: timedelta) -> datetime:
    """Return the latest multiple of `step` since 1970 that is not after `moment`.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> floor(datetime(2024, 1, 1, 13, 47, tzinfo=UTC), timedelta(hours=1)).isoformat()
    '2024-01-01T13:00:00+00:00'
    """
    return EPOCH + ((moment - EPOCH) // step) * step


def closed_windows(since: datetime, until: datetime, step: timedelta) -> Iterator[Window]:
    """Yield the aligned windows of length `step` from `since` on that end by `until`."""
    start = floor(since, step)
    if start < since:
        start += step
    while start + step <= until:
        yield Window(start, start + step)
        start += step
