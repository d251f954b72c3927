"""That a series left the band in which its own past says it should lie, as a condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from homeostat.alerting.conditions.signal import Facts, Series, Signal, State
from homeostat.domain.point import Point
from homeostat.stats.band import (
    BLOCK,
    BLOCK_POINTS,
    LEARNING,
    RAREST,
    BandConfig,
    BandState,
    Reading,
    Ways,
    step,
)
from homeostat.stats.peaks import MOST

_DAY = timedelta(days=1)


def block_of(every: timedelta) -> timedelta:
    """Return the stretch of time in which there is at most one alarm of such a series.

    Examples
    --------
    >>> print(block_of(timedelta(minutes=5)), block_of(timedelta(days=1)), sep="; ")
    12:00:00; 12 days, 0:00:00
    """
    return max(timedelta(seconds=BLOCK), BLOCK_POINTS * every)


def rarest(every: timedelta) -> timedelta:
    """Return the shortest time to one false alarm that can be asked for; it is also the usual one.

    Examples
    --------
    >>> rarest(timedelta(minutes=5)).days, rarest(timedelta(days=1)).days
    (7, 168)
    """
    return RAREST * block_of(every)


@dataclass(frozen=True, slots=True)
class Band:
    """That a figure, or the recent ones together, lie where they rarely do at such a time.

    See `homeostat.stats.band`: level and rhythm of day and week are learnt as figures come, and
    what is rare is told by the series' own past.

    Attributes
    ----------
    series : Series
    rare : timedelta
        Time to one false alarm, if the future is like the past; at least `rarest`.
    ways : {"both", "above", "below"}
        Which deviations matter.
    min_change : float
        Deviations up to this, in the figure's own unit, do not matter.
    min_rows : int
        Figures of fewer rows say nothing, and nothing is learnt from them.

    Raises
    ------
    ValueError
        If `rare` or `min_change` is no limit.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from homeostat.domain.window import Window
    >>> hour, start = timedelta(hours=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> windows = [Window(start + n * hour, start + (n + 1) * hour) for n in range(15 * 24)]
    >>> usual = [Point(w, 100 if 8 <= w.start.hour < 20 else n % 3) for n, w in enumerate(windows)]
    >>> night = Point(windows[-1], 100.0)
    >>> band = Band(Series("requests", hour), timedelta(days=7))
    >>> state, _ = band.evaluate(State(), usual[:-1], Facts(start))
    >>> _, signal = band.evaluate(state, [night], Facts(start))
    >>> signal.active, signal.reason[:39]
    (True, 'requests is 100, usually 8 at such a ti')
    """

    series: Series
    rare: timedelta
    ways: Ways = "both"
    min_change: float = 0.0
    min_rows: int = 0

    def __post_init__(self) -> None:
        self._config()

    def _config(self) -> BandConfig:
        return BandConfig(self.rare.total_seconds(), self.ways, self.min_change)

    @property
    def reach(self) -> timedelta:
        """As much as is remembered, if it is on record."""
        return MOST * block_of(self.series.every)

    def evaluate(
        self, state: State, points: Sequence[Point], _facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Judge each new figure by those before, and learn from it; see `SeriesCondition`."""
        signal: Signal | None = None
        config, band = self._config(), state.band
        for point in points:
            unjudged = point.unjudged(self.min_rows)
            if unjudged is not None:
                signal = Signal(None, f"{self.series}: {unjudged[1]}")
                continue
            time = point.window.start.timestamp()
            band, reading = step(band, time, point.value, config)
            if band is not None and reading is not None:
                signal = self._tell(band, time, point.value, reading)
        return (state if band is state.band else replace(state, band=band)), signal

    def _tell(self, band: BandState, time: float, value: float, reading: Reading) -> Signal:
        known = len(band.peaks.past)
        if known < LEARNING:
            left = (LEARNING - known) * band.block / _DAY.total_seconds()
            return Signal(None, f"{self.series}: learning for {left:g} more days")
        active = band.firing(time)
        shown = f"{self.series} is {value:.4g}, usually {reading.expected:.2g} at such a time"
        shown += _limits(reading)
        if reading.beyond:
            shown += f"; {_SIGNS[reading.sign]}, as happens once in {_once(reading.once)}"
        elif active:
            since = timedelta(seconds=time - (band.loud or time))
            shown += f"; it was off {since / _HOUR:.3g} h before"
        return Signal(active, shown, (str(self.series),) if active else ())


_HOUR = timedelta(hours=1)
_SIGNS = {
    "value": "it is off",
    "mean": "the mean of the recent figures is off",
    "unrest": "the recent figures together are off",
}


def _limits(reading: Reading) -> str:
    low, high = (f"{limit:.4g}" for limit in (reading.lower, reading.upper))
    if math.isinf(reading.lower):
        return f" (up to {high})"
    return f" (from {low})" if math.isinf(reading.upper) else f" ({low} to {high})"


def _once(seconds: float) -> str:
    days = seconds / _DAY.total_seconds()
    return f"{days:.0f} days" if days < 365.0 else "more than a year"
