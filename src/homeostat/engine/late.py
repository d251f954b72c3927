"""Rows that come after their hour was judged: in which hours, and how many.

An hour's rows are counted when it has ended, and again once an hour as long as `REACH`. What was
judged on fewer rows stands as it was judged; the metrics of its windows are measured again
(`homeostat.engine.restate`), and one decision says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.domain.window import Window, floor
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog

HOUR = timedelta(hours=1)
REACH = timedelta(days=90)
"""Age up to which an hour is looked at again; later rows are counted in its profile only."""
MOST_WINDOWS = 31
"""Metric windows whose late rows are dealt with in one tick; the others wait for the next."""


@dataclass(frozen=True, slots=True)
class LateMemory:
    """Rows of the newest hours, and what has come late so far.

    Attributes
    ----------
    until : datetime or None
        End of the last hour that was counted.
    counts : tuple of int
        Rows of each hour up to then when it was last looked at.
    rows, labels, corrected : int
        Rows that came after their hour was judged; labels that came, and that were corrected,
        after their window was measured.
    told : datetime or None
        When the newest of them were put on record.
    """

    until: datetime | None = None
    counts: tuple[int, ...] = ()
    rows: int = 0
    labels: int = 0
    corrected: int = 0
    told: datetime | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """An hour that has more rows than when it was judged."""

    hour: Window
    before: int
    after: int

    @property
    def rows(self) -> int:
        """Rows that came late."""
        return self.after - self.before


def late_key(model: str) -> str:
    """Return the state key of what is remembered of late rows."""
    return f"late:{model}"


def look(
    plan: ModelPlan, log: PredictionLog, memory: LateMemory, watched: datetime, now: datetime
) -> tuple[LateMemory, tuple[Arrived, ...]]:
    """Count the rows of closed hours once an hour, and say which hours have more than before.

    Parameters
    ----------
    plan : ModelPlan
    log : PredictionLog
    memory : LateMemory
    watched : datetime
        When monitoring began: nothing from before was judged.
    now : datetime

    Returns
    -------
    LateMemory, tuple of Arrived
        Hours by time. Those beyond `MOST_WINDOWS` keep their former count, so that the next look
        finds them.
    """
    until = floor(now, HOUR)
    first = max(_ceil(watched), until - REACH)
    if first >= until or (memory.until is not None and until <= memory.until):
        return memory, ()
    counts = list(log.counts(plan.spec, Window(first, until)))
    arrived: list[Arrived] = []
    taken = set[datetime]()
    for at, before in _known(memory):
        place = (at - first) // HOUR
        if place < 0 or counts[place] <= before:
            continue
        group = floor(at, max(plan.metric_window, HOUR))
        if group not in taken and len(taken) == MOST_WINDOWS:
            counts[place] = before
            continue
        taken.add(group)
        arrived.append(Arrived(Window(at, at + HOUR), before, counts[place]))
    return replace(memory, until=until, counts=tuple(counts)), tuple(arrived)


def noting(
    memory: LateMemory, arrived: Iterable[Arrived], labels: int, corrected: int, now: datetime
) -> LateMemory:
    """Return the memory with what a tick found added."""
    rows = sum(one.rows for one in arrived)
    if not rows + labels + corrected:
        return memory
    return replace(
        memory,
        rows=memory.rows + rows,
        labels=memory.labels + labels,
        corrected=memory.corrected + corrected,
        told=now,
    )


def _ceil(moment: datetime) -> datetime:
    down = floor(moment, HOUR)
    return down if down == moment else down + HOUR


def _known(memory: LateMemory) -> Iterator[tuple[datetime, int]]:
    """Yield the hours that were counted, and their rows."""
    if memory.until is not None:
        first = memory.until - len(memory.counts) * HOUR
        yield from ((first + n * HOUR, rows) for n, rows in enumerate(memory.counts))


def windows_of(arrived: Iterable[Arrived], step: timedelta) -> set[Window]:
    """Return the aligned windows of length `step` in which late rows fall.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2024, 1, 1, 23, tzinfo=UTC)
    >>> found = windows_of([Arrived(Window(at, at + HOUR), 0, 5)], timedelta(days=1))
    >>> [str(window) for window in found]
    ['2024-01-01T00:00/2024-01-02T00:00']
    """
    found = set[Window]()
    for one in arrived:
        start = floor(one.hour.start, step)
        while start < one.hour.end:
            found.add(Window(start, start + step))
            start += step
    return found
