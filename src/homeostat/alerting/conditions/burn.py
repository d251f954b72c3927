"""How fast an error budget is spent, as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.alerting.conditions.signal import Facts, Series, Signal, State
from homeostat.alerting.conditions.trail import Trail
from homeostat.domain.point import Point

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A long and a short window in which the budget burns `factor` times too fast.

    The long one shows that much of it is gone, the short one that it still burns.
    """

    long: timedelta
    short: timedelta
    factor: float

    def __post_init__(self) -> None:
        if not timedelta(0) < self.short < self.long:
            raise ValueError(f"the short window ({self.short}) is not shorter than {self.long}")
        if not self.factor > 0.0:
            raise ValueError(f"a factor of {self.factor:g} is none")


USUAL = (
    Pair(_HOUR, 5 * _MINUTE, 14.4),
    Pair(6 * _HOUR, 30 * _MINUTE, 6.0),
    Pair(_DAY, 2 * _HOUR, 3.0),
    Pair(3 * _DAY, 6 * _HOUR, 1.0),
)
"""For an objective over 30 days: 2, 5, 10 and 10 % of the budget in the long window."""


def usual_pairs(objective: float) -> tuple[Pair, ...]:
    """Return the usual pairs, their factors no larger than all rows being bad makes them.

    Examples
    --------
    >>> [pair.factor for pair in usual_pairs(0.9)]
    [10.0, 6.0, 3.0, 1.0]
    """
    most = 1.0 / _budget(objective)
    return tuple(replace(pair, factor=min(pair.factor, most)) for pair in USUAL)


def _budget(objective: float) -> float:
    return round(1.0 - objective, 12)


@dataclass(frozen=True, slots=True)
class Burn:
    """That the rows that an objective allows to be bad are used up too fast.

    Google, *The Site Reliability Workbook*, chapter 5, section 6: an alarm of any pair whose long
    and short window both burn.

    Attributes
    ----------
    series : Series
        Shares of rows.
    objective : float
        Share of rows that must be good, in (0, 1).
    pairs : tuple of Pair
    good : bool
        Whether the figures are shares of good rows (accuracy), not of bad ones (error_rate).
    min_rows : int
        A long window with fewer rows says nothing.

    Raises
    ------
    ValueError
        If the objective leaves no budget, there is no pair, or the factor of one asks for more bad
        rows than there are rows.

    Examples
    --------
    >>> Burn(Series("error_rate", 5 * _MINUTE), 0.99).budget
    0.01
    >>> Burn(Series("error_rate", 5 * _MINUTE), 0.8)
    Traceback (most recent call last):
    ValueError: 14.4 times a budget of 0.2 is more than all rows: it can never fire; at most 5
    """

    series: Series
    objective: float
    pairs: tuple[Pair, ...] = USUAL
    good: bool = False
    min_rows: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.objective < 1.0:
            raise ValueError(f"an objective lies between 0 and 1, not at {self.objective:g}")
        if not self.pairs:
            raise ValueError("a burn rate needs a pair of windows")
        factor = max(pair.factor for pair in self.pairs)
        if factor > self.most:
            raise ValueError(
                f"{factor:g} times a budget of {self.budget:g} is more than all rows: it can "
                f"never fire; at most {self.most:g}"
            )

    @property
    def budget(self) -> float:
        """Share of rows that may be bad."""
        return _budget(self.objective)

    @property
    def most(self) -> float:
        """The largest factor that can be reached: every row is bad."""
        return 1.0 / self.budget

    @property
    def reach(self) -> timedelta:
        """The longest window."""
        return max(pair.long for pair in self.pairs)

    def evaluate(
        self, state: State, points: Sequence[Point], _facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Add the new shares and look at all pairs of windows; see `SeriesCondition`."""
        signal: Signal | None = None
        for point in points:
            if not point.usable:
                signal = Signal(None, f"{self.series}: no figure")
                continue
            trail = state.trail.adding(point, self.reach)
            signal = self._judge(trail, point.window.end)
            state = replace(state, trail=trail)
        return state, signal

    def _judge(self, trail: Trail, end: datetime) -> Signal:
        told: list[str] = []
        known = False
        for pair in self.pairs:
            long, short = (trail.over(end - span, end) for span in (pair.long, pair.short))
            if long is None or short is None or long.rows < self.min_rows:
                continue
            known = True
            # Time before the first figure counts as good: nothing of the budget was spent in it.
            seen = min(1.0, (end - trail.pieces[0].start) / pair.long)
            rates = (seen * self._burn(long.mean), self._burn(short.mean))
            told.append(_told(pair, *rates))
            if min(rates) >= pair.factor:
                return Signal(True, f"{self.series}: {told[-1]}", (str(self.series),))
        if not known:
            return Signal(None, f"{self.series}: fewer than {self.min_rows} rows")
        return Signal(False, f"{self.series}: {told[0]}")

    def _burn(self, share: float) -> float:
        return (1.0 - share if self.good else share) / self.budget


def _told(pair: Pair, long: float, short: float) -> str:
    return (
        f"the error budget burns {long:.3g} times too fast over {_span(pair.long)} and "
        f"{short:.3g} times over {_span(pair.short)}; {pair.factor:.3g} times is the limit"
    )


def _span(span: timedelta) -> str:
    hours = span / _HOUR
    return f"{hours:g} h" if hours >= 1.0 else f"{span / _MINUTE:g} min"
