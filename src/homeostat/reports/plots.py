"""One function per chart: values in, one `Plot` or `Grid` out (ADR 0004, 0021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.reports.charts import COHORT_WORDS, Annotation
from homeostat.reports.plot import NAN, Axis, Dot, Form, Grid, Line, Marks, Plot, Scale, Square, cut
from homeostat.reports.pooling import thinned
from homeostat.reports.wording import number, span
from homeostat.stats.calibration import CalibrationCell
from homeostat.stats.intervals import wilson

MOST_DOTS = 120
MOST_SERIES = 4
MOST_NAMES = 20
MOST_LINES = 6
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Mean cost of a prediction if positive is said from a threshold on."""

    threshold: float
    cost: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """Share of the labels known of predictions of an age."""

    age: timedelta
    share: float
    n: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a column in a window: 5, 25, 50, 75 and 95 %; NaN: it has no values."""

    window: Window
    n: int
    levels: tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Mover:
    """The largest effect on a column in units of what the owner cares about, now and before."""

    column: str
    now: float
    before: float
    n: int


def metric(
    name: str,
    realized: Sequence[MetricPoint],
    estimated: Sequence[MetricPoint] = (),
    notes: Sequence[Annotation] = (),
    unit: str = "",
) -> Plot:
    """Draw a metric over time: realized by version and cohort, and estimated without labels.

    Parameters
    ----------
    name : str
    realized, estimated : sequence of MetricPoint
        Gaps between windows break the lines; of more than `MOST_DOTS` neighbours are pooled.
    notes : sequence of Annotation
        What happened; the newest `MOST_LINES` are drawn.
    unit : str

    Examples
    --------
    >>> metric("auc", ()).caption
    'No figures of auc: no window has complete labels yet'
    """
    found: dict[str, list[MetricPoint]] = {}
    for point in sorted(realized, key=lambda point: point.window):
        cohort = COHORT_WORDS.get(point.cohort, "")
        key = ", ".join(part for part in (point.version or "all versions", cohort) if part)
        found.setdefault(key, []).append(point)
    for point in sorted(estimated, key=lambda point: point.window):
        found.setdefault(f"{point.version}, estimated".removeprefix(", "), []).append(point)
    newest = sorted(found, key=lambda key: found[key][-1].window, reverse=True)[:MOST_SERIES]
    marks = tuple(Marks(key, _over_time(found[key])) for key in found if key in newest)
    told = sorted(notes, key=lambda note: note.at)[-MOST_LINES:]
    lines = tuple(Line(f"{note.kind}: {note.text}", x=note.at) for note in told)
    return Plot(
        f"{name} over time",
        Axis("UTC", Scale.TIME),
        Axis(f"{name} ({unit})" if unit else name),
        marks,
        lines,
        empty=f"No figures of {name}: no window has complete labels yet",
    )


def _over_time(points: Sequence[MetricPoint]) -> tuple[Dot, ...]:
    dots: list[Dot] = []
    last: Window | None = None
    for point in thinned(points, MOST_DOTS):
        if last is not None and point.window.start - last.end > last.length / 2:
            dots.append(Dot(last.end, NAN))
        last = point.window
        middle = point.window.start + point.window.length / 2
        dots.append(Dot(middle, point.value, point.lower, point.upper, point.n))
    return tuple(dots)


def calibration_curve(cells: Sequence[CalibrationCell]) -> Plot:
    """Draw what came true of what was claimed; on the diagonal it is right.

    Parameters
    ----------
    cells : sequence of CalibrationCell
        As of `homeostat.stats.calibration.calibrate`.
    """
    dots = tuple(Dot(c.mean_score, c.observed, c.lower, c.upper, c.n) for c in cells)
    return Plot(
        "Calibration",
        Axis("mean score of the cell", Scale.SHARE, 0.0, 1.0),
        Axis("share that came true", Scale.SHARE, 0.0, 1.0),
        (Marks("observed", dots, Form.DOTS),) if dots else (),
        diagonal=True,
        note="on the dashed line scores are right",
        empty="No calibration: no labels have matured",
    )


def confusion(classes: Sequence[str], counts: Sequence[Sequence[float]]) -> Grid:
    """Draw what was said of each true class, as shares of its row with Wilson's interval.

    Parameters
    ----------
    classes : sequence of str
    counts : sequence of sequence of float
        Rows, or their weight, by true (outer) and predicted class.

    Examples
    --------
    >>> square = confusion(["no", "yes"], [[90, 10], [2, 18]]).squares[1]
    >>> square.text, square.interval
    ('10 %', '5.52 to 17.4 %')
    """
    squares = []
    for true, row in zip(classes, counts, strict=True):
        whole = sum(row)
        for said, count in zip(classes, row, strict=True):
            if not whole > 0:
                squares.append(Square(true, said, 0.0, "no rows", "", 0))
                continue
            share, bounds = count / whole, wilson(count, whole)
            interval = f"{number(100 * bounds.lower)} to {number(100 * bounds.upper)} %"
            text = f"{number(100 * share)} %"
            squares.append(Square(true, said, share, text, interval, round(count)))
    known = any(square.n for square in squares)
    return Grid(
        "Confusion",
        tuple(classes),
        tuple(classes),
        "true class",
        "predicted",
        tuple(squares) if known else (),
        "shares of each true class with 95 % intervals; below them the rows",
        "No confusion matrix: no labels have matured",
    )


def cost_curve(points: Sequence[CostPoint], threshold: float | None, unit: str = "") -> Plot:
    """Draw what a prediction costs on average by threshold, and where the model's own is."""
    marks = tuple(Dot(p.threshold, p.cost, p.lower, p.upper, p.n) for p in points)
    lines = () if threshold is None else (Line(f"in use: {number(threshold)}", x=threshold),)
    least = min((p for p in points if isfinite(p.cost)), key=lambda p: p.cost, default=None)
    said = "" if least is None else f"least at {number(least.threshold)}"
    return Plot(
        "Cost by threshold",
        Axis("threshold"),
        Axis(f"mean cost of a prediction{f' ({unit})' if unit else ''}"),
        (Marks("mean cost", marks),) if marks else (),
        lines,
        note=said,
        empty="No cost curve: no labels have matured",
    )


def label_delay(arrivals: Sequence[Arrival], maturity: timedelta) -> Plot:
    """Draw which share of labels is known by the age of predictions, with Wilson's interval.

    Parameters
    ----------
    arrivals : sequence of Arrival
    maturity : timedelta
        Age at which labels count as complete.
    """
    dots = []
    for arrival in sorted(arrivals, key=lambda arrival: arrival.age):
        bounds = wilson(arrival.share * arrival.n, arrival.n)
        age = arrival.age / DAY
        dots.append(Dot(age, arrival.share, bounds.lower, bounds.upper, arrival.n))
    return Plot(
        "Labels by age",
        Axis("age of the predictions (days)", low=0.0),
        Axis("labels known", Scale.SHARE, 0.0, 1.0),
        (Marks("labels known", tuple(dots), Form.DOTS),) if dots else (),
        (Line(f"complete after {span(maturity)}", x=maturity / DAY),),
        note="each dot is a window as last counted",
        empty="No labels yet",
    )


def quantiles_over_time(name: str, spreads: Sequence[Spread]) -> Plot:
    """Draw the median of a column with its middle half and nine tenths of its values."""
    known = sorted(spreads, key=lambda spread: spread.window)
    middle = tuple(_dot(spread, 1, 3) for spread in known)
    outer = tuple(_dot(spread, 0, 4) for spread in known)
    return Plot(
        f"Distribution of {cut(name, 60)}",
        Axis("UTC", Scale.TIME),
        Axis(name),
        (Marks("median, middle half", middle), Marks("median, 5 to 95 %", outer)) if known else (),
        bands="bands are quantiles of the rows",
        empty=f"No values of {name} in this time",
    )


def _dot(spread: Spread, low: int, high: int) -> Dot:
    at = spread.window.start + spread.window.length / 2
    return Dot(at, spread.levels[2], spread.levels[low], spread.levels[high], spread.n)


def segments(name: str, parts: Sequence[MetricPoint], overall: float | None = None) -> Plot:
    """Draw a metric of each segment, those farthest below or above all rows first.

    Parameters
    ----------
    name : str
        The metric.
    parts : sequence of MetricPoint
        One of each segment.
    overall : float or None
        The metric of all rows.
    """
    centre = overall if overall is not None else 0.0
    ranked = sorted(parts, key=lambda p: (-abs(p.value - centre), p.segment))
    dots = tuple(Dot(p.segment, p.value, p.lower, p.upper, p.n) for p in ranked[:MOST_NAMES])
    hidden = len(ranked) - len(dots)
    return Plot(
        f"{name} by segment",
        Axis("segment", Scale.NAMES),
        Axis(name),
        (Marks(name, dots, Form.DOTS),) if dots else (),
        () if overall is None else (Line(f"all rows: {number(overall)}", y=overall),),
        note=f"{hidden} further segments are not drawn" if hidden > 0 else "",
        empty="No segments are measured; models.segments names them",
    )


def movers(columns: Sequence[Mover], most: int = 12) -> Plot:
    """Draw the columns that moved most, beside what they did before; from 1 on it matters."""
    known = [mover for mover in columns if isfinite(mover.now)]
    ranked = sorted(known, key=lambda mover: (-mover.now, mover.column))[:most]
    now = tuple(Dot(mover.column, mover.now, n=mover.n) for mover in ranked)
    before = tuple(Dot(mover.column, mover.before) for mover in ranked)
    return Plot(
        "Top movers",
        Axis("column", Scale.NAMES),
        Axis("largest effect / threshold", low=0.0),
        (Marks("this period", now, Form.BARS), Marks("before", before, Form.DOTS)) if now else (),
        (Line("the owner cares", y=1.0),),
        note="effects are those of single windows; their evidence is in the table",
        empty="No drift was judged in this time",
    )
