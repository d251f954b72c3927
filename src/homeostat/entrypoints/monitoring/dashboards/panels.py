"""Parts of Grafana dashboards in the classic JSON, which every version since 9 reads.

Only what is asked for is written; Grafana fills in the rest. Data sources are a variable, ids are
given by position, and nothing refers to an installation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict, Unpack

Tree = dict[str, object]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
SCHEMA = 39
"""Version of the classic JSON: that of Grafana 10 and 11."""
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
MODEL = 'model=~"$model"'

SECONDS, SHARE, COUNT, PER_SECOND = "s", "percentunit", "short", "reqps"
ROWS, BYTES, DATE, PLAIN = "short", "bytes", "dateTimeFromNow", "none"


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks Prometheus.

    Attributes
    ----------
    expr : str
    legend : str
        Names of the series, with labels such as ``{{model}}``.
    instant : bool
        Only the newest value, as in tables.
    exemplars : bool
        Whether traces are shown as points, where Prometheus stores them.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel without its place.

    Attributes
    ----------
    title, kind : str
        ``kind`` is Grafana's name of the panel type.
    unit : str
    queries : tuple of Query
    about : str
        Shown when one points at the title.
    width, height : int
        In Grafana's grid of 24 columns.
    steps : tuple of (float or None, str)
        Thresholds and their colours, from below; the first has no value.
    options, custom : mapping
        What else the panel type takes.
    span : tuple of float
        Ends of the axis; empty: automatic.
    columns : mapping of str to str
        Tables: titles of the columns by label or ``Value #A``; others are left out.
    """

    title: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    about: str
    width: int = 12
    height: int = 8
    steps: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    options: Mapping[str, object] = field(default_factory=dict)
    custom: Mapping[str, object] = field(default_factory=dict)
    span: tuple[float, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


class More(TypedDict, total=False):
    """What differs from the usual of a panel type."""

    width: int
    height: int
    steps: tuple[tuple[float | None, str], ...]
    options: Mapping[str, object]
    span: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Panels below a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard: the values of a label."""

    name: str
    label: str
    of: str
    many: bool = True


BAD = ((None, GREEN), (1.0, RED))
WORTH_A_LOOK = ((None, GREEN), (1.0, YELLOW))
"""Colours of a number that should be 0."""
MODELS = Variable("model", "Model", "label_values(homeostat_model_info, model)")
LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": list[str]()}
NUMBER = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "justifyMode": "auto",
    "orientation": "auto",
    "wideLayout": True,
    "showPercentChange": False,
    "percentChangeColorMode": "standard",
}
FIGURE = {**NUMBER, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
NAME = {**NUMBER, "colorMode": "none", "graphMode": "none", "textMode": "name"}
"""Options of a big number, and of a panel that shows the name of its series instead."""


def lines(title: str, unit: str, about: str, *queries: Query, **more: Unpack[More]) -> Panel:
    """Return a panel of lines over time."""
    custom = {"lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": 3_600_000}
    options = {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
    plain = Panel(title, "timeseries", unit, queries, about, options=options, custom=custom)
    return replace(plain, **more)


def figure(title: str, unit: str, about: str, query: Query, **more: Unpack[More]) -> Panel:
    """Return a panel of one big number a series."""
    plain = Panel(title, "stat", unit, (query,), about, width=4, height=4, options=FIGURE)
    return replace(plain, **more)


def history(title: str, unit: str, about: str, *queries: Query, **more: Unpack[More]) -> Panel:
    """Return a heat map whose rows are series: feature by time, stage by time."""
    options = {
        "showValue": "never",
        "rowHeight": 0.9,
        "colWidth": 1.0,
        "legend": LEGEND,
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0}
    plain = Panel(title, "status-history", unit, queries, about, options=options, custom=custom)
    return replace(plain, **more)


def table(
    title: str, about: str, columns: Mapping[str, str], *queries: Query, **more: Unpack[More]
) -> Panel:
    """Return a table whose rows are the series of all queries, joined by their labels."""
    options = {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}
    custom = {"align": "auto", "inspect": False}
    plain = Panel(title, "table", PLAIN, queries, about, options=options, custom=custom)
    return replace(replace(plain, width=COLUMNS, columns=columns), **more)


def dashboard(
    uid: str,
    title: str,
    about: str,
    sections: Sequence[Section],
    variables: Sequence[Variable] = (),
    since: str = "now-7d",
) -> Tree:
    """Return a dashboard as Grafana stores it."""
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["homeostat"],
        "timezone": "utc",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA,
        "version": 1,
        "refresh": "1m",
        "time": {"from": since, "to": "now"},
        "links": [_link()],
        "annotations": {"list": [_alarms()]},
        "templating": {"list": [_source(), *map(_variable, variables)]},
        "panels": _placed(sections),
    }


def _placed(sections: Sequence[Section]) -> list[Tree]:
    """Return rows and panels from left to right and top to bottom."""
    placed: list[Tree] = []
    top = 0
    for section in sections:
        place: Tree = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        placed.append(
            {
                "id": len(placed) + 1,
                "type": "row",
                "title": section.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        top, left, tallest = top + 1, 0, 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            placed.append(_panel(panel, len(placed) + 1, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return placed


def _panel(panel: Panel, number: int, place: Tree) -> Tree:
    made: Tree = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, n) for n, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": dict(panel.options),
    }
    if panel.columns:
        shown = list(panel.columns)
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "indexByName": {name: place for place, name in enumerate(shown)},
                    "renameByName": dict(panel.columns),
                    "includeByName": dict.fromkeys(shown, True),
                },
            },
        ]
    return made


def _defaults(panel: Panel) -> Tree:
    made: Tree = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if len(panel.steps) == 1 else "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in panel.steps],
        },
        "mappings": [],
        "custom": dict(panel.custom),
    }
    if panel.span:
        made |= dict(zip(("min", "max"), panel.span, strict=False))
    return made


def _target(panel: Panel, query: Query, place: int) -> Tree:
    traces = {"exemplar": True} if query.exemplars else {}
    return traces | {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": "table" if panel.kind == "table" else "time_series",
        "editorMode": "code",
    }


def _source() -> Tree:
    return {
        "name": "datasource",
        "type": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
        "regex": "",
        "includeAll": False,
        "multi": False,
        "options": [],
    }


def _variable(variable: Variable) -> Tree:
    return {
        "name": variable.name,
        "type": "query",
        "label": variable.label,
        "datasource": SOURCE,
        "query": variable.of,
        "definition": variable.of,
        "hide": 0,
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "includeAll": variable.many,
        "allValue": ".*",
        "multi": variable.many,
        "options": [],
    }


def _alarms() -> Tree:
    """Return marks where alerts fire; a dashboard without models has them of all."""
    return {
        "name": "Alerts",
        "enable": True,
        "hide": False,
        "iconColor": RED,
        "datasource": SOURCE,
        "expr": 'ALERTS{source="homeostat", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{model}}",
        "step": "60s",
    }


def _link() -> Tree:
    return {
        "title": "Homeostat",
        "type": "dashboards",
        "tags": ["homeostat"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "icon": "external link",
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
