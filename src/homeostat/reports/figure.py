"""A curve with a span marked, as SVG that needs no script: for pages, documents and mails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from math import isfinite

from homeostat.domain.text import printable
from homeostat.domain.verdict import MetricPoint, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.wording import number, when

WIDTH, HEIGHT = 640, 150
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 22, 20
LONGEST_TITLE = 80
MOST_FIGURES = 3
INK, MARK, TROUBLE = "#6b7280", "#3b82c4", "#d55e00"


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time.

    Attributes
    ----------
    title : str
        As text, whatever it contains.
    points : tuple of (datetime, float, bool)
        Time, value (not finite: the line breaks) and whether it was found to be in trouble.
    limit : float or None
        Drawn as a dashed line.
    """

    title: str
    points: tuple[tuple[datetime, float, bool], ...]
    limit: float | None = None


def curves(verdicts: Sequence[Verdict]) -> tuple[Curve, ...]:
    """Return the scores of the subjects that drifted, those with the largest effects first."""
    by: dict[str, list[Verdict]] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.window.end):
        name = " ".join(filter(None, (verdict.monitor.replace("_", " "), verdict.subject)))
        by.setdefault(name, []).append(verdict)
    found = [
        (max(_effect(verdict) for verdict in row), name, row)
        for name, row in by.items()
        if any(verdict.status is Status.DRIFT for verdict in row)
    ]
    found.sort(key=lambda item: (-item[0], item[1]))
    return tuple(
        Curve(
            name,
            tuple((v.window.end, v.score, v.status is Status.DRIFT) for v in row),
            next((v.effect_threshold for v in reversed(row) if isfinite(v.effect_threshold)), None),
        )
        for _, name, row in found[:MOST_FIGURES]
        if any(isfinite(verdict.score) for verdict in row)
    )


def metric_curves(points: Sequence[MetricPoint], series: Sequence[str]) -> tuple[Curve, ...]:
    """Return the figures of series by the names that incidents have for them.

    Parameters
    ----------
    points : sequence of MetricPoint
        Of all segments.
    series : sequence of str
        Such as ``auc`` or ``auc of country=FR``.
    """
    by: dict[tuple[str, str, str], list[MetricPoint]] = {}
    for point in sorted(points, key=lambda point: point.window):
        name = f"{point.name} of {point.segment}" if point.segment else point.name
        if name in series:
            by.setdefault((name, point.version, point.cohort), []).append(point)
    found = list(by.items())[:MOST_FIGURES]
    return tuple(
        Curve(" ".join(filter(None, key)), tuple((p.window.end, p.value, False) for p in row))
        for key, row in found
    )


def _effect(verdict: Verdict) -> float:
    known = isfinite(verdict.score) and verdict.effect_threshold > 0
    return abs(verdict.score) / verdict.effect_threshold if known else 0.0


def figure(curve: Curve, span: Window, frame: Window) -> str:
    """Return the SVG of a curve.

    Parameters
    ----------
    curve : Curve
        With a finite value.
    span : Window
        Shaded, such as the time of an incident.
    frame : Window
        What the axis shows; points outside are left out.

    Returns
    -------
    str
        One ``svg`` element without scripts, styles and references.
    """
    inside = [point for point in curve.points if frame.start <= point[0] <= frame.end]
    known = [value for _, value, _ in inside if isfinite(value)]
    known += [] if curve.limit is None else [curve.limit]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    scale = _Scale(frame, low, high)
    title = escape(_cut(printable(curve.title)))
    begin, end = (scale.x(min(max(m, frame.start), frame.end)) for m in (span.start, span.end))
    words = f"{title}, from {number(low)} to {number(high)}; shaded: the incident"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    wide, tall = max(end - begin, 1), HEIGHT - TOP - BOTTOM
    shade = f'fill="{TROUBLE}" fill-opacity="0.13" stroke="none"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{words}">',
        f'<rect x="{begin:g}" y="{TOP}" width="{wide:g}" height="{tall}" {shade}/>',
        _text(LEFT, 14, title, "start"),
        _text(LEFT - 4, TOP + 8, number(high), "end"),
        _text(LEFT - 4, HEIGHT - BOTTOM, number(low), "end"),
        _text(LEFT, HEIGHT - 5, when(frame.start), "start"),
        _text(WIDTH - RIGHT, HEIGHT - 5, when(frame.end), "end"),
    ]
    if curve.limit is not None:
        y = scale.y(curve.limit)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}" stroke="{INK}" '
            'stroke-dasharray="4 3"/>'
        )
    for run in _runs(inside):
        line = " ".join(f"{scale.x(at):g},{scale.y(value):g}" for at, value in run)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{MARK}" stroke-width="1.5"/>')
    for at, value, trouble in inside:
        if isfinite(value):
            parts.append(_dot(scale.x(at), scale.y(value), trouble=trouble))
    return "".join((*parts, "</svg>"))


@dataclass(frozen=True, slots=True)
class _Scale:
    frame: Window
    low: float
    high: float

    def x(self, at: datetime) -> float:
        share = (at - self.frame.start) / max(self.frame.length, timedelta(microseconds=1))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _runs(
    points: Sequence[tuple[datetime, float, bool]],
) -> list[list[tuple[datetime, float]]]:
    runs: list[list[tuple[datetime, float]]] = [[]]
    for at, value, _ in points:
        if isfinite(value):
            runs[-1].append((at, value))
        else:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _dot(x: float, y: float, *, trouble: bool) -> str:
    """Trouble is a filled square, so that it can be told without colour."""
    if trouble:
        return f'<rect x="{x - 3:g}" y="{y - 3:g}" width="6" height="6" fill="{TROUBLE}"/>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="2" fill="{MARK}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="11" font-family="sans-serif" stroke="none" '
        f'fill="{INK}" text-anchor="{anchor}">{words}</text>'
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TITLE else f"{text[: LONGEST_TITLE - 1]}…"
