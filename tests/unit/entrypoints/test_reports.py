"""Reports from records, over every way to ask for one."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.notifiers.mail import Letter
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import (
    ConfigError,
    DataError,
    DeliveryError,
    NotFoundError,
    StorageError,
    UserError,
)
from homeostat.domain.record import prediction_schema
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Settled
from homeostat.entrypoints import reports_pdf
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.reports import reports_api
from homeostat.entrypoints.reports import Reports
from homeostat.entrypoints.reports_schedule import MOST_TRIES, PATIENCE, Schedule, chores, last_due
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings import reports as parts
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry
from homeostat.simulation.fakes.records import MemoryRecords

NOW = datetime(2024, 3, 13, 12, 30, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CONFIG = """\
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric, age: {kind: numeric, personal: true}}
    labels: {maturity: 1d}
    business: {saved: {value: "sum(amount if label == 1 else 0)"}}
  - name: churn
    task: regression
    features: {amount: numeric}
    labels: {maturity: 30d}
receivers:
  post: {type: mail, host: localhost, port: 1, sender: a@example.org, to: [b@example.org]}
  term: {type: console}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def plans(here: Path) -> dict[str, ModelPlan]:
    settings = load(here / "homeostat.yaml")
    return {model.name: model_plan(settings, model.name) for model in settings.models}


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
    """Return what makes reports from fakes: a database takes long to make."""
    clock = SimulatedClock(NOW)
    return Reports(MemoryRecords(clock), MemoryLog(clock), MemoryRegistry(), plans, clock)


def verdict(start: datetime, score: float, subject: str = "amount") -> Verdict:
    status = Status.DRIFT if score > 0.1 else Status.OK
    return Verdict(
        Monitor.DATA_DRIFT, "fraud", subject, Window(start, start + HOUR), status, score, 0.1, 2.0,
        90.0, 0.5, 5000, 400, f"{subject} moved",
    )  # fmt: skip


def populate(reports: Reports) -> None:
    """Write a week with predictions, drift, a promotion and a notice that was taken."""
    spec = reports.plans["fraud"].spec
    start = NOW - timedelta(days=3, minutes=30)
    count = 48
    said = {
        "prediction_id": [f"p{k}" for k in range(count)],
        "timestamp": [start + k * HOUR for k in range(count)],
        "version": ["v2"] * count,
        "role": ["champion"] * count,
        "tier": ["model"] * count,
        "score": [k / count for k in range(count)],
        "amount": [float(k) for k in range(count)],
        "age": [30.0] * count,
    }
    schema = prediction_schema(spec)
    columns = [
        pa.array(said.get(name, [None] * count), schema.field(name).type) for name in schema.names
    ]
    assert reports.log.append(spec, pa.table(columns, schema=schema)).accepted == count
    assert reports.log.roll(NOW) == count
    day = Window(start, start + DAY)
    notice = Notify("fraud:data_drift:1", NotifyAction.TRIGGER, "post", Severity.WARNING, "fraud",
                    "drift", "amount moved", "", NOW - DAY)  # fmt: skip
    with reports.records.begin() as uow:
        for k in range(48):
            uow.judge(verdict(start + k * HOUR, 0.3), verdict(start + k * HOUR, 0.2, "age"))
        uow.measure(MetricPoint("fraud", "v2", "auc", day, 0.9, 0.88, 0.92, 300, 0.9, "matured"))
        uow.save("rollout:fraud", RolloutState("fraud", Stage.CHAMPION, "v2", ("v1",), since=start))
        uow.decide(
            Decision("fraud", NOW - 2 * DAY, "homeostat", "promote", "v2", "better"),
            Decision("fraud", NOW - DAY, "homeostat", "fire", "fraud:data_drift:1", "moved"),
        )
        uow.intend(notice, replace(notice, incident="churn:x:1", model="churn"))
    for each in reports.records.pending(NOW):
        with reports.records.begin() as uow:
            uow.settle(Settled(each.number, "done", NOW - DAY, "taken"))


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


@dataclass
class Box:
    """A receiver of letters that may be away."""

    away: bool = False
    letters: list[Letter] = field(default_factory=list)

    def post(self, letter: Letter) -> str:
        if self.away:
            raise DeliveryError("mail: no route", retry=True)
        self.letters.append(letter)
        return "taken"


def schedule(reports: Reports, folder: Path, **boxes: Box) -> tuple[Schedule, SimulatedClock]:
    weekly = parts.Weekly(day="mon", hour=7, receivers=tuple(boxes))
    asked = parts.Reports(keep=timedelta(days=20), weekly=weekly, monthly=parts.Monthly())
    clock = reports.clock
    assert isinstance(clock, SimulatedClock)
    models = tuple(reports.plans)
    return Schedule(asked, folder, reports, reports.records, boxes, models, clock), clock


def test_each_report_is_made_kept_and_mailed_once(light: Reports, tmp_path: Path) -> None:
    populate(light)
    folder, box = tmp_path / "kept", Box()
    work, clock = schedule(light, folder, post=box)
    assert work.look() == ()
    assert not folder.exists(), "the past is not told of when a schedule is new"
    clock.advance(5 * DAY)
    assert work.look() == work.look() == ()
    (letter,) = box.letters
    assert letter.subject == "Weekly report of 2 models. 2 models: 2 unknown"
    assert letter.filename == "weekly-2024-03-18.html"
    assert letter.html == (folder / "weekly-2024-03-18.html").read_bytes()
    assert "Incidents: " in letter.text
    assert sorted(path.suffix for path in folder.iterdir()) == [".html", ".json", ".md"]
    (folder / "mine.html").write_text("not ours")
    clock.advance(30 * DAY)
    assert work.look() == ()
    assert not (folder / "weekly-2024-03-18.html").exists()
    assert (folder / "mine.html").exists()
    assert {path.stem for path in folder.iterdir()} == {
        "weekly-2024-04-15", "monthly-2024-04-01", "mine",
    }  # fmt: skip
    assert len(box.letters) == 2, "of several that were missed the newest is made"


def test_a_receiver_that_is_away_gets_it_later_and_others_once(
    light: Reports, tmp_path: Path
) -> None:
    away, here = Box(away=True), Box()
    work, clock = schedule(light, tmp_path / "kept", away=away, here=here)
    work.look()
    clock.advance(5 * DAY)
    assert work.look() == ("the weekly report to away: mail: no route",)
    assert work.look() == (), "not at every tick"
    away.away = False
    clock.advance(PATIENCE)
    assert work.look() == ()
    assert (len(away.letters), len(here.letters)) == (1, 1)
    away.away = True
    clock.advance(7 * DAY)
    for _ in range(MOST_TRIES):
        said = work.look()
        clock.advance(PATIENCE)
    assert said[-1] == "the weekly report is given up for away; it is kept"
    assert work.look() == ()


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(
    light: Reports, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    folder.write_text("a file")
    box = Box()
    work, clock = schedule(light, folder, post=box)
    work.look()
    clock.advance(5 * DAY)
    assert "cannot be written" in work.look()[0]
    folder.unlink()
    assert work.look() == ()
    assert len(box.letters) == 1


def test_a_control_plane_makes_what_its_settings_ask_for(here: Path) -> None:
    file, clock = here / "homeostat.yaml", SimulatedClock(NOW)
    quiet = open_deployment(load(file), clock, durable=False)
    assert chores(quiet, lambda: False) is None
    quiet.close()
    file.write_text(CONFIG + "reports: {weekly: {receivers: [post]}}\n")
    deployment = open_deployment(load(file), clock, durable=False)
    work = chores(deployment, lambda: False)
    assert work is not None
    assert work() == ()
    clock.advance(7 * DAY)
    (problem,) = work()
    assert problem.startswith("the weekly report to post: mail localhost: ")
    assert (here / "homeostat-data" / "reports" / "weekly-2024-03-18.html").is_file()
    deployment.close()


def test_hours_are_those_of_the_zone_also_when_clocks_change() -> None:
    part = parts.Weekly(day="sun", hour=7)
    before, after = datetime(2024, 3, 30, tzinfo=UTC), datetime(2024, 3, 31, 6, tzinfo=UTC)
    assert last_due(part, "Europe/Berlin", before) == datetime(2024, 3, 24, 6, tzinfo=UTC)
    assert last_due(part, "Europe/Berlin", after) == datetime(2024, 3, 31, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{weekly: {receivers: [pots]}}", "no receiver is named 'pots'"),
        ("{weekly: {receivers: [term]}}", "reports are files"),
        ("{monthly: {models: [frad]}}", "no model is named 'frad'"),
        ("{monthly: {day: 31}}", "less than or equal to 28"),
        ("{weekly: {day: someday}}", "someday"),
    ],
    ids=["receiver", "kind", "model", "day", "name"],
)
def test_a_wrong_schedule_is_refused_with_its_place(here: Path, text: str, words: str) -> None:
    (here / "homeostat.yaml").write_text(f"{CONFIG}reports: {text}\n")
    with pytest.raises(ConfigError, match=words):
        load(here / "homeostat.yaml")
    (here / "homeostat.yaml").write_text(f"{CONFIG}reports: {{folder: ours, weekly: {{}}}}\n")
    assert load(here / "homeostat.yaml").reports_folder == here / "ours"
