import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import altair as alt
import pytest
from jsonschema import Draft7Validator

from homeostat.domain.decision import Decision, Severity
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports import charts
from homeostat.reports.health import IncidentLine

Valid = Callable[[charts.Spec], charts.Spec]
SCHEMA = Path(alt.__file__).parent / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"
START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = Window(START, START + 30 * DAY)
HOSTILE = "</script><script>\u202e😀" + "n" * 300


@pytest.fixture(scope="module")
def valid() -> Valid:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))

    def check(spec: charts.Spec) -> charts.Spec:
        problems = [error.message[:300] for error in validator.iter_errors(spec)]
        assert problems == []
        return spec

    return check


def day(index: int) -> Window:
    return Window(START + index * DAY, START + (index + 1) * DAY)


def point(
    index: int,
    version: str = "v1",
    cohort: str = "matured",
    value: float = 0.9,
    half: float = 0.02,
    coverage: float = 0.8,
) -> MetricPoint:
    return MetricPoint(
        "m", version, "auc", day(index), value, value - half, value + half, 500, coverage, cohort
    )


def volume(
    index: int,
    rows: int,
    status: Status = Status.OK,
    monitor: Monitor = Monitor.VOLUME,
    subject: str = "",
) -> Verdict:
    nan = float("nan")
    return Verdict(
        monitor, "m", subject, day(index), status, nan, 0.1, 1.0, 180.0, nan, 9, rows, "because"
    )


def rows_of(spec: charts.Spec) -> list[Any]:
    return spec["data"]["values"]


def test_the_schema_would_notice_a_wrong_chart() -> None:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert not validator.is_valid(charts.performance([point(0)]) | {"layer": [{"mark": "spiral"}]})


def test_performance_is_valid_and_holds_value_and_interval(valid: Valid) -> None:
    spec = valid(charts.performance([point(0), point(1, value=0.8)], (), MONTH))
    rows = rows_of(spec["layer"][0])
    assert [(row["value"], row["lower"], row["upper"], row["rows"]) for row in rows] == [
        (0.9, 0.9 - 0.02, 0.9 + 0.02, 500),
        (0.8, 0.8 - 0.02, 0.8 + 0.02, 500),
    ]


def test_missing_windows_break_the_line() -> None:
    rows = rows_of(charts.performance([point(4), point(0), point(1)])["layer"][0])
    assert [(row["start"][8:10], row["value"] is None) for row in rows] == [
        ("01", False),
        ("02", False),
        ("03", True),
        ("05", False),
    ]


def test_versions_and_cohorts_are_separate_series() -> None:
    points = [
        point(0),
        point(0, "v2"),
        point(0, "", "audit"),
        point(0, ""),
        point(0, "v1", "audit"),
    ]
    rows = rows_of(charts.performance(points)["layer"][0])
    assert {row["series"] for row in rows} == {
        "v1",
        "v2",
        "audit sample",
        "all versions",
        "v1, audit sample",
    }


def test_an_unknown_interval_shrinks_to_the_value() -> None:
    rows = rows_of(charts.performance([point(0, half=float("nan"))])["layer"][0])
    assert (rows[0]["lower"], rows[0]["upper"]) == (0.9, 0.9)


def test_annotations_are_drawn_and_valid(valid: Valid) -> None:
    notes = [charts.Annotation(START, kind, HOSTILE) for kind in ("deploy", "incident", "retrain")]
    spec = valid(charts.performance([point(0)], notes, MONTH))
    assert [row["what"] for row in rows_of(spec["layer"][1])] == [HOSTILE] * 3


def test_annotate_picks_deploys_retrainings_and_incidents_by_time() -> None:
    def did(action: str, hour: int) -> Decision:
        return Decision("m", START + timedelta(hours=hour), "homeostat", action, "v2", "because")

    fired = IncidentLine(
        "m:r:1", "m", "down", Severity.CRITICAL, "firing", open=True, reason="r", opened=START
    )
    unopened = IncidentLine("m:r:2", "m", "x", Severity.INFO, "pending", open=False, reason="r")
    log = [did("promote", 2), did("hold", 3), did("refuse_retraining", 4), did("roll_back", 1)]
    notes = charts.annotate(log, [fired, unopened])
    assert [(note.kind, note.text) for note in notes] == [
        ("incident", "down"),
        ("deploy", "roll back v2"),
        ("deploy", "promote v2"),
        ("retrain", "refuse retraining v2"),
    ]


@pytest.mark.parametrize(
    "spec", [charts.performance(()), charts.label_coverage(()), charts.volume(())]
)
def test_nothing_to_draw_is_said(valid: Valid, spec: charts.Spec) -> None:
    assert rows_of(valid(spec))[0]["text"].startswith("No ")


def test_coverage_takes_the_best_known_of_each_window(valid: Valid) -> None:
    points = [point(0, coverage=0.2), point(0, "v2", coverage=0.6), point(1, coverage=0.4)]
    spec = valid(charts.label_coverage(points, MONTH))
    assert [row["coverage"] for row in rows_of(spec)] == [0.6, 0.4]


def test_volume_shows_only_the_volume_of_the_whole_model(valid: Valid) -> None:
    verdicts = [
        volume(0, 100),
        volume(1, 3, Status.DRIFT),
        volume(1, 77, monitor=Monitor.DATA_DRIFT),
        volume(1, 88, subject="segment"),
    ]
    rows = rows_of(valid(charts.volume(verdicts, MONTH)))
    assert [(row["rows"], row["verdict"]) for row in rows] == [
        (100, "as expected"),
        (3, "unusual"),
    ]


def test_hostile_names_are_data_only() -> None:
    spec = charts.performance([point(0, HOSTILE)], [charts.Annotation(START, "deploy", HOSTILE)])
    for layer in spec["layer"]:
        layer["data"] = None
    assert HOSTILE not in json.dumps(spec, ensure_ascii=False)
