"""One function per chart: values in, one Vega-Lite specification out.

Names of columns, versions and people are only ever data values, never part of an expression, so
that they show as text whatever they contain. Times are UTC. Meaning is never carried by colour
alone: shape, words or position say it too. Marks keep to colours that colour-blind readers can tell
apart (Okabe & Ito 2008) and that read on light and dark ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from homeostat.domain.decision import Decision
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.health import IncidentLine

Spec = dict[str, object]
Row = dict[str, object]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#3b82c4", "#d55e00", "#009e73", "#cc79a7", "#888888"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, "#b08d00", "#56b4e9")
LABEL_PIXELS = 150


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something that happened, drawn over a curve. ``kind`` is deploy, incident or retrain."""

    at: datetime
    kind: str
    text: str


DEPLOYS = frozenset({"install", "push", "promote", "roll_back"})


def annotate(
    decisions: Iterable[Decision], incidents: Iterable[IncidentLine] = ()
) -> tuple[Annotation, ...]:
    """Return what is worth marking on a curve: deploys, retrainings and incidents, by time."""
    notes = [
        Annotation(incident.opened, "incident", incident.title)
        for incident in incidents
        if incident.opened is not None
    ]
    for decision in decisions:
        if decision.action in DEPLOYS:
            kind = "deploy"
        elif "train" in decision.action:
            kind = "retrain"
        else:
            continue
        words = f"{decision.action.replace('_', ' ')} {decision.subject}"
        notes.append(Annotation(decision.at, kind, words))
    return tuple(sorted(notes, key=lambda note: note.at))


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _x(window: Window | None, field: str = "start") -> Spec:
    scale: Spec = {"type": "utc"}
    if window is not None:
        scale["domain"] = [_time(window.start), _time(window.end)]
    axis: Spec = {"labelOverlap": True, "grid": False}
    return {"field": field, "type": "temporal", "title": "UTC", "scale": scale, "axis": axis}


def chart(description: str, height: int | Spec, **parts: object) -> Spec:
    """Return a specification with what all charts share; `height` is in pixels or a step."""
    return {
        "$schema": SCHEMA,
        "description": description,
        "width": "container",
        "height": height,
        **parts,
    }


def empty(message: str) -> Spec:
    """Return a chart that says why there is nothing to draw.

    Examples
    --------
    >>> empty("No labels have matured yet")["height"]
    60
    """
    return chart(
        message,
        60,
        data={"values": [{"text": message}]},
        mark={"type": "text", "fontSize": 14, "color": GREY, "lineBreak": "\n"},
        encoding={"text": {"field": "text", "type": "nominal"}},
    )


COHORT_WORDS = {"audit": "audit sample", "weighted": "early labels"}


def _series(point: MetricPoint) -> str:
    parts = (point.version, COHORT_WORDS.get(point.cohort, ""))
    return ", ".join(part for part in parts if part) or "all versions"


def _metric_rows(points: Iterable[MetricPoint]) -> list[Row]:
    """Return one row a point, and a null row where windows are missing, to break the line."""
    rows: list[Row] = []
    last: dict[str, Window] = {}
    for point in sorted(points, key=lambda point: point.window):
        name = _series(point)
        before = last.get(name)
        if before is not None and point.window.start - before.end > before.length / 2:
            rows.append({"start": _time(before.end), "series": name, "value": None})
        last[name] = point.window
        rows.append(
            {
                "start": _time(point.window.start),
                "series": name,
                "value": point.value,
                "lower": point.lower if isfinite(point.lower) else point.value,
                "upper": point.upper if isfinite(point.upper) else point.value,
                "rows": point.n,
                "label coverage": round(point.coverage, 4),
            }
        )
    return rows


def _annotation_layers(annotations: Sequence[Annotation]) -> list[Spec]:
    values: list[Row] = [
        {"start": _time(note.at), "kind": note.kind, "what": note.text} for note in annotations
    ]
    tooltip = [
        {"field": "what", "type": "nominal"},
        {"field": "start", "type": "temporal", "title": "when"},
    ]
    dash = {
        "field": "kind",
        "type": "nominal",
        "title": "events",
        "scale": {
            "domain": ["deploy", "incident", "retrain"],
            "range": [[1, 0], [5, 3], [1, 3]],
        },
    }
    return [
        {
            "data": {"values": values},
            "mark": {"type": "rule", "color": GREY, "strokeWidth": 1.5},
            "encoding": {"x": _x(None), "strokeDash": dash, "tooltip": tooltip},
        }
    ]


def performance(
    points: Sequence[MetricPoint],
    annotations: Sequence[Annotation] = (),
    window: Window | None = None,
) -> Spec:
    """Draw one metric over time: value, interval band, and what was done meanwhile.

    Parameters
    ----------
    points : sequence of MetricPoint
        Of one metric; each version and cohort becomes a line. Missing windows break the line.
    annotations : sequence of Annotation
        Drawn as vertical rules: deploys solid, incidents dashed, retrainings dotted.
    window : Window or None
        Extent of the time axis; None: that of the data.

    Examples
    --------
    >>> performance(())["description"]
    'No performance yet: no labels have matured'
    """
    if not points:
        return empty("No performance yet: no labels have matured")
    name = points[0].name
    rows = _metric_rows(points)
    colour = {
        "field": "series",
        "type": "nominal",
        "title": "version",
        "scale": {"range": list(SERIES)},
        "legend": {"labelLimit": LABEL_PIXELS, "symbolOpacity": 1},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "title": name,
        "scale": {"zero": False, "nice": True},
    }
    interval = {"y": {**y, "field": "lower"}, "y2": {"field": "upper"}}
    tooltip = [
        {"field": "start", "type": "temporal", "title": "window from", "format": "%Y-%m-%d %H:%M"},
        *({"field": field, "type": "nominal"} for field in ("series", "value", "lower", "upper")),
        *({"field": field, "type": "nominal"} for field in ("rows", "label coverage")),
    ]
    broken = {"invalid": "break-paths-show-domains"}
    layers: list[Spec] = [
        {"mark": {"type": "area", "opacity": 0.18, **broken}, "encoding": interval},
        {"mark": {"type": "rule", "opacity": 0.35}, "encoding": interval},
        {"mark": {"type": "line", "strokeWidth": 2, **broken}, "encoding": {"y": y}},
        {
            "mark": {"type": "point", "filled": True, "size": 28},
            "encoding": {"y": y, "tooltip": tooltip, "shape": colour | {"scale": {}}},
        },
    ]
    shared = {"x": _x(window), "color": colour}
    body: list[Spec] = [
        {"data": {"values": rows}, "layer": layers, "encoding": shared},
        *(_annotation_layers(annotations) if annotations else []),
    ]
    return chart(f"{name} of each window with its interval, by model version", 240, layer=body)


def label_coverage(points: Sequence[MetricPoint], window: Window | None = None) -> Spec:
    """Draw which share of each window's predictions has its label.

    Examples
    --------
    >>> label_coverage(())["description"]
    'No labels yet'
    """
    best: dict[Window, float] = {}
    for point in points:
        best[point.window] = max(best.get(point.window, 0.0), point.coverage)
    if not best:
        return empty("No labels yet")
    rows = [
        {"start": _time(span.start), "end": _time(span.end), "coverage": share}
        for span, share in sorted(best.items())
    ]
    y = {
        "field": "coverage",
        "type": "quantitative",
        "title": "labels known",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%", "tickCount": 3},
    }
    return chart(
        "Share of predictions whose label is known, by window",
        70,
        data={"values": rows},
        mark={"type": "rect", "color": BLUE, "opacity": 0.7, "tooltip": True},
        encoding={"x": _x(window), "x2": {"field": "end"}, "y": y, "y2": {"datum": 0}},
    )


def volume(verdicts: Sequence[Verdict], window: Window | None = None) -> Spec:
    """Draw predictions per window, with the windows that the volume monitor finds unusual.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Those of other monitors are passed over.

    Examples
    --------
    >>> volume(())["description"]
    'No predictions yet'
    """
    rows = [
        {
            "start": _time(verdict.window.start),
            "end": _time(verdict.window.end),
            "rows": verdict.n_current,
            "verdict": "unusual" if verdict.status is Status.DRIFT else "as expected",
        }
        for verdict in verdicts
        if verdict.monitor is Monitor.VOLUME and not verdict.subject
    ]
    if not rows:
        return empty("No predictions yet")
    colour = {
        "field": "verdict",
        "type": "nominal",
        "title": None,
        "scale": {"domain": ["as expected", "unusual"], "range": [BLUE, ORANGE]},
        "legend": {"symbolStrokeWidth": 0},
    }
    stroke = {
        "condition": {"test": {"field": "verdict", "equal": "unusual"}, "value": 2},
        "value": 0,
    }
    y = {"field": "rows", "type": "quantitative", "title": "predictions", "axis": {"tickCount": 4}}
    return chart(
        "Predictions in each window",
        100,
        data={"values": rows},
        mark={"type": "rect", "tooltip": True, "stroke": ORANGE},
        encoding={
            "x": _x(window),
            "x2": {"field": "end"},
            "y": y,
            "y2": {"datum": 0},
            "color": colour,
            "strokeWidth": stroke,
        },
    )
