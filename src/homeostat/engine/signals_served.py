"""What was answered between two ticks, added up to figures for alert rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.service.detector import FAULTS
from homeostat.domain.point import Point
from homeostat.domain.window import Window
from homeostat.serving.plan import Reason
from homeostat.stats.bitbins import count_bins, left_edge

QUANTILES: Mapping[str, float] = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
SHARES = ("error_rate", "fallback_share", "breaker_open")
REQUESTS = "requests"
SERVED = frozenset({REQUESTS, *SHARES, *QUANTILES})
"""Names of the series; of shares of rows, of milliseconds, and of rows in a series' ``every``."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """What the split answered in a stretch of time.

    Attributes
    ----------
    window : Window
    asked : int
        Rows answered by anybody.
    elsewhere : int
        Those that a fallback tier answered.
    reasons : mapping of str to int
        Rows by reason of the fallback.
    latencies : ndarray of float64, shape (m,)
        Milliseconds, of rows that the model answered.
    """

    window: Window
    asked: int
    elsewhere: int
    reasons: Mapping[str, int]
    latencies: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows counted since the last figure, and a histogram of latencies.

    ``cells`` are its occupied bins (`bitbins`), ``times`` how many latencies each holds.
    """

    every: timedelta
    start: datetime
    end: datetime
    asked: int = 0
    failed: int = 0
    elsewhere: int = 0
    refused: int = 0
    cells: tuple[int, ...] = ()
    times: tuple[int, ...] = ()

    def adding(self, served: Served) -> Tally:
        """Return the tally with a further stretch, which begins where it ends."""
        reasons = served.reasons
        cells, times = self._timed(served.latencies)
        return replace(
            self,
            end=served.window.end,
            asked=self.asked + served.asked,
            failed=self.failed + sum(reasons.get(reason, 0) for reason in FAULTS),
            elsewhere=self.elsewhere + served.elsewhere,
            refused=self.refused + reasons.get(Reason.BREAKER_OPEN.value, 0),
            cells=cells,
            times=times,
        )

    def _timed(self, latencies: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        known = latencies[np.isfinite(latencies)]
        if not known.size:
            return self.cells, self.times
        ((new, counts),) = count_bins(known, np.zeros(known.size, np.intp), 1)
        cells, places = np.unique(
            np.append(np.array(self.cells, new.dtype), new), return_inverse=True
        )
        weights = np.append(np.array(self.times, counts.dtype), counts)
        times = np.bincount(places, weights, cells.size).astype(np.int64)
        return tuple(cells.tolist()), tuple(times.tolist())

    def point(self, name: str) -> Point:
        """Return the figure of one of the `SERVED` series; NaN where nothing was asked.

        Quantiles are off by a bin's width at most, which is 0.8 % of them.

        Examples
        --------
        >>> from datetime import UTC
        >>> start, minute = datetime(2024, 1, 1, tzinfo=UTC), timedelta(minutes=1)
        >>> tally = Tally(minute, start, start + 2 * minute, asked=200, failed=3)
        >>> tally.point("requests").value, tally.point("error_rate").value
        (100.0, 0.015)
        >>> tally.point("latency_p99").value
        nan
        """
        window = Window(self.start, self.end)
        if name == REQUESTS:
            return Point(window, self.asked * (self.every / window.length), rows=self.asked)
        if name in QUANTILES:
            return self._latency(window, QUANTILES[name])
        counts = {"error_rate": self.failed, "fallback_share": self.elsewhere}
        if not self.asked:
            return Point(window, math.nan)
        share = counts.get(name, self.refused) / self.asked
        error = math.sqrt(share * (1.0 - share) / self.asked)
        return Point(window, share, error, self.asked)

    def _latency(self, window: Window, share: float) -> Point:
        if not self.times:
            return Point(window, math.nan)
        ends = np.cumsum(self.times)
        total = int(ends[-1])
        cell = self.cells[int(np.searchsorted(ends, share * (total - 1), side="right"))]
        low, high = left_edge(np.array([cell, cell + 1], np.uint32)).tolist()
        return Point(window, (low + high) / 2.0, rows=total)


def count(
    tallies: Iterable[Tally], served: Served, asked: Mapping[timedelta, Collection[str]]
) -> tuple[tuple[Tally, ...], dict[timedelta, Tally]]:
    """Add a stretch to the tally of each length; return those that go on, and those that are full.

    A tick may be longer than a figure's time; then the figure is of the whole tick.

    Parameters
    ----------
    tallies : iterable of Tally
        Those that went on.
    served : Served
    asked : mapping of timedelta to collection of str
        The names of the series that are looked at, by the time of a figure; latencies are counted
        only where one of them is.
    """
    known = {tally.every: tally for tally in tallies}
    open_, full = list[Tally](), dict[timedelta, Tally]()
    for every in sorted(asked):
        start = served.window.start
        before = known.get(every)
        if before is None or before.end != start:
            before = Tally(every, start, start)
        timed = not QUANTILES.keys().isdisjoint(asked[every])
        tally = before.adding(served if timed else replace(served, latencies=np.empty(0)))
        if tally.end - tally.start >= every:
            full[every] = tally
        else:
            open_.append(tally)
    return tuple(open_), full
