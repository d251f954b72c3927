"""The functions behind the DAGs against a control plane, and the DAG files without Airflow.

``benchmarks/airflow_dags.py`` runs them in the real one.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.decision import Cause, Decision, Diagnosis
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.watch import fresh, retraining_key, rollout_key, watch_key
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.reports import reports_api
from homeostat.entrypoints.reports import Reports
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.models import MemoryRegistry
from unit.entrypoints.monitoring import standing

DAGS = Path(__file__).parents[2] / "maintenance" / "dags"
NOW = datetime(2024, 3, 4, 6, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = Window(NOW - DAY, NOW)
SPEC = ModelSpec(
    "fraud eu", Task.BINARY, Schema((Column("amount", ColumnKind.NUMERIC),)), LabelSpec(DAY),
    classes=("no", "yes"),
)  # fmt: skip
M = SPEC.name
AT_REST = RolloutState(M, Stage.CHAMPION, "1")
NAN = float("nan")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DAGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tasks = _load("homeostat_tasks")


@dataclass
class World:
    records: DatabaseRecords
    url: str

    @property
    def api(self) -> Any:
        return tasks.Homeostat.of_environment({"HOMEOSTAT_URL": f"{self.url}/"})

    def save(self, **states: object) -> None:
        keys = {
            "rollout": rollout_key(M), "run": retraining_key(M), "watch": watch_key(M),
            "inbox": inbox_key(M),
        }  # fmt: skip
        with self.records.begin() as uow:
            for name, state in states.items():
                uow.load(keys[name], type(state))
                uow.save(keys[name], state)

    def judge(self, monitor: Monitor, status: Status, reason: str) -> None:
        verdict = Verdict(
            monitor, M, "amount", WINDOW, status, NAN, 0.1, 1.0, 90.0, NAN, 10, 10, reason
        )
        with self.records.begin() as uow:
            uow.judge(verdict)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Serve whatever application is put under ``app``, so that one server does for all tests."""
    held: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await held["app"](scope, receive, send)

    config = uvicorn.Config(app, port=0, log_config=None, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    held["url"] = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield held
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def world(served: dict[str, Any], tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    tokens = Tokens(records)
    reports = Reports(records, log, MemoryRegistry(), {M: replace(standing.PLAN, spec=SPEC)}, clock)
    routes = [*reports_api(reports, tokens), *api(records, log, [SPEC], clock, tokens)]
    served["app"] = Starlette(routes=routes)
    yield World(records, served["url"])
    log.close()
    records.close()


def test_no_change_no_training(world: World) -> None:
    world.save(rollout=AT_REST)
    world.judge(Monitor.DATA_DRIFT, Status.OK, "all is well")
    world.judge(Monitor.VOLUME, Status.DRIFT, "more rows are no reason to train")
    found = tasks.check_drift(world.api, M, NOW - 2 * DAY)
    assert found == {"train": False, "follow": False, "why": "no monitor found a change"}


def test_a_change_is_trained_on_once(world: World) -> None:
    world.save(rollout=AT_REST, run=RunState(M, 3, RunStage.REJECTED, requested_at=NOW - 9 * DAY))
    world.judge(Monitor.PERFORMANCE, Status.DRIFT, "loss rose by 30 %")
    assert not tasks.check_drift(world.api, M, NOW)["train"], "that was before"
    found = tasks.check_drift(world.api, M, NOW - 2 * DAY)
    assert found == {"train": True, "follow": False, "why": "loss rose by 30 %"}
    asked = tasks.train(world.api, M, found)
    inbox = world.records.read(inbox_key(M), Inbox)
    assert inbox is not None
    (command,) = inbox.commands
    assert (command.request, command.reason) == (Request.RETRAIN, "daily check: loss rose by 30 %")
    assert tasks.trained(world.api, M, asked) is None, "the engine has not ticked yet"
    going = RunState(M, 4, RunStage.TRAINING, requested_at=NOW)
    world.save(run=going, inbox=Inbox())
    assert tasks.trained(world.api, M, asked) is None
    assert tasks.train(world.api, M, found) == {"before": None}, "a repeated task finds the run"
    assert world.records.read(inbox_key(M), Inbox) == Inbox()
    world.save(run=replace(going, stage=RunStage.ACCEPTED, candidate="2", reason="better"))
    ended = {"accepted": True, "candidate": "2", "why": "accepted: better"}
    assert tasks.trained(world.api, M, asked) == ended
    assert tasks.trained(world.api, M, {"before": None}) == ended


def test_a_refused_run_ends_the_wait(world: World) -> None:
    refused = RunState(M, 1, RunStage.REFUSED, requested_at=NOW, reason="too few labels")
    world.save(rollout=AT_REST, run=refused)
    asked = {"before": [1, "2024-03-01T00:00:00Z", None]}
    found = tasks.trained(world.api, M, asked)
    assert found == {"accepted": False, "candidate": "", "why": "refused: too few labels"}


@pytest.mark.parametrize("cause", [Cause.DATA_FAULT, Cause.MODEL_DOWN, Cause.BAD_VERSION])
def test_faults_are_not_trained_on(world: World, cause: Cause) -> None:
    found = Diagnosis(cause, (), "mend it upstream", "text", retrain=False)
    world.save(rollout=AT_REST, watch=replace(fresh(M, "1", NOW, ()), diagnosis=found))
    world.judge(Monitor.DATA_DRIFT, Status.DRIFT, "amount is 100 times larger")
    checked = tasks.check_drift(world.api, M, NOW - 2 * DAY)
    assert checked == {"train": False, "follow": False, "why": f"{cause}: mend it upstream"}


def test_what_goes_already_is_not_asked_for_again(world: World) -> None:
    world.save(rollout=AT_REST, run=RunState(M, 1, RunStage.EVALUATING))
    found = tasks.check_drift(world.api, M, NOW)
    assert (found["train"], found["follow"]) == (True, True)
    assert tasks.train(world.api, M, found) == {"before": None}
    world.save(rollout=RolloutState(M, Stage.CANARY, "1", challenger="2"))
    found = tasks.check_drift(world.api, M, NOW)
    assert (found["train"], found["why"]) == (False, "version 2 is in stage canary already")


def test_without_a_version_it_says_what_to_do(world: World) -> None:
    with pytest.raises(tasks.TaskError, match="homeostat adopt"):
        tasks.check_drift(world.api, M, NOW)


@pytest.mark.parametrize(
    ("state", "shadow", "promotion"),
    [
        (RolloutState(M, Stage.SHADOW, "1", challenger="2"), None, None),
        (RolloutState(M, Stage.CANARY, "1", challenger="2"), "passed", None),
        (RolloutState(M, Stage.PROMOTING, "1", challenger="2"), "passed", None),
        (RolloutState(M, Stage.CHAMPION, "2", ("1",)), "passed", True),
        (RolloutState(M, Stage.CHAMPION, "3", ("1", "2")), "passed", True),
        (RolloutState(M, Stage.CHAMPION, "1", aborted=("2",)), "aborted", False),
        (RolloutState(M, Stage.SHADOW, "1", challenger="3"), "aborted", False),
    ],
    ids=["shadow", "canary", "promoting", "champion", "followed", "aborted", "overtaken"],
)
def test_a_rollout_is_followed(
    world: World, state: RolloutState, shadow: str | None, promotion: bool | None
) -> None:
    world.save(rollout=state)
    assert tasks.shadowed(world.api, M, "2") == shadow
    assert tasks.promoted(world.api, M, "2") is promotion


def point(name: str, value: float, n: int, cohort: str = "matured", segment: str = "") -> Any:
    days = n % 7
    window = Window(NOW - (days + 1) * DAY, NOW - days * DAY)
    return MetricPoint(M, "1", name, window, value, NAN, NAN, n, 1.0, cohort, segment)


def test_accuracy_of_a_week(world: World) -> None:
    world.save(rollout=AT_REST)
    with world.records.begin() as uow:
        uow.measure(point("auc", 0.9, 101), point("auc", 0.6, 300), point("auc", 0.1, 9, "audit"))
        uow.measure(point("auc", 0.2, 8, segment="amount=1"))
    found = tasks.accuracy(world.api, M, *tasks.last(7, NOW))
    auc = found["metrics"]["auc"]
    assert auc["mean"] == pytest.approx((0.9 * 101 + 0.6 * 300) / 401)
    assert (auc["lowest"], auc["highest"], auc["n"], auc["windows"]) == (0.6, 0.9, 401, 2)
    tasks.must_be_well(M, found)
    world.judge(Monitor.CALIBRATION, Status.DRIFT, "too sure")
    with pytest.raises(tasks.TaskError, match="became worse: too sure"):
        tasks.must_be_well(M, tasks.accuracy(world.api, M, *tasks.last(7, NOW)))


def test_a_report_is_that_of_the_control_plane(world: World, tmp_path: Path) -> None:
    world.save(rollout=AT_REST)
    hostile = "`](javascript:x) <script>\n# | \x1b[31m"
    told = Decision(M, NOW - DAY, "homeostat", "reject_candidate", "2", hostile)
    with world.records.begin() as uow:
        uow.decide(told)
        uow.measure(point("auc", 0.9, 101))
    text = world.api.report("weekly", M, NOW)
    assert text.startswith("<!doctype html>")
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "candidate rejected" in text
    assert "Monthly report of" in world.api.report("monthly", M, NOW)
    written = tasks.write_report(text, "weekly_report", M, NOW, tmp_path / "reports")
    assert tasks.write_report(text, "weekly_report", M, NOW, tmp_path / "reports") == written
    assert Path(written).name == "homeostat_weekly_report.fraud_eu.2024-03-04.html"
    with pytest.raises(tasks.TaskError, match="answered 404"):
        world.api.report("daily", M, NOW)
    assert tasks.reports_folder({"HOMEOSTAT_REPORTS": "/r"}) == Path("/r")
    with pytest.raises(tasks.TaskError, match="HOMEOSTAT_REPORTS"):
        tasks.reports_folder({})


def test_mistakes_are_told(world: World, served: dict[str, Any]) -> None:
    with pytest.raises(tasks.TaskError, match="answered 404"):
        world.api.model("none")
    with pytest.raises(tasks.TaskError, match="HOMEOSTAT_URL"):
        tasks.Homeostat.of_environment({"HOMEOSTAT_URL": "file:///etc/passwd"})
    with pytest.raises(tasks.TaskError, match="is it up"):
        tasks.Homeostat("http://127.0.0.1:1").model(M)
    seen: list[str] = []

    async def page(request: Any) -> PlainTextResponse | RedirectResponse:
        seen.append(request.headers.get("authorization", ""))
        if request.url.path.endswith("moved"):
            return RedirectResponse("/api/v1/models/other")
        return PlainTextResponse("no JSON")

    served["app"] = Starlette(routes=[Route("/{path:path}", page)])
    with pytest.raises(tasks.TaskError, match="is it up"):
        tasks.Homeostat(served["url"], "secret").model(M)
    with pytest.raises(tasks.TaskError, match="answered 307"):
        tasks.Homeostat(served["url"], "secret").model("moved")
    assert seen == ["Bearer secret"] * 2, "the token followed no redirect"
    assert "secret" not in repr(tasks.Homeostat("http://a", "secret"))


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_dag_files_call_what_exists(path: Path) -> None:
    """Each name that a DAG takes from the tasks is there, and takes so many arguments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "homeostat"
    ]
    assert bool(used) == (path.stem != "homeostat_tasks")
    for call in used:
        assert isinstance(call.func, ast.Attribute)
        if not any(isinstance(argument, ast.Starred) for argument in call.args):
            named = {str(keyword.arg): keyword.value for keyword in call.keywords}
            inspect.signature(getattr(tasks, call.func.attr)).bind(*call.args, **named)
