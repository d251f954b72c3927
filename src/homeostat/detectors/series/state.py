"""What is remembered of a series with a threshold that follows from its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from homeostat.detectors.series.alarm import Alarm
from homeostat.domain.window import Window
from homeostat.stats.changepoint import Tally


@dataclass(frozen=True, slots=True)
class SeriesState:
    """Evidence so far.

    Attributes
    ----------
    anchor : datetime or None
        End of the history that the evidence is held against.
    seen, starts, total, since
        Of `homeostat.stats.changepoint.Tally`, flat.
    onsets : tuple of datetime
        When the windows `starts` began; windows that were not judged lie between them.
    last, until : float, datetime or None
        Deviation of the last judged window, and its end.
    recent, weight : float
        Recent mean deviation in the figure's unit, and the windows behind it, at most
        `dynamic.RECENT`.
    alarm : Alarm or None
    calm, accepted : int
        Windows in a row within the band; times more that a level is told to be accepted.
    apart : tuple of Window
        Of past alarms: no history.
    """

    anchor: datetime | None = None
    seen: int = 0
    starts: tuple[int, ...] = ()
    total: tuple[float, ...] = (0.0,) * 4
    since: tuple[float, ...] = ()
    onsets: tuple[datetime, ...] = ()
    last: float = 0.0
    until: datetime | None = None
    recent: float = 0.0
    weight: float = 0.0
    alarm: Alarm | None = None
    calm: int = 0
    apart: tuple[Window, ...] = ()
    accepted: int = 0

    @property
    def firing(self) -> bool:
        """Whether there is an alarm."""
        return self.alarm is not None

    @property
    def tally(self) -> Tally:
        """The sums as arrays."""
        since = np.asarray(self.since, dtype=np.float64).reshape(len(self.starts), 2, 1)
        total = np.asarray(self.total, dtype=np.float64).reshape(4, 1)
        return Tally(self.seen, self.starts, total, since)

    def onsets_of(self, tally: Tally, start: datetime, every: timedelta) -> tuple[datetime, ...]:
        """Return when the windows began from which a change may have.

        Parameters
        ----------
        tally : Tally
            This one's, with one more window.
        start : datetime
            Of that window.
        every : timedelta
            Length of windows. A state from before onsets were kept has none: there, as if every
            window had been judged.
        """
        back = {at: start - (self.seen - at) * every for at in tally.starts}
        known = dict(zip(self.starts, self.onsets, strict=False))
        return tuple((back | known | {self.seen: start})[at] for at in tally.starts)
