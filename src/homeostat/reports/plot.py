"""A chart as values: what is drawn, with its units, its rows and its intervals.

One function per chart (`homeostat.reports.plots`) makes a `Plot` or a `Grid`. `drawing` turns it
into SVG for documents that run no script, `specification` into Vega-Lite for pages and notebooks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import isfinite

from homeostat.domain.text import printable

NAN = float("nan")


class Form(StrEnum):
    """How marks are drawn; each series of a plot has a shape of its own beside its colour."""

    LINE = "line"
    DOTS = "dots"
    BARS = "bars"


class Scale(StrEnum):
    """What an axis counts."""

    TIME = "time"
    NUMBER = "number"
    SHARE = "share"
    NAMES = "names"


@dataclass(frozen=True, slots=True)
class Dot:
    """One value, its interval, and the rows that it rests on.

    Attributes
    ----------
    x : datetime, float or str
        As its axis asks.
    y : float
        NaN: there is none, and a line breaks here.
    low, high : float
        Of the interval; NaN where there is none.
    n : int
        Rows; 0: not counted in rows.
    """

    x: datetime | float | str
    y: float
    low: float = NAN
    high: float = NAN
    n: int = 0

    @property
    def bounded(self) -> bool:
        """Whether it has a finite interval."""
        return isfinite(self.low) and isfinite(self.high)


@dataclass(frozen=True, slots=True)
class Marks:
    """A series: its name is data, and shown as text."""

    name: str
    dots: tuple[Dot, ...]
    form: Form = Form.LINE


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its title says the unit. ``low`` and ``high`` hold the ends; NaN: those of data."""

    title: str
    scale: Scale = Scale.NUMBER
    low: float = NAN
    high: float = NAN


@dataclass(frozen=True, slots=True)
class Line:
    """A line across the plot, at ``x`` (upright) or at ``y`` (level), and what it stands for."""

    text: str
    x: datetime | float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """Series over one axis.

    Attributes
    ----------
    title : str
    x, y : Axis
        With names on ``x`` they go down the left side, and ``y`` along the bottom.
    marks : tuple of Marks
        Without a finite value nothing is drawn but ``empty``.
    lines : tuple of Line
    diagonal : bool
        Draw ``y = x``.
    bands : str
        What ``low`` and ``high`` are.
    note : str
        What a reader needs to know to read it.
    empty : str
        Why there is nothing.
    """

    title: str
    x: Axis
    y: Axis
    marks: tuple[Marks, ...] = ()
    lines: tuple[Line, ...] = ()
    diagonal: bool = False
    bands: str = "95 % intervals"
    note: str = ""
    empty: str = "No data"

    @property
    def upright(self) -> tuple[Line, ...]:
        """Lines that are upright: they are numbered from 1 where they have no room for words."""
        return tuple(line for line in self.lines if line.x is not None)

    @property
    def dots(self) -> tuple[Dot, ...]:
        """All dots that have a value."""
        return tuple(dot for marks in self.marks for dot in marks.dots if isfinite(dot.y))

    @property
    def caption(self) -> str:
        """What stands below: intervals, rows, and the note; or why there is nothing."""
        dots = self.dots
        if not dots:
            return self.empty
        bands = self.bands if any(dot.bounded for dot in dots) else "no intervals"
        counts = rows(dot.n for dot in dots)
        lines = (f"{place}: {cut(line.text)}" for place, line in enumerate(self.upright, 1))
        return printable("; ".join(filter(None, (bands, counts, self.note, *lines))))


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of a grid: ``share`` shades it and ``text`` says it, ``interval`` how surely."""

    row: str
    column: str
    share: float
    text: str
    interval: str
    n: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells by two lists of names."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_title: str
    column_title: str
    squares: tuple[Square, ...]
    note: str = ""
    empty: str = "No data"

    @property
    def caption(self) -> str:
        """What stands below."""
        return self.note if self.squares else self.empty


Picture = Plot | Grid


def cut(text: str, most: int = 80) -> str:
    """Return a text that has room.

    Examples
    --------
    >>> cut("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def rows(counts: Iterable[int]) -> str:
    """Say on how many rows values rest; empty if none are counted.

    Examples
    --------
    >>> rows([1200, 300, 900]), rows([50]), rows([0])
    ('n 300 to 1,200 rows each', 'n 50 rows', '')
    """
    known = [count for count in counts if count]
    if not known:
        return ""
    least, most = min(known), max(known)
    if len(known) == 1:
        return f"n {least:,} rows"
    return f"n {least:,} rows each" if least == most else f"n {least:,} to {most:,} rows each"
