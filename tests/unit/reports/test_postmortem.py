"""Post-mortems and their figures: complete, self-contained, and hostile text is only text."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.domain.decision import Severity
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.figure import Curve, curves, figure, metric_curves
from homeostat.reports.health import IncidentLine
from homeostat.reports.postmortem import (
    Impact,
    Line,
    PostMortem,
    Worth,
    impact,
    to_html,
    to_markdown,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FRAME = Window(NOW - 10 * HOUR, NOW + 10 * HOUR)
SPAN = Window(NOW, NOW + 4 * HOUR)
HOSTILE = "<script>alert(1)</script>\n# x: y | `z` " + "ä" * 10_000


def judged(hour: float, status: Status, score: float = 0.4, **fields: object) -> Verdict:
    window = Window(NOW + (hour - 1) * HOUR, NOW + hour * HOUR)
    one = Verdict(
        Monitor.DATA_DRIFT, "fraud", "amount", window, status, score, 0.1, 1e6, 100.0, math.nan,
        1000, 50, "moved",
    )  # fmt: skip
    return replace(one, **fields)  # type: ignore[arg-type]


def svg(text: str) -> ET.Element:
    return ET.fromstring(text)


def named(root: ET.Element, name: str) -> list[ET.Element]:
    return root.findall(f"{{http://www.w3.org/2000/svg}}{name}")


def test_the_worst_subjects_are_drawn_with_their_thresholds() -> None:
    verdicts = [
        judged(1, Status.DRIFT, 0.2), judged(0, Status.OK, 0.05),
        judged(1, Status.DRIFT, 0.9, subject="age"),
        judged(1, Status.OK, 5.0, subject="fine"),
        judged(1, Status.DRIFT, math.nan, subject="unknown"),
        judged(1, Status.DRIFT, 0.1, subject="x"), judged(1, Status.DRIFT, 0.01, subject="y"),
    ]  # fmt: skip
    found = curves(verdicts)
    assert [curve.title for curve in found] == [
        "data drift age",
        "data drift amount",
        "data drift x",
    ]
    assert found[1].limit == 0.1
    assert found[1].points == ((NOW, 0.05, False), (NOW + HOUR, 0.2, True))
    bare = [judged(1, Status.DRIFT, 0.2, effect_threshold=math.nan, subject="")]
    assert curves(bare) == (Curve("data drift", ((NOW + HOUR, 0.2, True),), None),)


def test_series_are_drawn_by_the_names_that_incidents_have_for_them() -> None:
    points = [
        MetricPoint("fraud", version, name, Window(at, at + HOUR), 0.5, 0.4, 0.6, 10, 1.0, "", part)
        for at in (NOW + HOUR, NOW)
        for version, name, part in (("1", "auc", ""), ("1", "auc", "country=FR"), ("1", "ece", ""))
    ]
    found = metric_curves(points, ("auc of country=FR", "gone"))
    times = ((NOW + HOUR, 0.5, False), (NOW + 2 * HOUR, 0.5, False))
    assert found == (Curve("auc of country=FR 1", times),)
    assert len(metric_curves(points, ("auc", "auc of country=FR", "ece"))) == 3


def test_a_figure_is_well_formed_and_marks_the_span() -> None:
    points = (
        (NOW - 20 * HOUR, 9.0, False), (NOW - 2 * HOUR, 0.0, False), (NOW - HOUR, 0.1, False),
        (NOW, math.nan, False), (NOW + HOUR, 1.0, True), (NOW + 2 * HOUR, 0.5, True),
        (NOW + 3 * HOUR, math.inf, True), (NOW + 4 * HOUR, 0.2, False),
    )  # fmt: skip
    root = svg(figure(Curve(HOSTILE, points, 0.3), SPAN, FRAME))
    assert len(named(root, "polyline")) == 2
    assert len(named(root, "circle")) == 3
    shade, *trouble = named(root, "rect")
    assert len(trouble) == 2
    # The frame is 576 wide for 20 hours; the span begins in its middle and lasts four hours.
    assert float(shade.get("x", "")) == pytest.approx(56 + 288)
    assert float(shade.get("width", "")) == pytest.approx(576 * 4 / 20, abs=0.11)
    assert len(named(root, "line")) == 1
    assert "<script>" in named(root, "text")[0].text[:20]  # as text, not as an element
    assert len(named(root, "text")[0].text) == 80
    assert not [e for e in root.iter() if e.tag.endswith("script")]


def test_a_figure_of_nothing_or_of_one_value_is_drawn_too() -> None:
    flat = svg(figure(Curve("c", ((NOW, 0.5, False),)), SPAN, FRAME))
    assert len(named(flat, "circle")) == 1
    assert not named(svg(figure(Curve("c", ()), SPAN, FRAME)), "circle")


def document(**fields: object) -> PostMortem:
    incident = IncidentLine(
        "fraud:data_drift:1", "fraud", HOSTILE, Severity.CRITICAL, "resolved", open=False,
        reason=HOSTILE, opened=NOW, resolved=NOW + 4 * HOUR, cause="covariate shift",
        runbook="runbooks/data-drift.md",
    )  # fmt: skip
    fired = Line(NOW, "fired", HOSTILE, "homeostat", (("effect_size", 0.4),))
    done = Line(NOW + HOUR, "action", "roll back 2: worse", "ana")
    made = PostMortem(
        incident, NOW - HOUR, NOW + HOUR / 60, NOW + HOUR / 2, (fired, done), (done,),
        Impact(12345, (Worth("saved", 10.0, 4.0),)),
        (Curve("amount", ((NOW, 0.4, True),), 0.1),), FRAME, NOW + 5 * HOUR,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def test_the_html_is_complete_and_shows_hostile_text_as_text() -> None:
    text = to_html(document())
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("<svg") == 1
    for words in (
        "Summary", "Cause and diagnosis", "What was done", "How long it took", "Timeline",
        "Follow-up", "covariate shift", "runbooks/data-drift.md", "12,345", "4; before: 10",
        "roll back 2: worse", "effect size 0.4", "30 minutes",
    ):  # fmt: skip
        assert words in text
    assert len(text) < 40_000  # the ten thousand letters were cut wherever they stand
    for outside in ("http:", "https:", "url("):
        assert outside not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_markdown_says_the_same_and_each_row_stays_a_row() -> None:
    lines = to_markdown(document()).splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert [line.split(":")[0] for line in headings] == [
        "# Post-mortem", "## Summary", "## Cause and diagnosis", "## What was done",
        "## How long it took", "## Timeline", "## Follow-up",
    ]  # fmt: skip
    assert not [line for line in lines if "<script" in line]
    assert "| from its beginning to the alert | 1 hour |" in lines
    assert "| from the alert to the end | 4 hours |" in lines
    assert "- 2024-01-01 01:00 UTC roll back 2: worse (ana)" in lines
    fired = next(line for line in lines if "| fired | &lt;script>" in line)
    assert fired.count("|") - fired.count("\\|") == 4


def test_what_is_not_known_is_said_to_be_so() -> None:
    incident = replace(document().incident, resolved=None, opened=None, cause="", runbook="")
    bare = document(
        incident=incident, began=None, told=None, acknowledged=None, done=(), curves=(),
        impact=Impact(),
    )  # fmt: skip
    assert bare.marked.start == NOW + 5 * HOUR
    for text in (to_html(bare), to_markdown(bare)):
        for words in ("not known", "No diagnosis is on record", "Nothing is on record"):
            assert words in text
    early = document(told=NOW - HOUR)
    assert ("from the alert to the first page delivered", "less than a minute") in early.times()


def test_impact_counts_rows_and_compares_value() -> None:
    volume = [
        judged(hour, Status.OK, monitor=Monitor.VOLUME, subject="", n_current=100)
        for hour in range(-3, 8)
    ]
    value = [judged(1, Status.DRIFT, monitor=Monitor.VALUE, subject=name) for name in ("a", "b")]
    points = [
        MetricPoint("fraud", "1", "a", Window(NOW + h * HOUR, NOW + (h + 1) * HOUR), v, v, v, 10)
        for h, v in ((-3, 8.0), (-2, 10.0), (0, 2.0), (3, 4.0), (6, 99.0))
    ]
    before = Window(NOW - 5 * HOUR, NOW)
    found = impact([*volume, *value, judged(1, Status.OK)], points, SPAN, before)
    assert found == Impact(400, (Worth("a", 9.0, 3.0),))
    assert impact((), (), SPAN, before) == Impact()
