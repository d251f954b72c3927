"""Plots and grids as SVG that runs no script and asks for nothing: for documents and mails.

Colours are those of `homeostat.reports.charts`, text has the colour of the text around it. Series
differ by shape and dash too, so that they can be told without colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from homeostat.domain.text import printable
from homeostat.reports.charts import GREY, SERIES
from homeostat.reports.plot import Dot, Form, Grid, Line, Marks, Picture, Plot, Scale, Square, cut
from homeostat.reports.scale import Ruler, ruler

WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 42, 26
NAME_WIDTH, ROW = 150, 22
LONGEST_NAME = 21
LONGEST_KEY = 24
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
CELL, TALL, MOST_SIDE = 110, 52, 12
ROOMY = 72
"""Pixels from which a cell has room for an interval."""
NEAR = 14
"""Pixels within which upright lines share one number."""


def svg(picture: Picture) -> str:
    """Return one ``svg`` element; names are text whatever they contain.

    Examples
    --------
    >>> from homeostat.reports.plot import Axis
    >>> svg(Plot("auc", Axis("UTC", Scale.TIME), Axis("auc"), empty="No labels yet"))[:4]
    '<svg'
    """
    if isinstance(picture, Grid):
        return _grid(picture) if picture.squares else _nothing(picture.title, picture.empty)
    if not picture.dots:
        return _nothing(picture.title, picture.empty)
    return _flat(picture) if picture.x.scale is Scale.NAMES else _upright(picture)


def _open(title: str, words: str, height: float) -> str:
    said = escape(f"{printable(title)}. {printable(words)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-label="{said}" '
        'font-family="system-ui, sans-serif" font-size="12">'
    )


def _nothing(title: str, words: str) -> str:
    middle = _text(WIDTH / 2, 40, words, "middle")
    box = f'<rect x="1" y="1" width="{WIDTH - 2}" height="68" fill="none" stroke="{GREY}" '
    return f'{_open(title, words, 70)}{box}stroke-dasharray="4 4"/>{middle}</svg>'


def _upright(plot: Plot) -> str:
    dots = plot.dots
    across = [_x(dot.x) for dot in dots] + [_x(line.x) for line in plot.upright]
    most = max((len(m.dots) for m in plot.marks if m.form is Form.BARS), default=0)
    inset = 0.4 * (WIDTH - LEFT - RIGHT) / most if most else 6.0
    x = ruler(plot.x, across, LEFT + inset, WIDTH - RIGHT - inset)
    y = _value_ruler(plot, HEIGHT - BOTTOM, TOP)
    parts = [_open(plot.title, plot.caption, HEIGHT), *_frame(plot, x, y)]
    parts += [_key(plot.marks)] if len(plot.marks) > 1 else []
    if plot.diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(_line(x.place(low), y.place(low), x.place(high), y.place(high), "3 3"))
    parts += [_level(line, y) for line in plot.lines if line.x is None]
    parts += _uprights(plot, x)
    for number, marks in enumerate(plot.marks):
        parts += _series(marks, number, x, y)
    return "".join((*parts, "</svg>"))


def _x(value: datetime | float | str | None) -> float:
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert isinstance(value, float | int)
    return float(value)


def _value_ruler(plot: Plot, start: float, end: float) -> Ruler:
    values = [line.y for line in plot.lines if line.y is not None]
    for dot in plot.dots:
        values += [dot.y, *((dot.low, dot.high) if dot.bounded else ())]
    if any(marks.form is Form.BARS for marks in plot.marks):
        values.append(0.0)
    return ruler(plot.y, values, start, end)


def _frame(plot: Plot, x: Ruler, y: Ruler) -> list[str]:
    parts = [_text(2, 12, cut(plot.y.title, 40), "start")]
    for value, label in y.ticks:
        at = y.place(value)
        parts.append(_line(LEFT, at, WIDTH - RIGHT, at, "", 0.25))
        parts.append(_text(LEFT - 6, at + 4, label, "end"))
    for value, label in x.ticks:
        wide = 3.3 * len(label)
        at = min(max(x.place(value), wide), WIDTH - wide)
        parts.append(_text(at, HEIGHT - BOTTOM + 16, label, "middle"))
    parts.append(_text(WIDTH - RIGHT, 12, cut(plot.x.title, 40), "end"))
    return parts


def _key(series: Sequence[Marks]) -> str:
    """Name all series; where there is no room each has as much as any other."""
    parts, at = [], float(LEFT)
    names = [cut(marks.name, LONGEST_KEY) for marks in series]
    fair = int(((WIDTH - LEFT) / len(names) - 26) / 6.4)
    if sum(26 + 6.4 * len(name) for name in names) > WIDTH - LEFT:
        names = [cut(name, fair) for name in names]
    for number, name in enumerate(names):
        wide = 26 + 6.4 * len(name)
        parts.append(_line(at, 26, at + 14, 26, DASHES[number % 6], 1.0, _colour(number), 2))
        parts.append(_shape(number, at + 7, 26))
        parts.append(_text(at + 19, 30, name, "start"))
        at += wide
    return "".join(parts)


def _uprights(plot: Plot, x: Ruler) -> list[str]:
    """Draw upright lines with their numbers: what they stand for is in the caption."""
    parts = []
    groups: list[tuple[float, list[int]]] = []
    for place, line in enumerate(plot.upright, 1):
        at = x.place(_x(line.x))
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM, "5 3", 0.8, words=_title(line.text)))
        if groups and abs(at - groups[-1][0]) < NEAR:
            groups[-1][1].append(place)
        else:
            groups.append((at, [place]))
    for at, places in groups:
        words = str(places[0]) if len(places) == 1 else f"{places[0]}-{places[-1]}"
        parts.append(_text(at, TOP - 2, words, "middle", 10))
    return parts


def _level(line: Line, y: Ruler) -> str:
    assert line.y is not None
    at = y.place(line.y)
    drawn = _line(LEFT, at, WIDTH - RIGHT, at, "5 3", 0.8, words=_title(line.text))
    return drawn + _text(WIDTH - RIGHT, at - 4, cut(line.text, 40), "end", 10)


def _series(marks: Marks, number: int, x: Ruler, y: Ruler) -> list[str]:
    colour, parts = _colour(number), []
    if marks.form is Form.BARS:
        width = max(2.0, 0.8 * (x.end - x.start) / max(len(marks.dots), 1))
        return [_bar(dot, x.place(_x(dot.x)) - width / 2, width, y, colour) for dot in marks.dots]
    joined = marks.form is Form.LINE
    for run in _runs(marks.dots):
        bounded = [dot for dot in run if dot.bounded]
        if joined and len(run) > 1:
            band = [f"{x.place(_x(d.x)):g},{y.place(d.high):g}" for d in bounded]
            band += [f"{x.place(_x(d.x)):g},{y.place(d.low):g}" for d in reversed(bounded)]
            parts.append(f'<polygon points="{" ".join(band)}" fill="{colour}" fill-opacity=".16"/>')
            line = " ".join(f"{x.place(_x(d.x)):g},{y.place(d.y):g}" for d in run)
            dash = f' stroke-dasharray="{DASHES[number % 6]}"' if DASHES[number % 6] else ""
            pen = f'fill="none" stroke="{colour}" stroke-width="1.8"{dash}'
            parts.append(f'<polyline points="{line}" {pen}/>')
        else:
            for dot in bounded:
                at = x.place(_x(dot.x))
                parts.append(_line(at, y.place(dot.low), at, y.place(dot.high), "", 0.8, colour))
        parts += [_shape(number, x.place(_x(d.x)), y.place(d.y), _said(d)) for d in run]
    return parts


def _runs(dots: Sequence[Dot]) -> list[list[Dot]]:
    runs: list[list[Dot]] = [[]]
    for dot in dots:
        if math.isfinite(dot.y):
            runs[-1].append(dot)
        else:
            runs.append([])
    return [run for run in runs if run]


def _bar(dot: Dot, left: float, width: float, y: Ruler, colour: str) -> str:
    if not math.isfinite(dot.y):
        return ""
    top, base = y.place(max(dot.y, 0.0)), y.place(min(dot.y, 0.0))
    bar = (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{max(base - top, 0.5):g}" '
        f'fill="{colour}" fill-opacity=".75">{_title(_said(dot))}</rect>'
    )
    if not dot.bounded:
        return bar
    middle = left + width / 2
    return bar + _line(middle, y.place(dot.low), middle, y.place(dot.high), "", 0.9)


def _flat(plot: Plot) -> str:
    """Draw names down the left side."""
    names = list(dict.fromkeys(str(dot.x) for dot in plot.dots))
    top = TOP if len(plot.marks) > 1 else 24
    height = top + ROW * len(names) + BOTTOM
    along = _value_ruler(plot, NAME_WIDTH, WIDTH - RIGHT)
    parts = [_open(plot.title, plot.caption, height), _text(WIDTH - RIGHT, 12, plot.y.title, "end")]
    parts += [_key(plot.marks)] if len(plot.marks) > 1 else []
    for value, label in along.ticks:
        at = along.place(value)
        parts.append(_line(at, top, at, height - BOTTOM, "", 0.25))
        parts.append(_text(min(at, WIDTH - 3.3 * len(label)), height - 8, label, "middle"))
    for place, name in enumerate(names):
        middle = top + ROW * (place + 0.5)
        parts.append(_text(NAME_WIDTH - 8, middle + 4, cut(name, LONGEST_NAME), "end"))
    for text, value in ((line.text, line.y) for line in plot.lines if line.y is not None):
        at = along.place(value)
        parts.append(_line(at, top, at, height - BOTTOM, "5 3", 0.9, words=_title(text)))
        words, room = cut(text, 30), WIDTH - RIGHT - at
        side = "start" if room > 5.5 * len(words) else "end"
        parts.append(_text(at, top - 3, words, side, 10))
    rows = {name: top + ROW * (place + 0.5) for place, name in enumerate(names)}
    for number, marks in enumerate(plot.marks):
        shift = (number - (len(plot.marks) - 1) / 2) * ROW / (len(plot.marks) + 0.5)
        for dot in marks.dots:
            if math.isfinite(dot.y):
                parts.append(_beside(dot, marks.form, number, rows[str(dot.x)] + shift, along))
    return "".join((*parts, "</svg>"))


def _beside(dot: Dot, form: Form, number: int, middle: float, along: Ruler) -> str:
    colour, at = _colour(number), along.place(dot.y)
    parts = []
    if form is Form.BARS:
        zero = along.place(0.0)
        left, wide = min(zero, at), max(abs(at - zero), 0.5)
        parts.append(
            f'<rect x="{left:g}" y="{middle - 4:g}" width="{wide:g}" height="8" fill="{colour}" '
            f'fill-opacity=".75">{_title(_said(dot))}</rect>'
        )
    if dot.bounded:
        low, high = along.place(dot.low), along.place(dot.high)
        parts.append(_line(low, middle, high, middle, "", 0.9, colour, 2))
    if form is not Form.BARS:
        parts.append(_shape(number, at, middle, _said(dot)))
    return "".join(parts)


def _grid(grid: Grid) -> str:
    rows, columns = grid.rows[:MOST_SIDE], grid.columns[:MOST_SIDE]
    wide = min(CELL, (WIDTH - 120) / len(columns))
    height = 46 + TALL * len(rows)
    parts = [_open(grid.title, grid.caption, height)]
    parts.append(_text(120, 14, f"{grid.column_title} →", "start"))
    parts.append(_text(2, 14, f"{grid.row_title} ↓", "start"))
    room = max(3, int(wide / 6.6))
    for place, name in enumerate(columns):
        parts.append(_text(120 + wide * (place + 0.5), 34, cut(name, room), "middle"))
    for place, name in enumerate(rows):
        parts.append(_text(112, 42 + TALL * (place + 0.5), cut(name, 16), "end"))
    for square in grid.squares:
        if square.row not in rows or square.column not in columns:
            continue
        left = 120 + wide * columns.index(square.column)
        parts += _square(square, left, 42 + TALL * rows.index(square.row), wide)
    return "".join((*parts, "</svg>"))


def _square(square: Square, left: float, top: float, wide: float) -> list[str]:
    """Draw a cell; a narrow one leaves its interval and rows to its title."""
    shade = 0.06 + 0.5 * min(max(square.share, 0.0), 1.0)
    words = f"{square.row} → {square.column}: {square.text} ({square.interval}), n {square.n:,}"
    middle = left + wide / 2 - 1
    box = f'x="{left:g}" y="{top:g}" width="{wide - 2:g}" height="{TALL - 2}"'
    fill = f'fill="{SERIES[0]}" fill-opacity="{shade:.2f}"'
    parts = [f"<rect {box} {fill}>{_title(words)}</rect>"]
    if wide < ROOMY:
        return [*parts, _text(middle, top + TALL / 2 + 3, square.text.rstrip(" %"), "middle", 10)]
    parts.append(_text(middle, top + 18, square.text, "middle"))
    parts.append(_text(middle, top + 32, square.interval, "middle", 10))
    return [*parts, _text(middle, top + 45, f"n {square.n:,}", "middle", 10)]


def _said(dot: Dot) -> str:
    at = f"{dot.x:%Y-%m-%d %H:%M} UTC" if isinstance(dot.x, datetime) else str(dot.x)
    interval = f" ({dot.low:.4g} to {dot.high:.4g})" if dot.bounded else ""
    rows = f", n {dot.n:,}" if dot.n else ""
    return f"{at}: {dot.y:.4g}{interval}{rows}"


def _title(words: str) -> str:
    return f"<title>{escape(printable(words))}</title>"


def _colour(number: int) -> str:
    return SERIES[number % len(SERIES)]


def _shape(number: int, x: float, y: float, words: str = "") -> str:
    """Draw a mark; the first series has discs, the next squares, triangles and diamonds."""
    fill, title = _colour(number), _title(words) if words else ""
    corners = {
        1: ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        2: ((0, -4), (4, 3), (-4, 3)),
        3: ((0, -4), (4, 0), (0, 4), (-4, 0)),
    }.get(number % 4)
    if corners is None:
        return f'<circle cx="{x:g}" cy="{y:g}" r="2.6" fill="{fill}">{title}</circle>'
    points = " ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{fill}">{title}</polygon>'


def _line(
    x1: float, y1: float, x2: float, y2: float, dash: str = "", opacity: float = 1.0,
    colour: str = GREY, width: float = 1, *, words: str = "",
) -> str:  # fmt: skip
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" '
        f'stroke-width="{width:g}" stroke-opacity="{opacity:g}"{dashes}>{words}</line>'
    )


def _text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    small = f' font-size="{size}"' if size != 12 else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="currentColor"{small}>'
        f"{escape(printable(words))}</text>"
    )
