"""Limits of a series as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from homeostat.alerting.conditions.signal import Facts, Series, Signal, State
from homeostat.domain.limit import Limit
from homeostat.domain.point import Point


@dataclass(frozen=True, slots=True)
class Static:
    """That a figure is beyond limits that the owner set.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from homeostat.domain.window import Window
    >>> day, start = timedelta(days=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> low = Static(Series("accuracy", day), Limit(below=0.8, min_rows=100))
    >>> point = Point(Window(start, start + day), 0.74, rows=500)
    >>> _, signal = low.evaluate(State(), [point], Facts(start + day))
    >>> signal.active, signal.reason
    (True, 'accuracy is 0.74, below the limit of 0.8')
    """

    series: Series
    limit: Limit

    @property
    def reach(self) -> timedelta:
        """As many windows as make an alarm."""
        return self.limit.windows * self.series.every

    def evaluate(
        self, state: State, points: Sequence[Point], _facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Hold each new figure to the limits; see `SeriesCondition`."""
        signal: Signal | None = None
        for point in points:
            unjudged = point.unjudged(self.limit.min_rows)
            if unjudged is not None:
                signal = Signal(None, f"{self.series}: {unjudged[1]}")
                continue
            side = self.limit.side(point)
            run = state.run.after(beyond=bool(side), windows=self.limit.windows)
            state = state if run is state.run else replace(state, run=run)
            reason = f"{self.series} {self.limit.told(side, point)}"
            signal = Signal(run.firing, reason, (str(self.series),) if run.firing else ())
        return state, signal
