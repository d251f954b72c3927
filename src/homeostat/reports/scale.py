"""Where values lie along an axis, and which of them are labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from homeostat.reports.plot import Axis, Scale
from homeostat.reports.wording import number

MOST_TICKS = 5
MARGIN = 0.04
"""Of the values' range, left free beyond them; none beyond zero."""
HOURS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672, 1344, 2688, 8760)


@dataclass(frozen=True, slots=True)
class Ruler:
    """An axis laid along pixels.

    Attributes
    ----------
    low, high : float
        Ends of the axis, in its unit; of times, in seconds since 1970.
    start, end : float
        The same in pixels.
    ticks : tuple of (float, str)
        Values that are labelled.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Return the pixel of a value; what lies beyond an end lies on it."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def ruler(axis: Axis, values: Sequence[float], start: float, end: float) -> Ruler:
    """Lay an axis along pixels, with its ends where the axis or the values say.

    Examples
    --------
    >>> found = ruler(Axis("auc", low=0.0, high=0.9), [0.2, 0.9], 0.0, 90.0)
    >>> found.ticks[-1], found.place(0.9)
    ((0.8, '0.8'), 90.0)
    """
    least, most = min(values, default=0.0), max(values, default=1.0)
    margin = 0.0 if axis.scale is Scale.TIME else MARGIN * (most - least)
    low = axis.low if math.isfinite(axis.low) else least - margin * (least != 0.0)
    high = axis.high if math.isfinite(axis.high) else most + margin * (most != 0.0)
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        middle, reach = low, abs(low) * 0.05 or 1.0
        low, high = middle - reach, middle + reach
    if axis.scale is Scale.TIME:
        return Ruler(low, high, start, end, times(low, high))
    return Ruler(low, high, start, end, numbers(low, high, share=axis.scale is Scale.SHARE))


def numbers(low: float, high: float, *, share: bool = False) -> tuple[tuple[float, str], ...]:
    """Return round numbers between two others.

    Examples
    --------
    >>> [text for _, text in numbers(0.0, 1.0, share=True)]
    ['0 %', '20 %', '40 %', '60 %', '80 %', '100 %']
    """
    rough = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [k * step for k in range(first, last + 1)]
    places = max(0, -math.floor(math.log10(step * (100.0 if share else 1.0)) + 1e-9))
    if share:
        return tuple((value, f"{100 * value:.{places}f} %") for value in values)
    small = 1e-4 <= step < 1e6
    return tuple((v, f"{v:,.{places}f}" if small else number(v)) for v in values)


def times(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return whole hours or days, in UTC, between two times in seconds since 1970.

    Examples
    --------
    >>> [text for _, text in times(0.0, 3 * 86400.0)]
    ['1 Jan', '2 Jan', '3 Jan', '4 Jan']
    """
    hours = (high - low) / 3600.0
    step = next((h for h in HOURS if hours / h <= MOST_TICKS), HOURS[-1])
    every = step * 3600.0
    first, last = math.ceil(low / every), math.floor(high / every)
    whole = (k * every for k in range(first, last + 1))
    moments = [(at, _moment(at)) for at in whole if low <= at <= high]
    within_a_day = step < 24
    return tuple((at, _label(moment, within_a_day=within_a_day)) for at, moment in moments)


def _moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _label(moment: datetime, *, within_a_day: bool) -> str:
    day = f"{moment.day} {moment:%b}"
    return f"{day} {moment:%H:%M}" if within_a_day else day
