import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import altair as alt
import pytest
from jsonschema import Draft7Validator

from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.heatmap import MOST_COLUMNS, cells, drift_heat_map

SCHEMA = Path(alt.__file__).parent / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"
START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def verdict(
    column: str,
    hour: int = 0,
    status: Status = Status.OK,
    score: float = 0.05,
    threshold: float = 0.1,
) -> Verdict:
    window = Window(START + hour * HOUR, START + (hour + 1) * HOUR)
    return Verdict(
        Monitor.DATA_DRIFT,
        "m",
        column,
        window,
        status,
        score,
        threshold,
        1.0,
        180.0,
        0.5,
        1000,
        100,
        f"{column} {status}",
    )


def test_a_day_shows_its_worst_status_and_largest_effect() -> None:
    found = cells(
        [
            verdict("a", 0, Status.OK, 0.3),
            verdict("a", 1, Status.DRIFT, 0.2),
            verdict("a", 2, Status.NO_DATA, float("nan")),
        ]
    )
    assert len(found) == 1
    assert found[0].status is Status.DRIFT
    assert found[0].ratio == pytest.approx(3.0)
    assert found[0].rows == 300
    assert found[0].reason == "a drift"


def test_no_effect_is_none_and_never_zero() -> None:
    assert [cell.ratio for cell in cells([verdict("a", score=float("nan"))])] == [None]
    assert [cell.ratio for cell in cells([verdict("a", threshold=0.0)])] == [None]


def test_only_columns_of_data_drift_count() -> None:
    whole = verdict("")
    other = replace(verdict("score"), monitor=Monitor.PREDICTION_DRIFT)
    assert cells([whole, other]) == ()


def test_columns_come_worst_first() -> None:
    found = cells(
        [
            verdict("calm"),
            verdict("large", score=0.9),
            verdict("drifted", status=Status.DRIFT),
            verdict("always", status=Status.DRIFT),
            verdict("always", 24, status=Status.DRIFT),
        ]
    )
    assert list(dict.fromkeys(cell.column for cell in found)) == [
        "always",
        "drifted",
        "large",
        "calm",
    ]


def test_the_map_is_valid_and_shows_days_without_judgement() -> None:
    hostile = '"]<b>\u202e' + "n" * 300
    window = Window(START + 2 * HOUR, START + timedelta(days=3))
    spec = drift_heat_map(cells([verdict(hostile, 26, Status.DRIFT), verdict("b")]), window)
    assert Draft7Validator(json.loads(SCHEMA.read_text())).is_valid(spec)
    assert spec["encoding"]["x"]["scale"]["domain"] == ["2024-03-01", "2024-03-02", "2024-03-03"]
    rows = spec["data"]["values"]
    assert [(row["column"], row["day"], row["mark"]) for row in rows] == [
        (hostile, "2024-03-02", "▲"),
        ("b", "2024-03-01", ""),
    ]


def test_unknown_effects_say_none() -> None:
    spec = drift_heat_map(
        cells([verdict("a", status=Status.NO_DATA, score=float("nan"))]),
        Window(START, START + 24 * HOUR),
    )
    row = spec["data"]["values"][0]
    assert (row["effect / threshold"], row["shade"], row["mark"]) == ("none", 0.0, "·")


def test_only_the_worst_columns_are_drawn() -> None:
    many = [verdict(f"c{index:03}", score=index / 1000) for index in range(MOST_COLUMNS + 5)]
    spec = drift_heat_map(cells(many), Window(START, START + 24 * HOUR))
    columns = [row["column"] for row in spec["data"]["values"]]
    assert len(columns) == MOST_COLUMNS
    assert columns[0] == "c044"


def test_nothing_judged_is_said() -> None:
    spec = drift_heat_map((), Window(START, START + HOUR))
    assert spec["data"]["values"] == [{"text": "No drift judged yet"}]
