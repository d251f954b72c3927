"""Reports from records, over every way to ask for one."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.errors import (
    DataError,
    NotFoundError,
    StorageError,
    UserError,
)
from homeostat.domain.window import Window
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints import reports_pdf
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.reports import reports_api
from homeostat.entrypoints.http.ui import ui
from homeostat.entrypoints.reports import Reports
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.models import MemoryRegistry
from unit.entrypoints.reporting import CONFIG, HOUR, NOW, faked, planned, populate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def plans(here: Path) -> dict[str, ModelPlan]:
    return planned(here)


@pytest.fixture
def reports(here: Path, plans: dict[str, ModelPlan]) -> Iterator[Reports]:
    clock = SimulatedClock(NOW)
    (here / "homeostat-data").mkdir()
    records = DatabaseRecords(f"sqlite:///{here}/homeostat-data/records.db", clock, "OFF")
    log = FilePredictionLog(here / "homeostat-data" / "log", records, fsync=False)
    yield Reports(records, log, MemoryRegistry(), plans, clock)
    log.close()
    records.close()


@pytest.fixture
def light(plans: dict[str, ModelPlan]) -> Reports:
    return faked(plans)


def test_a_week_is_gathered_from_records_alone(reports: Reports) -> None:
    populate(reports)
    window = Window(NOW - timedelta(days=7, minutes=30), NOW - timedelta(minutes=30))
    facts = reports.facts("fraud", window, NOW)
    assert sum(count for _, count in facts.answered) == 48
    assert facts.pages == (("post", 1),)
    assert (facts.champion, facts.lineage) == ("v2", ("v1",))
    assert [name for name, _ in facts.spreads] == ["score", "amount"], "age is personal"
    score = dict(facts.spreads)["score"]
    assert [spread.n for spread in score] == [24, 24]
    assert score[0].levels[2] == pytest.approx(11.5 / 48, rel=0.05)
    assert facts.business[0].total
    assert facts.budget.alarms == 1.0
    assert facts.problems == ()
    made = reports.make("weekly", ["fraud"])
    assert made.window == window
    assert made.parts[0].lead[0] == "48 predictions, answered by v2."


class Away:
    """A prediction log whose disk is gone."""

    def counts(self, *_: object) -> tuple[int, ...]:
        raise StorageError("the disk is away")

    profile = counts


def test_what_cannot_be_read_is_told_and_the_rest_stands(light: Reports) -> None:
    populate(light)
    made = replace(light, log=Away()).make("weekly", ["fraud"])
    assert made.problems == ("counts of predictions (the disk is away)",)
    assert made.parts[0].lead[0].startswith("auc 0.9 (0.88 to 0.92)")


def test_what_cannot_be_asked_for_is_said(light: Reports) -> None:
    with pytest.raises(NotFoundError, match="there are weekly, monthly, drift, card"):
        light.make("daily", ["fraud"])
    with pytest.raises(NotFoundError, match="no model is named 'x'; there are fraud, churn"):
        light.make("weekly", ["x"])
    with pytest.raises(DataError, match="lies ahead"):
        light.make("weekly", ["fraud"], NOW + HOUR)
    with pytest.raises(DataError, match="is no time that anything is known of"):
        light.make("monthly", ["fraud"], datetime(1, 1, 1, tzinfo=UTC))
    assert light.make("weekly", ["fraud"], NOW + timedelta(minutes=1)).window.end <= NOW


def test_the_command_writes_what_its_ending_says(
    reports: Reports, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    populate(reports)
    at = ["--as-of", "2024-03-13"]
    assert run(["report", "weekly", "fraud", *at]) == 0
    assert capsys.readouterr().out.startswith("# Weekly report of fraud")
    for name, begin in (("a.html", "<!doctype"), ("a.json", "{"), ("a.md", "# Weekly report of 2")):
        assert run(["report", "weekly", "--all", *at, "-o", name]) == 0
        assert (here / name).read_text().startswith(begin)
    assert run(["report", "card", "fraud", "--format", "json", *at, "-o", "x"]) == 0
    assert json.loads((here / "x").read_text())["kind"] == "card"
    assert (
        run(["report", "monthly", "fraud", "--as-of", "2024-03-13T06:00+01:00", "-o", "m.md"]) == 0
    )
    assert "2024-02-01 00:00 UTC to 2024-03-01" in (here / "m.md").read_text()
    assert run(["report", "drift", "fraud", "-o", "d.md"]) == 0


def test_mistakes_get_one_line_with_the_remedy(
    reports: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reports.clock.now() == NOW
    mistakes = {
        "name one of the models": ["weekly"],
        "no model named 'x'": ["weekly", "x"],
        "either --all or fraud": ["weekly", "fraud", "--all"],
        "'soon'; write a day such as": ["weekly", "fraud", "--as-of", "soon"],
        "'2024-03-99'; write a day": ["weekly", "fraud", "--as-of", "2024-03-99"],
        "ends in none of html, md, json, pdf": ["weekly", "fraud", "-o", "a.doc"],
        "name a file with -o": ["weekly", "fraud", "--format", "pdf"],
        "cannot be written": ["weekly", "fraud", "-o", "none/a.md"],
    }
    for words, arguments in mistakes.items():
        assert run(["report", *arguments]) == 2, words
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_nothing_recorded_yet_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "weekly", "fraud"]) == 2
    assert "nothing is recorded" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser is installed")
def test_a_pdf_is_printed_by_a_browser(
    reports: Reports, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(["report", "card", "churn", "-o", "a.pdf"]) == 0
    assert (here / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_without_a_browser_the_remedy_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no Chromium is found: .*apt install chromium"):
        reports_pdf.pdf("<p>")
    monkeypatch.setenv("HOMEOSTAT_BROWSER", "/none")
    with pytest.raises(UserError, match="HOMEOSTAT_BROWSER names '/none'"):
        reports_pdf.pdf("<p>")
    bad = tmp_path / "browser"
    bad.write_text("#!/bin/sh\nexit 7\n")
    bad.chmod(0o700)
    monkeypatch.setenv("HOMEOSTAT_BROWSER", str(bad))
    with pytest.raises(DataError, match="does not print the report: exit code 7"):
        reports_pdf.pdf("<p>")
    bad.write_text("not a program")
    with pytest.raises(DataError, match="does not print the report"):
        reports_pdf.pdf("<p>")


def test_a_models_page_leads_to_its_reports(light: Reports) -> None:
    populate(light)
    specs = {name: plan.spec for name, plan in light.plans.items()}
    parts = (light.records, light.log, light.registry, specs, light.clock)
    caller = Caller(Starlette(routes=ui(*parts, reports=light)), "http://127.0.0.1:8420")
    assert "/reports/fraud?kind=monthly" in caller.get("/models/fraud").text
    found = caller.get("/reports/fraud?kind=weekly")
    assert "<title>Weekly report of fraud</title>" in found.text
    assert found.headers["content-disposition"] == 'attachment; filename="weekly.html"'
    past = caller.get("/reports/fraud?kind=drift&format=json&until=2024-03-01T00:00:00Z").json()
    assert past["window"]["end"] == "2024-03-01T00:00:00Z"
    assert caller.get("/reports/fraud?kind=daily").status_code == 404
    alone = Caller(Starlette(routes=ui(*parts)), "http://127.0.0.1:8420")
    assert "kind=monthly" not in alone.get("/models/fraud").text
    assert "Health of fraud" in alone.get("/reports/fraud?kind=weekly").text


def test_over_http_a_report_is_a_file_that_runs_nothing(light: Reports) -> None:
    populate(light)
    tokens = Tokens(light.records)
    caller = Caller(Starlette(routes=reports_api(light, tokens)), "http://127.0.0.1:8420")
    found = caller.get("/api/v1/reports/weekly/fraud")
    assert found.text.startswith("<!doctype html>")
    assert "sandbox" in found.headers["content-security-policy"]
    told = caller.get("/api/v1/reports/monthly/fraud?format=json&as_of=2024-03-05T00:00:00Z").json()
    assert (told["kind"], told["window"]["end"]) == ("monthly", "2024-03-01T00:00:00Z")
    wrong = {
        "/api/v1/reports/daily/fraud": (404, "kind"),
        "/api/v1/reports/weekly/x": (404, "model"),
        "/api/v1/reports/weekly/fraud?format=pdf": (422, "format"),
        "/api/v1/reports/weekly/fraud?as_of=2999-01-01T00:00:00Z": (422, "as_of"),
        "/api/v1/reports/weekly/fraud?as_of=soon": (422, "as_of"),
    }
    for path, (status, where) in wrong.items():
        answer = caller.get(path)
        assert (answer.status_code, answer.json()["field"]) == (status, where), path
    tokens.create("ana", (Scope.INGEST,), NOW)
    assert caller.get("/api/v1/reports/weekly/fraud").status_code == 401
