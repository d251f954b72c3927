"""The drift heat map: features by days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.charts import LABEL_PIXELS, ORANGE, Row, Spec, chart, empty

MOST_COLUMNS = 40
DAY = timedelta(days=1)

# What a cell of the heat map says besides its shade.
MARKS = {
    Status.DRIFT: "▲",
    Status.ERROR: "!",
    Status.INCONCLUSIVE: "?",
    Status.NO_DATA: "·",
    Status.OK: "",
}
# Worst first: which status of a day is shown.
WORST = (Status.DRIFT, Status.ERROR, Status.OK, Status.INCONCLUSIVE, Status.NO_DATA)


@dataclass(frozen=True, slots=True)
class Cell:
    """One column on one day of the drift heat map.

    ``ratio`` is the day's largest effect in units of the effect from which the owner cares (1:
    exactly there); None where no effect could be computed.
    """

    column: str
    day: str
    status: Status
    ratio: float | None
    rows: int
    reason: str


def cells(verdicts: Iterable[Verdict]) -> tuple[Cell, ...]:
    """Reduce data-drift verdicts to one cell per column and day: worst status, largest effect.

    Columns come worst first: by days of drift, then by largest effect, then by name.
    """
    found: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.monitor is Monitor.DATA_DRIFT and verdict.subject:
            found[verdict.subject, f"{verdict.window.start:%Y-%m-%d}"].append(verdict)
    made = [_cell(column, day, of_day) for (column, day), of_day in found.items()]
    weight: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for cell in made:
        days, largest = weight[cell.column]
        drifted = cell.status is Status.DRIFT
        weight[cell.column] = (days + drifted, max(largest, cell.ratio or 0.0))
    made.sort(
        key=lambda cell: (
            -weight[cell.column][0],
            -weight[cell.column][1],
            cell.column,
            cell.day,
        )
    )
    return tuple(made)


def _ratio(verdict: Verdict) -> float | None:
    if not isfinite(verdict.score) or not verdict.effect_threshold > 0:
        return None
    return abs(verdict.score) / verdict.effect_threshold


def _cell(column: str, day: str, verdicts: Sequence[Verdict]) -> Cell:
    worst = min(verdicts, key=lambda verdict: WORST.index(verdict.status))
    ratios = [ratio for verdict in verdicts if (ratio := _ratio(verdict)) is not None]
    return Cell(
        column=column,
        day=day,
        status=worst.status,
        ratio=max(ratios, default=None),
        rows=sum(verdict.n_current for verdict in verdicts),
        reason=worst.reason,
    )


def _days(window: Window) -> list[str]:
    first = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    count = -(-(window.end - first) // DAY)
    return [f"{first + index * DAY:%Y-%m-%d}" for index in range(count)]


def drift_heat_map(grid: Sequence[Cell], window: Window) -> Spec:
    """Draw features by days: the shade is the effect, a triangle says that it is drift.

    Days without a judgement stay blank. At most 40 columns are drawn, the worst ones.

    Parameters
    ----------
    grid : sequence of Cell
        As `cells` returns them, worst column first.
    window : Window
        Days shown, whether judged or not.
    """
    if not grid:
        return empty("No drift judged yet")
    columns = list(dict.fromkeys(cell.column for cell in grid))[:MOST_COLUMNS]
    shown = set(columns)
    rows = [_heat_row(cell) for cell in grid if cell.column in shown]
    shade = {
        "field": "shade",
        "type": "quantitative",
        "title": "effect / threshold",
        "scale": {"domain": [0, 2], "range": [0.05, 1], "clamp": True},
        "legend": {"values": [0, 1, 2], "symbolType": "square"},
    }
    tooltip = [
        {"field": field, "type": "nominal"}
        for field in ("column", "day", "verdict", "effect / threshold", "rows", "reason")
    ]
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "color": ORANGE},
            "encoding": {"fillOpacity": shade, "tooltip": tooltip},
        },
        {
            "mark": {"type": "text", "fontSize": 10, "tooltip": None},
            "encoding": {"text": {"field": "mark", "type": "nominal"}},
        },
    ]
    return chart(
        "Drift of each feature on each day; a triangle marks drift",
        {"step": 18},
        data={"values": rows},
        encoding=_axes(columns, window),
        layer=layers,
    )


def _axes(columns: Sequence[str], window: Window) -> Spec:
    x: Row = {
        "field": "day",
        "type": "ordinal",
        "title": None,
        "scale": {"domain": _days(window)},
        "axis": {
            "labelOverlap": True,
            "labelAngle": 0,
            "labelSeparation": 6,
            "labelExpr": "slice(datum.label, 5)",
        },
    }
    y: Row = {
        "field": "column",
        "type": "ordinal",
        "title": None,
        "sort": columns,
        "axis": {"labelLimit": LABEL_PIXELS},
    }
    return {"x": x, "y": y}


def _heat_row(cell: Cell) -> Row:
    return {
        "column": cell.column,
        "day": cell.day,
        "verdict": cell.status.value,
        "shade": cell.ratio or 0.0,
        "effect / threshold": "none" if cell.ratio is None else f"{cell.ratio:.2f}",
        "rows": cell.rows,
        "reason": cell.reason,
        "mark": MARKS[cell.status],
    }
