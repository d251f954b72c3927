"""Pages on drift: all features by time, and one feature with its distributions and evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from urllib.parse import urlencode

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from homeostat.domain.errors import HomeostatError, NotFoundError
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.view import Period, period
from homeostat.profiles.compare import quantiles
from homeostat.profiles.profile import ColumnProfile, Profile, merge_all
from homeostat.reports import overlay, plots
from homeostat.reports.drawing import svg
from homeostat.reports.facts import Facts, ratio
from homeostat.reports.heatmap import MARKS, WORST, Cell, cells
from homeostat.reports.parts import moved
from homeostat.reports.plot import Axis, Dot, Line, Marks, Plot, Scale
from homeostat.reports.wording import number

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MOST_COLUMNS = 40
MOST_STRETCHES = 31
MOST_JUDGEMENTS = 30
SHADES = 4
SCORE = "score"
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
DRIFTS = (Monitor.DATA_DRIFT, Monitor.PREDICTION_DRIFT)


@dataclass(frozen=True, slots=True)
class Box:
    """One feature in one stretch of time: a shade from 0 to 4, a mark, and both in words."""

    shade: int
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of the heat map."""

    column: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Overlay:
    """Distributions of a feature: curves or bars, or why there are none."""

    curves: overlay.Curves | None = None
    bars: tuple[overlay.Bar, ...] = ()
    reference: int = 0
    current: int = 0
    window: Window | None = None
    problem: str = ""


@dataclass(frozen=True)
class DriftPages:
    """The heat map of a model, and the page of each feature."""

    pages: Pages

    def map(self, request: Request) -> Response:
        """Features by time, those that drifted most first, and what moved most."""
        reader = self.pages.reader
        name = request.path_params["model"]
        spec, now = reader.spec(name), reader.clock.now()
        shown = period(request, now)
        asked = request.query_params.get("find", "")[:200]
        verdicts = reader.records.verdicts(
            name, since=shown.window.start - shown.window.length, until=shown.window.end
        )
        inside = [
            replace(v, subject=_subject(spec, v)[0])
            for v in verdicts
            if v.window.start >= shown.window.start
            and v.monitor is Monitor.DATA_DRIFT
            and v.subject
        ]
        found = [c for c in cells(inside) if asked.casefold() in c.column.casefold()]
        columns = list(dict.fromkeys(cell.column for cell in found))
        stretches = _stretches(shown.window)
        movers = moved(Facts(spec, shown.window, now, verdicts=verdicts))
        drawn = [plots.Mover(m.column, m.now, m.before, m.rows) for m in movers]
        values: dict[str, object] = {
            "spec": spec,
            "period": shown,
            "find": asked,
            "stretches": stretches,
            "lines": [_line(column, found, stretches) for column in columns[:MOST_COLUMNS]],
            "hidden": max(0, len(columns) - MOST_COLUMNS),
            "movers": [m for m in movers if m.drifted or m.now >= 0.5][:MOST_COLUMNS],
            "judged": len(movers),
            "picture": svg(plots.movers(drawn)),
        }
        return self.pages.render(request, "drift", values)

    def feature(self, request: Request) -> Response:
        """One feature, or the score: how it is distributed, and what the verdicts rest on."""
        reader = self.pages.reader
        name = request.path_params["model"]
        spec, now = reader.spec(name), reader.clock.now()
        shown = period(request, now)
        column = request.query_params.get("column", "")
        found = [
            (segment, verdict)
            for verdict in reader.records.verdicts(
                name, since=shown.window.start, until=shown.window.end
            )
            if verdict.monitor in DRIFTS
            for subject, segment in (_subject(spec, verdict),)
            if subject == column
        ]
        known = {each.name for each in spec.schema.columns} | {SCORE}
        if column not in known and not found:
            raise NotFoundError(
                f"{name} has no feature {column[:200]!r}; the drift page lists those it has"
            )
        whole = sorted((v for segment, v in found if not segment), key=lambda v: v.window)
        values: dict[str, object] = {
            "spec": spec,
            "period": shown,
            "column": column,
            "here_column": urlencode({"column": column}),
            "newest": whole[-1] if whole else None,
            "ratio": ratio(whole[-1]) if whole else float("nan"),
            "judged": whole[::-1][:MOST_JUDGEMENTS],
            "hidden": max(0, len(whole) - MOST_JUDGEMENTS),
            "segments": _newest(found),
            "pictures": [svg(_effects(whole)), svg(_evidence(whole))],
            **self._distributions(spec, column, shown),
            "box": {"width": overlay.WIDTH, "height": overlay.HEIGHT, "base": overlay.BASE},
        }
        return self.pages.render(request, "feature", values)

    def _distributions(self, spec: ModelSpec, column: str, shown: Period) -> dict[str, object]:
        """Return the overlay, and quantiles over time; profiles only, never rows."""
        personal = any(each.name == column and each.personal for each in spec.schema.columns)
        if personal:
            hidden = Overlay(problem=f"{column} is personal: its values are not shown.")
            return {"overlay": hidden, "quantiles": ""}
        try:
            made, spreads = self._profiles(spec, column, shown.window)
        except HomeostatError as error:
            return {"overlay": Overlay(problem=str(error)), "quantiles": ""}
        drawn = svg(plots.quantiles_over_time(column, spreads)) if spreads else ""
        return {"overlay": made, "quantiles": drawn}

    def _profiles(
        self, spec: ModelSpec, column: str, window: Window
    ) -> tuple[Overlay, list[plots.Spread]]:
        known: list[tuple[Window, ColumnProfile]] = []
        for stretch in _stretches(window):
            found = self.pages.log.profile(spec, stretch).columns.get(column)
            if found is not None and found.present:
                known.append((stretch, found))
        spreads = [
            _spread(stretch, found) for stretch, found in known if found.kind is ColumnKind.NUMERIC
        ]
        lately = [pair for pair in known if pair[0].end > window.end - WEEK]
        return self._overlay(spec, column, lately), spreads

    def _overlay(
        self, spec: ModelSpec, column: str, lately: Sequence[tuple[Window, ColumnProfile]]
    ) -> Overlay:
        reader = self.pages.reader
        rollout = reader.rollout(spec.name)
        champion = rollout.champion if rollout else ""
        windows = reader.records.reference(spec.name, champion)
        parts = [
            Profile(part.count, {column: part})
            for _, profile in windows
            if (part := profile.columns.get(column)) is not None
        ]
        if not parts:
            return Overlay(problem="There is no reference of it: homeostat adopt makes one.")
        if not lately:
            return Overlay(problem="No values of it were logged in this time.")
        kinds = {part.columns[column].kind for part in parts} | {part.kind for _, part in lately}
        if len(kinds) > 1:
            return Overlay(problem="Its kind has changed since the reference was made.")
        before = merge_all(parts).columns[column]
        now = merge_all(Profile(part.count, {column: part}) for _, part in lately).columns[column]
        time = Window(lately[0][0].start, min(lately[-1][0].end, reader.clock.now()))
        counted = (before.present, now.present)
        if now.kind is ColumnKind.NUMERIC:
            return Overlay(overlay.curves(before, now), (), *counted, time)
        return Overlay(None, overlay.bars(before, now), *counted, time)


def _stretches(window: Window) -> tuple[Window, ...]:
    """Return whole days of a window, or as many of them together as make few enough."""
    first = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = -(-(window.end - first) // DAY)
    step = -(-days // MOST_STRETCHES) * DAY
    starts: list[datetime] = [first + k * step for k in range(-(-days * DAY // step))]
    return tuple(Window(start, start + step) for start in starts)


def _line(column: str, found: Sequence[Cell], stretches: Sequence[Window]) -> Feature:
    mine = [cell for cell in found if cell.column == column]
    boxes = []
    for stretch in stretches:
        first, last = f"{stretch.start:%Y-%m-%d}", f"{stretch.end:%Y-%m-%d}"
        boxes.append(_box([cell for cell in mine if first <= cell.day < last]))
    return Feature(column, tuple(boxes))


def _box(inside: Sequence[Cell]) -> Box:
    if not inside:
        return Box(0, "", "")
    worst = min(inside, key=lambda cell: WORST.index(cell.status))
    largest = max((cell.ratio for cell in inside if cell.ratio is not None), default=None)
    shade = 0 if largest is None else min(SHADES, int(largest * SHADES / 2))
    words = worst.status.value.replace("_", " ")
    if largest is not None:
        words += f", {number(largest)} times the threshold"
    return Box(shade, MARKS[worst.status], words if worst.status is not Status.OK else "")


def _subject(spec: ModelSpec, verdict: Verdict) -> tuple[str, str]:
    """Return the feature that a verdict is about, and its segment; empty: all rows."""
    predicted = verdict.monitor is Monitor.PREDICTION_DRIFT
    names = (SCORE, "") if predicted else tuple(each.name for each in spec.schema.columns)
    subject = verdict.subject
    if subject in names:
        return SCORE if predicted else subject, ""
    found = [name for name in names if subject.startswith(f"{name} [") and subject[-1] == "]"]
    if not found:
        return subject, ""
    name = max(found, key=len)
    return name or SCORE, subject[len(name) + 2 : -1]


def _newest(found: Sequence[tuple[str, Verdict]]) -> list[tuple[str, Verdict]]:
    """Return the newest verdict on each segment, largest effects first."""
    newest = dict(sorted(found, key=lambda pair: pair[1].window))
    newest.pop("", None)
    ranked = sorted(newest.items(), key=lambda item: (-_rank(item[1]), item[0]))
    return ranked[:MOST_COLUMNS]


def _rank(verdict: Verdict) -> float:
    found = ratio(verdict)
    return found if isfinite(found) else -1.0


def _effects(verdicts: Sequence[Verdict]) -> Plot:
    dots = tuple(Dot(v.window.end, v.score, n=v.n_current) for v in verdicts)
    limit = verdicts[-1].effect_threshold if verdicts else float("nan")
    lines = (Line(f"the owner cares: {number(limit)}", y=limit),) if isfinite(limit) else ()
    return Plot(
        "Effect", Axis("UTC", Scale.TIME), Axis("effect of each window", low=0.0),
        (Marks("effect", dots),) if dots else (), lines, empty="Not judged in this time",
    )  # fmt: skip


def _evidence(verdicts: Sequence[Verdict]) -> Plot:
    dots = tuple(Dot(v.window.end, v.evidence, n=v.n_current) for v in verdicts)
    limit = verdicts[-1].evidence_threshold if verdicts else float("nan")
    lines = (Line(f"enough: {number(limit)}", y=limit),) if isfinite(limit) else ()
    return Plot(
        "Evidence", Axis("UTC", Scale.TIME), Axis("accumulated e-value", low=0.0),
        (Marks("evidence", dots),) if dots else (), lines, empty="Not judged in this time",
    )  # fmt: skip


def _spread(window: Window, column: ColumnProfile) -> plots.Spread:
    low, lower, middle, upper, high = (float(q) for q in quantiles(column, LEVELS))
    return plots.Spread(window, column.present, (low, lower, middle, upper, high))
