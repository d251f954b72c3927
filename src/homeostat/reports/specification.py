"""Plots and grids as Vega-Lite specifications: for pages and notebooks (ADR 0004)."""

from __future__ import annotations

from datetime import datetime
from math import isfinite

from homeostat.reports.charts import GREY, LABEL_PIXELS, SERIES, Row, Spec, chart, empty
from homeostat.reports.plot import Axis, Dot, Form, Grid, Line, Picture, Plot, Scale

ROW = 22
TYPES = {
    Scale.TIME: "temporal",
    Scale.NUMBER: "quantitative",
    Scale.SHARE: "quantitative",
    Scale.NAMES: "nominal",
}
FORMS = {Form.LINE: "line", Form.DOTS: "point", Form.BARS: "bar"}
SHAPES = ["circle", "square", "triangle-up", "diamond"]


def specification(picture: Picture) -> Spec:
    """Return the chart as plain values; names are data, never part of an expression.

    Examples
    --------
    >>> specification(Grid("confusion", (), (), "true", "predicted", (), empty="No labels"))[
    ...     "description"
    ... ]
    'No labels'
    """
    if isinstance(picture, Grid):
        return _grid(picture) if picture.squares else empty(picture.empty)
    return _plot(picture) if picture.dots else empty(picture.empty)


def _plot(plot: Plot) -> Spec:
    flat = plot.x.scale is Scale.NAMES
    across, along = ("y", "x") if flat else ("x", "y")
    colour: Spec = {
        "field": "series",
        "type": "nominal",
        "title": None,
        "scale": {"domain": [marks.name for marks in plot.marks], "range": list(SERIES)},
        "legend": {"labelLimit": LABEL_PIXELS} if len(plot.marks) > 1 else None,
    }
    place = _channel(plot.x, "x") | ({"sort": None} if flat else {})
    value = _channel(plot.y, "value")
    low: Spec = {along: value | {"field": "low"}, f"{along}2": {"field": "high"}}
    tooltip = [
        {"field": field, "type": "nominal"}
        for field in ("series", "x", "value", "low", "high", "rows")
    ]
    layers: list[Spec] = []
    for marks in plot.marks:
        shown: Spec = {across: place, "color": colour, "tooltip": tooltip}
        data: Spec = {"data": {"values": [_row(marks.name, dot) for dot in marks.dots]}}
        mark: Spec = {"type": FORMS[marks.form], "invalid": "break-paths-show-domains"}
        if marks.form is Form.LINE:
            band: Spec = {"mark": {"type": "area", "opacity": 0.16}, "encoding": shown | low}
            layers.append(data | band)
        else:
            layers.append(data | {"mark": {"type": "rule"}, "encoding": shown | low})
        mark |= {"filled": True} if marks.form is Form.DOTS else {}
        mark |= {"point": True} if marks.form is Form.LINE else {}
        shape: Spec = {"field": "series", "type": "nominal", "scale": {"range": SHAPES}}
        dots: Spec = {"shape": shape | {"legend": None}} if marks.form is Form.DOTS else {}
        layers.append(data | {"mark": mark, "encoding": shown | {along: value} | dots})
    layers += [_line(line, across, along, plot) for line in plot.lines]
    layers += [_diagonal()] if plot.diagonal else []
    names = {str(dot.x) for dot in plot.dots}
    height = max(60, ROW * len(names)) if flat else 240
    return chart(f"{plot.title}. {plot.caption}", height, title=_titled(plot), layer=layers)


def _titled(picture: Picture) -> Spec:
    return {"text": picture.title, "subtitle": picture.caption, "anchor": "start"}


def _channel(axis: Axis, field: str) -> Spec:
    scale: Spec = {"type": "utc"} if axis.scale is Scale.TIME else {}
    if isfinite(axis.low) and isfinite(axis.high):
        scale["domain"] = [axis.low, axis.high]
    elif axis.scale in {Scale.NUMBER, Scale.SHARE}:
        scale["zero"] = axis.low == 0.0
    found: Spec = {"field": field, "type": TYPES[axis.scale], "title": axis.title}
    found |= {"scale": scale} if scale else {}
    return found | ({"axis": {"format": "%"}} if axis.scale is Scale.SHARE else {})


def _row(series: str, dot: Dot) -> Row:
    at = dot.x.isoformat(timespec="seconds") if isinstance(dot.x, datetime) else dot.x
    return {
        "series": series,
        "x": at,
        "value": dot.y if isfinite(dot.y) else None,
        "low": dot.low if dot.bounded else None,
        "high": dot.high if dot.bounded else None,
        "rows": dot.n or None,
    }


def _line(line: Line, across: str, along: str, plot: Plot) -> Spec:
    if line.x is not None:
        at = line.x.isoformat(timespec="seconds") if isinstance(line.x, datetime) else line.x
        encoding: Spec = {across: {"field": "at", "type": TYPES[plot.x.scale]}}
    else:
        at = float(line.y if line.y is not None else 0.0)
        encoding = {along: {"field": "at", "type": "quantitative"}}
    what: Spec = {"tooltip": {"field": "what", "type": "nominal"}}
    return {
        "data": {"values": [{"at": at, "what": line.text}]},
        "mark": {"type": "rule", "color": GREY, "strokeDash": [5, 3]},
        "encoding": encoding | what,
    }


def _diagonal() -> Spec:
    ends: list[Row] = [{"x": 0.0, "value": 0.0}, {"x": 1.0, "value": 1.0}]
    place: Spec = {"type": "quantitative"}
    return {
        "data": {"values": ends},
        "mark": {"type": "line", "color": GREY, "strokeDash": [3, 3]},
        "encoding": {"x": place | {"field": "x"}, "y": place | {"field": "value"}},
    }


def _grid(grid: Grid) -> Spec:
    values: list[Row] = [
        {
            "row": s.row,
            "column": s.column,
            "share": s.share,
            "text": s.text,
            "interval": s.interval,
            "rows": s.n,
        }
        for s in grid.squares
    ]
    x: Spec = {"field": "column", "type": "nominal", "title": grid.column_title, "sort": None}
    y: Spec = {"field": "row", "type": "nominal", "title": grid.row_title, "sort": None}
    shade: Spec = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": [0.06, 0.56]},
        "legend": None,
    }
    tooltip = [
        {"field": field, "type": "nominal"}
        for field in ("row", "column", "text", "interval", "rows")
    ]
    layers: list[Spec] = [
        {"mark": {"type": "rect", "color": SERIES[0]}, "encoding": {"opacity": shade}},
        {"mark": {"type": "text"}, "encoding": {"text": {"field": "text", "type": "nominal"}}},
    ]
    encoding: Spec = {"x": x, "y": y, "tooltip": tooltip}
    return chart(
        f"{grid.title}. {grid.caption}", max(80, 40 * len(grid.rows)),
        title=_titled(grid), data={"values": values}, encoding=encoding, layer=layers,
    )  # fmt: skip
