import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import altair as alt
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from homeostat.domain.window import Window
from homeostat.reports import plots
from homeostat.reports.charts import Annotation
from homeostat.reports.drawing import svg
from homeostat.reports.plot import Axis, Dot, Form, Grid, Line, Marks, Picture, Plot, Scale
from homeostat.reports.plots import Arrival, CostPoint, Mover
from homeostat.reports.scale import numbers, ruler, times
from homeostat.reports.specification import specification
from homeostat.stats.calibration import calibrate
from homeostat.stats.intervals import wilson
from homeostat.stats.ranking import rank
from unit.reports.told import DAY, END, HOSTILE, NAN, point, spread

SCHEMA = Path(alt.__file__).parent / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"
RNG = np.random.default_rng(1)
SCORES = RNG.random(400)
CELLS = calibrate(rank((RNG.random(400) < SCORES).astype(float), SCORES)).cells
COSTS = [
    CostPoint(k / 10, cost + 1.0, cost + 0.5, cost + 1.5, 90)
    for k, cost in enumerate([4, 3, 2, 1, 0, 1, 2, 3, 4, 5])
]
PARTS = [point(0, 0.5 + k / 99, segment=f"{HOSTILE}{k}") for k in range(25)]
MOVERS = [Mover(HOSTILE, 2.0, 0.5, 100), Mover("b", 0.3, NAN, 100), Mover("c", NAN, 1.0, 9)]
BARS = Marks("m", (Dot(1.0, 2.0, 1.0, 3.0), Dot(2.0, NAN), Dot(3.0, 1.0)), Form.BARS)
LONE = Marks("m", (Dot(1.0, 2.0),))
WIDE = tuple(Marks(f"a name of some length {k}", (Dot(1.0, 2.0),)) for k in range(4))
NOTES = [Annotation(END - k * DAY / 2, "incident", HOSTILE) for k in range(9)]
TWO_WEEKS = [point(k, 0.9) for k in range(14) if k != 5]

DRAWN: dict[str, Picture] = {
    "metric": plots.metric("auc", TWO_WEEKS, [point(0, 0.8, cohort="estimated")], NOTES, "area"),
    "calibration": plots.calibration_curve(CELLS),
    "confusion": plots.confusion(("no", HOSTILE), ((90, 10), (2, 18))),
    "cost": plots.cost_curve(COSTS, 0.5, "EUR"),
    "delay": plots.label_delay([Arrival(k * DAY, k / 10, 100) for k in range(11)], 7 * DAY),
    "quantiles": plots.quantiles_over_time(HOSTILE, [spread(k) for k in range(5)]),
    "segments": plots.segments("auc", PARTS, 0.7),
    "movers": plots.movers(MOVERS),
    "bars": Plot("b", Axis("x"), Axis("y"), (BARS,)),
    "wide key": Plot("w", Axis("x"), Axis("y"), WIDE),
    "level": Plot("l", Axis("x"), Axis("y"), (LONE,), (Line("here", y=2.0),)),
}  # fmt: skip
EMPTY: dict[str, Picture] = {
    "metric": plots.metric("auc", ()),
    "calibration": plots.calibration_curve(()),
    "confusion": plots.confusion(("no", "yes"), ((0, 0), (0, 0))),
    "cost": plots.cost_curve((), None),
    "delay": plots.label_delay((), DAY),
    "quantiles": plots.quantiles_over_time("amount", ()),
    "segments": plots.segments("auc", ()),
    "movers": plots.movers([Mover("c", NAN, 1.0, 9)]),
}


@pytest.fixture(scope="module")
def vega() -> Draft7Validator:
    return Draft7Validator(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("name", DRAWN)
def test_one_chart_is_a_picture_and_a_specification(name: str, vega: Draft7Validator) -> None:
    picture = DRAWN[name]
    root = ET.fromstring(svg(picture))
    words = "".join(root.itertext())
    assert HOSTILE[:20] in words or name not in {"metric", "quantiles", "segments", "movers"}
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"].startswith(picture.title[:10])
    assert not {child.tag.split("}")[1] for child in root.iter()} - {
        "svg", "text", "line", "polyline", "polygon", "circle", "rect", "title",
    }  # fmt: skip
    made = specification(picture)
    assert [error.message[:200] for error in vega.iter_errors(made)] == []
    assert "expr" not in json.dumps(made)
    assert picture.caption in str(made["description"])


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_draw_is_said_and_no_axis_pretends(name: str, vega: Draft7Validator) -> None:
    picture = EMPTY[name]
    root = ET.fromstring(svg(picture))
    assert "".join(root.itertext()) == picture.caption == picture.empty
    assert {child.tag.split("}")[1] for child in root} == {"rect", "text"}
    assert list(vega.iter_errors(specification(picture))) == []


def test_every_caption_says_what_bands_are_and_how_many_rows() -> None:
    metric = DRAWN["metric"].caption
    assert metric.startswith("95 % intervals; n 500 rows each; 1: incident: ")
    assert "bands are quantiles of the rows; n 4,000 rows each" in DRAWN["quantiles"].caption
    assert "no intervals" in DRAWN["movers"].caption
    assert "least at 0.4" in DRAWN["cost"].caption
    assert "5 further segments are not drawn" in DRAWN["segments"].caption
    assert DRAWN["bars"].caption == "95 % intervals"


def test_a_gap_breaks_the_line_and_a_lone_window_has_a_bar() -> None:
    drawn = DRAWN["metric"]
    assert isinstance(drawn, Plot)
    realized = drawn.marks[0].dots
    assert sum(dot.y != dot.y for dot in realized) == 1
    root = ET.fromstring(svg(drawn))
    assert sum(child.tag.endswith("polyline") for child in root) == 2
    assert len(drawn.lines) == plots.MOST_LINES


def test_many_windows_are_pooled_and_none_over_a_gap() -> None:
    hour, start = timedelta(hours=1), END - 30 * DAY
    moved = [
        replace(point(0, 0.9, n=10), window=Window(start + k * hour, start + (k + 1) * hour))
        for k in range(500)
        if k not in range(100, 200)
    ]
    drawn = plots.metric("auc", moved)
    dots = [dot for dot in drawn.marks[0].dots if dot.y == dot.y]
    assert len(dots) <= plots.MOST_DOTS
    assert sum(dot.n for dot in dots) == 4000
    assert len(dots) < len(drawn.marks[0].dots)


def test_more_versions_than_can_be_told_apart_leaves_the_oldest_out() -> None:
    drawn = plots.metric("auc", [point(k, 0.9, version=f"v{k}") for k in range(9)])
    assert [marks.name for marks in drawn.marks] == ["v3", "v2", "v1", "v0"]
    assert plots.metric("auc", [point(0, 0.9, version="")]).marks[0].name == "all versions"


def test_confusion_holds_wilsons_interval_of_each_row() -> None:
    found = plots.confusion(("no", "yes"), ((90, 10), (0, 0)))
    bounds = wilson(10, 100)
    square, upper = found.squares[1], f"{100 * bounds.upper:.1f}"
    assert (square.text, square.interval) == ("10 %", f"{100 * bounds.lower:.2f} to {upper} %")
    assert [square.text for square in found.squares[2:]] == ["no rows", "no rows"]
    wide = plots.confusion([f"c{k}" for k in range(15)], np.eye(15) * 9)
    root = ET.fromstring(svg(wide))
    assert sum(child.tag.endswith("rect") for child in root) == 144


def test_label_delay_is_within_what_is_possible() -> None:
    drawn = DRAWN["delay"]
    assert isinstance(drawn, Plot)
    assert all(0 <= dot.low <= dot.y <= dot.high <= 1 for dot in drawn.dots)


def test_movers_come_by_their_effect_and_unknown_ones_are_left_out() -> None:
    drawn = DRAWN["movers"]
    assert isinstance(drawn, Plot)
    assert [dot.x for dot in drawn.marks[0].dots] == [HOSTILE, "b"]


@settings(max_examples=40)
@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.booleans())
def test_ticks_are_few_ordered_within_the_axis_and_told_apart(
    low: float, width: float, share: bool
) -> None:
    found = numbers(low, low + width, share=share)
    values = [value for value, _ in found]
    assert values == sorted(values)
    assert 2 <= len(found) <= 8
    assert all(low - width * 1e-6 <= value <= low + width * (1 + 1e-6) for value in values)


@settings(max_examples=40)
@example(5e-324, 60.0)  # divided by a day it is 0
@given(st.floats(0, 2e9), st.floats(60, 1e8))
def test_times_are_few_and_within_the_axis(start: float, length: float) -> None:
    found = times(start, start + length)
    assert len(found) <= 6
    assert all(start <= at <= start + length for at, _ in found)


def test_a_ruler_of_one_value_and_of_none_still_measures() -> None:
    assert ruler(Axis("y"), [5.0], 0.0, 10.0).place(5.0) == 5.0
    assert ruler(Axis("y"), [0.0, 0.0], 0.0, 10.0).place(0.0) == 5.0
    assert ruler(Axis("y"), [], 0.0, 10.0).place(1.0) > 5.0
    assert ruler(Axis("x", Scale.TIME), [0.0, 7200.0], 0.0, 10.0).ticks[1][1] == "1 Jan 01:00"
    assert [text for _, text in numbers(0.0, 1e-6)][1].endswith("e-07")


def test_a_grid_without_squares_says_why() -> None:
    assert Grid("g", (), (), "r", "c", ()).caption == "No data"
