"""Limits that an owner set on a figure, and how long it may be beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from homeostat.domain.point import Point

Side = Literal["", "below", "above"]


@dataclass(frozen=True, slots=True)
class Limit:
    """Limits of a figure.

    Attributes
    ----------
    above, below : float or None
        The figure must not lie above, or below.
    windows : int
        Windows in a row beyond a limit that make an alarm, and within that end it.
    min_rows : int
        Windows with fewer rows are not judged.
    sure : bool
        Only count a window whose 95 % interval is beyond the limit.

    Raises
    ------
    ValueError
        If there is no limit, they exclude each other, or there are no windows.
    """

    above: float | None = None
    below: float | None = None
    windows: int = 1
    min_rows: int = 0
    sure: bool = False

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("a static threshold needs a limit: above, below or both")
        if self.above is not None and self.below is not None and self.above < self.below:
            raise ValueError(f"nothing lies between below {self.below:g} and above {self.above:g}")
        if self.windows < 1:
            raise ValueError(f"an alarm needs at least one window, not {self.windows}")

    def side(self, point: Point) -> Side:
        """Return on which side of the limits a figure lies; empty: within them."""
        margin = 1.96 * point.error if self.sure else 0.0
        if self.below is not None and point.value + margin < self.below:
            return "below"
        if self.above is not None and point.value - margin > self.above:
            return "above"
        return ""

    def told(self, side: Side, point: Point) -> str:
        """Say where a figure lies."""
        if not side:
            return f"is {point.value:.4g}, within its limits"
        limit = self.below if side == "below" else self.above
        return f"is {point.value:.4g}, {side} the limit of {limit:.4g}"


@dataclass(frozen=True, slots=True)
class LimitState:
    """Windows in a row that say the opposite of ``firing``."""

    firing: bool = False
    against: int = 0

    def after(self, *, beyond: bool, windows: int) -> LimitState:
        """Return the state after one more judged window: so many in a row turn it.

        Examples
        --------
        >>> state = LimitState().after(beyond=True, windows=2)
        >>> state.firing, state.after(beyond=True, windows=2).firing
        (False, True)
        >>> state.after(beyond=False, windows=2)
        LimitState(firing=False, against=0)
        """
        against = self.against + 1 if beyond != self.firing else 0
        if against >= windows:
            return LimitState(not self.firing)
        return self if against == self.against else LimitState(self.firing, against)
