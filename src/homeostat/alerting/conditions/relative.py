"""How a figure stands to what it was, as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from homeostat.alerting.conditions.signal import Facts, Series, Signal, State
from homeostat.domain.limit import Limit, LimitState
from homeostat.domain.point import Point

FEWEST = 3
"""Figures that a trailing window needs."""


@dataclass(frozen=True, slots=True)
class Relative:
    """That a figure has fallen, or risen, by more than an amount.

    Attributes
    ----------
    series : Series
    amount : float
        Positive; in points of the figure or, with `ratio`, as a part of what it was.
    falls : bool
        Whether falling is bad; else rising is.
    ratio : bool
    trailing : timedelta or None
        It was its mean over so long before the window. None: what the champion's was on rows held
        out of its training.
    windows, min_rows, sure
        As of `Limit`.

    Raises
    ------
    ValueError
        If the amount is not positive.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from homeostat.domain.window import Window
    >>> day, start = timedelta(days=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> fell = Relative(Series("accuracy", day), 0.05)
    >>> point = Point(Window(start, start + day), 0.84, rows=500)
    >>> fell.evaluate(State(), [point], Facts(start + day, reference=0.9))[1].reason
    'accuracy is 0.84, 0.06 below the 0.9 of its reference; 0.05 is the limit'
    """

    series: Series
    amount: float
    falls: bool = True
    ratio: bool = False
    trailing: timedelta | None = None
    windows: int = 1
    min_rows: int = 0
    sure: bool = False

    def __post_init__(self) -> None:
        if not self.amount > 0.0:
            raise ValueError(f"a change of {self.amount:g} is none")

    @property
    def reach(self) -> timedelta:
        """The trailing window, and as many windows as make an alarm."""
        return self.windows * self.series.every + (self.trailing or timedelta(0))

    def evaluate(
        self, state: State, points: Sequence[Point], facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Compare each new figure with what it was; see `SeriesCondition`."""
        signal: Signal | None = None
        for point in points:
            unjudged = point.unjudged(self.min_rows)
            if unjudged is not None:
                signal = Signal(None, f"{self.series}: {unjudged[1]}")
                continue
            run, signal = self._judge(state, point, facts)
            trail = state.trail
            if self.trailing is not None:
                trail = trail.adding(point, self.trailing)
            state = replace(state, run=run, trail=trail)
        return state, signal

    def _judge(self, state: State, point: Point, facts: Facts) -> tuple[LimitState, Signal]:
        usual = self._usual(state, point, facts)
        if usual is None:
            return state.run, Signal(None, f"{self.series}: nothing to compare it with yet")
        allowed = self.amount * (abs(usual) if self.ratio else 1.0)
        limit = (
            Limit(below=usual - allowed, sure=self.sure)
            if self.falls
            else Limit(above=usual + allowed, sure=self.sure)
        )
        run = state.run.after(beyond=bool(limit.side(point)), windows=self.windows)
        signal = Signal(
            run.firing,
            self._told(point.value, usual),
            (str(self.series),) if run.firing else (),
        )
        return run, signal

    def _usual(self, state: State, point: Point, facts: Facts) -> float | None:
        if self.trailing is None:
            return facts.reference
        start = point.window.start
        before = state.trail.over(start - self.trailing, start)
        return None if before is None or before.count < FEWEST else before.mean

    def _told(self, value: float, usual: float) -> str:
        way = "below" if value < usual else "above"
        what = "reference" if self.trailing is None else f"last {self.trailing / _DAY:g} days"
        off = abs(value - usual)
        shown, limit = f"{off:.4g}", f"{self.amount:g}"
        if self.ratio:
            shown = f"{off / abs(usual):.1%}" if usual else shown
            limit = f"{self.amount:.1%}"
        return (
            f"{self.series} is {value:.4g}, {shown} {way} the {usual:.4g} of its {what}; "
            f"{limit} is the limit"
        )


_DAY = timedelta(days=1)
