"""An alarm on a series, from when its change began to when there is evidence that it is over."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from homeostat.stats.seasonal import Seasonal

LASTING = 20.0
"""Windows over which an alarm's deviation is averaged, exponentially."""

FARTHEST = 3.0
"""Deviation up to which a window counts for an alarm's, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an alarm is about.

    Attributes
    ----------
    onset : datetime
        When the change probably began.
    shift, windows : float
        Mean deviation in standard deviations of a window, at most `FARTHEST`, and the windows
        behind it, at most `LASTING`.
    back : float
        Log evidence that it is over.
    """

    onset: datetime
    shift: float
    windows: float
    back: float = 0.0

    def followed(self, seasonal: Seasonal, deviation: float, news: float, least: float) -> Alarm:
        """Return the alarm after one more window.

        The evidence is the log likelihood ratio of usual news to news that is shifted as much as
        the alarm's, in a cumulative sum that starts again whenever the shift is likelier (Page,
        "Continuous inspection schemes", Biometrika 1954): while the shift lasts, it reaches
        ``log(t)`` no oftener than once in ``t`` windows.

        Parameters
        ----------
        seasonal : Seasonal
        deviation, news : float
            Of the window.
        least : float
            Shift that matters, in standard deviations of a window; a smaller one is over as soon
            as one of this size is.
        """
        kept = min(self.windows, LASTING - 1.0)
        shift = (kept * self.shift + _clipped(deviation)) / (kept + 1.0)
        # News is a deviation less what memory carried over, so a lasting shift shows less in it.
        lasting = math.sqrt((1.0 - seasonal.memory) / (1.0 + seasonal.memory))
        size = lasting * max(abs(shift), least)
        # One window far off on the other side is no proof that the level is back.
        seen = max(math.copysign(1.0, shift) * news, -1.0)
        back = max(0.0, self.back + size * (size / 2.0 - seen) / seasonal.inflation)
        return replace(self, shift=shift, windows=kept + 1.0, back=back)


def begin(onset: datetime, shift: float, windows: float) -> Alarm:
    """Return an alarm about a change of this many standard deviations."""
    return Alarm(onset, _clipped(shift), windows)


def _clipped(deviation: float) -> float:
    return min(max(deviation, -FARTHEST), FARTHEST)
