import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from homeostat.domain.decision import Decision, Severity
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.document import (
    MOST_ROWS,
    Report,
    Table,
    model_report,
    run_report,
    tables,
    to_json,
    to_markdown,
)
from homeostat.reports.health import IncidentLine

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>|`*\u202e😀" + "n" * 300


def spec(name: str = HOSTILE) -> ModelSpec:
    columns = Schema((Column("amount", ColumnKind.NUMERIC),))
    return ModelSpec(name, Task.BINARY, columns, LabelSpec(DAY))


def verdicts(days: int = 3) -> list[Verdict]:
    return [
        Verdict(
            Monitor.DATA_DRIFT,
            HOSTILE,
            HOSTILE,
            Window(START + k * DAY, START + (k + 1) * DAY),
            Status.DRIFT if k else Status.NO_DATA,
            0.2 if k else float("nan"),
            0.1,
            1.0,
            180.0,
            float("nan"),
            10,
            10,
            HOSTILE,
        )
        for k in range(days)
    ]


def points(days: int = 3) -> list[MetricPoint]:
    return [
        MetricPoint(
            HOSTILE,
            "" if k else HOSTILE,
            "auc",
            Window(START + k * DAY, START + (k + 1) * DAY),
            0.9,
            0.8,
            float("inf"),
            50,
            0.5,
            "matured",
        )
        for k in range(days)
    ]


def report(decisions: int = 1, days: int = 3, *, extra: tuple[Table, ...] = ()) -> Report:
    fired = IncidentLine(
        "k", HOSTILE, HOSTILE, Severity.CRITICAL, "firing", open=True, reason=HOSTILE, opened=START
    )
    log = [
        Decision(HOSTILE, START, HOSTILE, "promote", f"v{k}", HOSTILE, (("e_value", 41.7),))
        for k in range(decisions)
    ]
    made = model_report(spec(), verdicts(days), points(days), [fired], log, START + 3 * DAY)
    return Report(HOSTILE, Window(START, START + 3 * DAY), START + 3 * DAY, (made,), extra)


def empty() -> Report:
    made = model_report(spec("fresh"), [], [], [], [], START)
    return Report("Week", Window(START, START + DAY), START, (made,))


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_html_runs_nothing_and_fetches_nothing() -> None:
    read = Reader(run_report(report()))
    assert not [tag for tag, _ in read.tags if tag in {"script", "link", "img", "iframe", "object"}]
    assert not [
        name
        for _, attrs in read.tags
        for name in attrs
        if name in {"src", "href"} or name[:2] == "on"
    ]
    assert "alert(1)" in "".join(read.words)


def test_html_draws_sparklines_and_names_its_tables() -> None:
    read = Reader(run_report(report()))
    assert [tag for tag, _ in read.tags].count("svg") == 2
    assert [tag for tag, _ in read.tags].count("caption") == 5


@pytest.mark.slow
def test_html_of_a_year_stays_under_one_megabyte() -> None:
    assert len(run_report(report(decisions=5000, days=365)).encode()) < 1_000_000


def test_long_tables_keep_the_newest_and_say_what_is_left_out() -> None:
    log = tables(report(decisions=MOST_ROWS + 7).models[0])[-1]
    assert len(log.rows) == MOST_ROWS
    assert log.rows[-1][3] == f"v{MOST_ROWS + 6}"
    assert log.note == "7 earlier rows are in the JSON form"


def test_an_empty_period_is_said_not_drawn() -> None:
    text = run_report(empty())
    for words in ("No data yet", "No performance yet", "No drift judged yet", "No incidents"):
        assert words in text
    assert "<svg" not in text


def test_drift_counts_days_and_names_the_first() -> None:
    found = next(table for table in tables(report().models[0]) if table.title == "Data drift")
    assert found.rows[0][1:] == ("2", "3", "2", "2024-03-02")


def test_drift_of_a_calm_feature_has_no_first_day() -> None:
    calm = verdicts(1)
    made = model_report(spec(), calm, [], [], [], START + DAY)
    found = next(table for table in tables(made) if table.title == "Data drift")
    assert found.rows[0][1:] == ("0", "1", "—", "—")


def test_json_holds_every_record_and_no_nan() -> None:
    found = json.loads(to_json(report(decisions=MOST_ROWS + 7)))
    model = found["models"][0]
    assert len(model["decisions"]) == MOST_ROWS + 7
    assert model["metrics"][0]["upper"] is None
    assert model["health"]["level"] == "critical"
    assert found["window"]["start"] == "2024-03-01T00:00:00+00:00"


def test_markdown_keeps_hostile_names_in_their_cells() -> None:
    text = to_markdown(report())
    assert "<script" not in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {line.replace("\\|", "").count("|") for line in lines if "promote" in line}
    assert widths == {7}
    assert "**Needs you now**" in text


def test_markdown_of_an_empty_period() -> None:
    assert "No incidents" in to_markdown(empty())


def test_tables_of_the_author_come_first() -> None:
    extra = Table("Events", ("event", "detected"), (("outage", "2 min"),))
    for text in (run_report(report(extra=(extra,))), to_markdown(report(extra=(extra,)))):
        assert 0 < text.index("Events") < text.index("Decision log")
