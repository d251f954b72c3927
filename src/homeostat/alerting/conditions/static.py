"""Limits of a series as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from homeostat.alerting.conditions.signal import Facts, Series, Signal, kept
from homeostat.domain.limit import Limit, LimitState
from homeostat.domain.point import Point


@dataclass(frozen=True, slots=True)
class StaticState:
    """Windows beyond the limits so far."""

    run: LimitState = field(default_factory=LimitState)
    kind: Literal["static"] = "static"


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
    >>> _, signal = low.evaluate(None, [point], Facts(start + day))
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
        self, state: object, points: Sequence[Point], _facts: Facts, /
    ) -> tuple[StaticState, Signal | None]:
        """Hold each new figure to the limits; see `SeriesCondition`."""
        now = kept(state, StaticState) or StaticState()
        signal: Signal | None = None
        for point in points:
            unjudged = point.unjudged(self.limit.min_rows)
            if unjudged is not None:
                signal = Signal(None, f"{self.series}: {unjudged[1]}")
                continue
            side = self.limit.side(point)
            run = now.run.after(beyond=bool(side), windows=self.limit.windows)
            now = now if run == now.run else StaticState(run)
            reason = f"{self.series} {self.limit.told(side, point)}"
            signal = Signal(run.firing, reason, (str(self.series),) if run.firing else ())
        return now, signal
