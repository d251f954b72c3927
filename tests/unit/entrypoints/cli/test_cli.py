import errno
import json
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import fsspec  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner, Result

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.decision import Decision, Severity
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.watch import incident_key, rollout_key
from homeostat.entrypoints.cli import COMMANDS, run
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
CONFIG = """\
server: {port: 0}
gateway: {port: 0}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric}
    labels: {maturity: 60d}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    return tmp_path


def open_records(folder: Path) -> DatabaseRecords:
    (folder / "homeostat-data").mkdir(exist_ok=True)
    return DatabaseRecords(f"sqlite:///{folder}/homeostat-data/records.db", SystemClock())


@pytest.fixture
def running(here: Path) -> Path:
    incident = IncidentState(
        "fraud",
        "data_fault",
        Stage.FIRING,
        2,
        Severity.CRITICAL,
        title="[bold]amount",
        fired_at=NOW,
    )
    rollout = RolloutState("fraud", RolloutStage.CANARY, "v1", ("v0",), "v2", weight=0.1)
    records = open_records(here)
    with records.begin() as uow:
        uow.save(late_key("fraud"), LateMemory(rows=12, labels=3, corrected=1, told=NOW))
        uow.save(incident_key("fraud", "data_fault"), incident)
        uow.save(rollout_key("fraud"), rollout)
        uow.decide(Decision("fraud", NOW, "homeostat", "promote", "v1", "better"))
    records.close()
    return here


def call(*arguments: str) -> tuple[int, str, str]:
    """Run a command as the shell would; return exit code, stdout and stderr."""
    runner = CliRunner()
    codes: list[int] = []

    @click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("given", nargs=-1, type=click.UNPROCESSED)
    def shell(given: tuple[str, ...]) -> None:
        codes.append(run(list(given), debug="--debug" in given))

    result: Result = runner.invoke(shell, list(arguments), catch_exceptions=False)
    return codes[0], result.stdout, result.stderr


def asked(folder: Path) -> list[tuple[Request, str, str]]:
    records = open_records(folder)
    inbox = records.read(inbox_key("fraud"), Inbox)
    records.close()
    return [(c.request, c.subject, c.reason) for c in (inbox or Inbox()).commands]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    code, out, _ = call(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: homeostat {name}")


def test_help_lists_all_commands_and_imports_none_of_them() -> None:
    check = (
        "import sys; from homeostat.entrypoints.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'pyarrow', 'sqlalchemy', 'pydantic', 'rich', 'starlette', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_mistakes_are_one_line_and_exit_code_2(here: Path) -> None:
    for arguments in (
        ("nonsense",),
        ("status", "--nonsense"),
        ("status", "-c", "none.yaml"),
        ("status",),
        ("init", "none.csv"),
        ("token", "create", "ci", "--scope", "all"),
    ):
        code, _, err = call(*arguments)
        assert code == 2, arguments
        assert err.startswith("homeostat: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err


def test_a_library_of_an_extra_is_named_with_the_way_to_get_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm")

    monkeypatch.setattr("homeostat.entrypoints.cli.setup.problems", lacking)
    code, _, err = call("config", "check")
    assert code == 2
    assert "lightgbm is not installed; python -m pip install 'homeostat[lightgbm]'" in err


def test_our_faults_exit_with_3_and_debug_shows_where(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("homeostat.entrypoints.cli.setup.problems", broken)
    code, _, err = call("config", "check")
    assert (code, err.count("\n")) == (3, 1)
    assert "RuntimeError: boom; a fault in Homeostat" in err
    assert "Traceback" in call("--debug", "config", "check")[2]

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("homeostat.entrypoints.cli.setup.problems", stopped)
    assert call("config", "check")[0] == 130

    def gone(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "broken pipe")

    monkeypatch.setattr("homeostat.entrypoints.cli.setup.problems", gone)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", sys.stdout)
        assert run(["config", "check"]) == 0


def test_a_bare_call_shows_the_help() -> None:
    code, _, err = call()
    assert code == 2
    assert "Commands:" in err


def test_a_full_disk_is_ours(here: Path) -> None:
    (here / "homeostat-data").write_text("not a folder")
    code, _, err = call("token", "create", "ci", "--scope", "read")
    assert code == 3
    assert "cannot make the folder" in err


def test_config_check_lists_everything(here: Path) -> None:
    assert call("config", "check") == (0, "homeostat.yaml is fine\n", "")
    (here / "homeostat.yaml").write_text("servr: 1\nmodels: []\n")
    code, out, err = call("config", "check")
    assert code == 2
    assert "homeostat.yaml:1: servr: is no setting here; did you mean 'server'?" in out
    assert "has 2 problems" in err
    found = json.loads(call("config", "check", "--json")[1])
    assert [item["line"] for item in found] == [1, 2]
    assert json.loads(call("config", "schema")[1])["title"] == "homeostat.yaml"


def test_init_drafts_a_file_that_checks(here: Path) -> None:
    (here / "d.csv").write_text("x,label\n" + "1.5,0\n2.5,1\n" * 20)
    assert call("init", "d.csv")[0] == 2
    code, out, _ = call("init", "d.csv", "-o", "new.yaml")
    assert code == 0
    assert "new.yaml: model d, binary, 1 features" in out
    assert call("config", "check", "-c", "new.yaml")[0] == 0


def test_status_and_fail_on(running: Path) -> None:
    code, out, _ = call("status")
    assert code == 0
    assert "v2 (10%)" in out
    assert "fraud:data_fault:2" in out
    (model,) = json.loads(call("status", "--json")[1])["models"]
    assert (model["champion"], model["stage"], model["worst"]) == ("v1", "canary", "critical")
    assert "fraud: came late and restated its windows: 12 rows, 3 labels, 1 corrected" in out
    came = {"rows": 12, "labels": 3, "corrected": 1, "told": "2024-03-01T12:00:00Z"}
    assert model["late"] == came
    assert call("status", "--fail-on", "critical")[0] == 1
    assert call("status", "--fail-on", "warning")[0] == 1


def test_status_of_many_models_fits_one_screen(here: Path) -> None:
    model = "{task: binary, features: {amount: numeric}, labels: {maturity: 60d}, name: m%03d}"
    listed = ", ".join(model % number for number in range(100))
    (here / "homeostat.yaml").write_text(f"models: [{listed}]\n")
    records = open_records(here)
    with records.begin() as uow:
        for name, severity in (("m050", Severity.WARNING), ("m099", Severity.CRITICAL)):
            state = IncidentState(name, "drift", Stage.FIRING, 1, severity, fired_at=NOW)
            uow.save(incident_key(name, "drift"), state)
        for number in range(40):
            order = LateMemory(rows=12, labels=3, corrected=1, told=NOW)
            uow.save(late_key(f"m{number:03}"), order)
    records.close()
    lines = call("status")[1].splitlines()
    assert len(lines) <= 24
    assert [line.split()[0] for line in lines[1:4]] == ["m099", "m050", "m000"]
    assert "and 90 more models, 0 with open incidents: --all" in lines
    assert len(call("status", "--all")[1].splitlines()) > 140
    assert len(json.loads(call("status", "--json")[1])["models"]) == 100


def test_alerts(running: Path) -> None:
    out = call("alerts", "list")[1]
    assert "[bold]amount" in out
    assert json.loads(call("alerts", "list", "--json", "-m", "fraud")[1])["incidents"][0]["open"]
    assert call("alerts", "ack", "fraud:data_fault:9")[0] == 2
    resolved = IncidentState("fraud", "data_drift", Stage.RESOLVED, 1, fired_at=NOW)
    records = open_records(running)
    with records.begin() as uow:
        uow.save(incident_key("fraud", "data_drift"), resolved)
    records.close()
    assert "data_drift" not in call("alerts", "list")[1]
    assert "data_drift" in call("alerts", "list", "--all")[1]
    assert "only an open one" in call("alerts", "ack", "fraud:data_drift:1")[2]
    assert call("alerts", "ack", "fraud:data_fault:2")[0] == 0
    assert "only an open one" in call("alerts", "close", "fraud:data_drift:1", "--reason", "x")[2]
    assert call("alerts", "close", "fraud:data_fault:2", "--reason", "mended")[0] == 0
    assert asked(running) == [
        (Request.ACKNOWLEDGE, "fraud:data_fault:2", ""),
        (Request.CLOSE, "fraud:data_fault:2", "mended"),
    ]


def test_what_people_ask_lands_in_the_inbox(running: Path) -> None:
    for arguments in (
        ("rollout", "push", "v9", "--reason", "fix"),
        ("rollout", "submit", "v8"),
        ("rollout", "approve"),
        ("rollout", "abort"),
        ("retrain",),
    ):
        code, out, _ = call(*arguments)
        assert code == 0
        assert "next tick" in out
    assert asked(running) == [
        (Request.PUSH, "v9", "fix"),
        (Request.SUBMIT, "v8", ""),
        (Request.APPROVE, "", ""),
        (Request.ABORT, "", ""),
        (Request.RETRAIN, "", ""),
    ]


def test_rollout_status_and_decisions(running: Path) -> None:
    assert "canary" in call("rollout", "status")[1]
    assert json.loads(call("rollout", "status", "--json")[1])["rollouts"][0]["challenger"] == "v2"
    assert "promote" in call("decisions")[1]
    assert json.loads(call("decisions", "--json", "-m", "fraud")[1])["decisions"][0]["actor"]


def test_doctor_asks_the_object_store(here: Path) -> None:
    text = (here / "homeostat.yaml").read_text()
    (here / "homeostat.yaml").write_text(text + "storage: {parquet: 'memory://doctor/logs'}\n")
    code, out, _ = call("doctor")
    assert code == 0
    assert "memory://doctor/logs answers; nothing is in it yet" in out
    with fsspec.open("memory://doctor/logs/homeostat-log", "wb") as sink:
        sink.write(b"another")
    code, out, _ = call("doctor")
    assert code == 1
    assert "belongs to another prediction log" in out
    fsspec.filesystem("memory").rm("/doctor", recursive=True)


def test_doctor(here: Path) -> None:
    code, out, _ = call("doctor")
    assert code == 0
    assert "no version yet" in out
    records = open_records(here)
    with records.begin() as uow:
        uow.save(rollout_key("fraud"), RolloutState("fraud", RolloutStage.CHAMPION, "v1"))
    records.close()
    code, out, _ = call("doctor")
    assert code == 1
    assert "v1" in out
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (here / "homeostat.yaml").write_text(CONFIG.replace("port: 0", f"port: {port}", 1))
        assert f"127.0.0.1:{port} is in use" in call("doctor")[1]
    (here / "homeostat.yaml").write_text(
        CONFIG.replace("{port: 0}", "{port: 0, host: 0.0.0.0}", 1)
        + "    retraining: {trainer: 'train.py:train'}\n"
        + "receivers: {hook: {type: webhook, url: 'https://h', secret_env: NOT_SET_HERE}}\n"
    )
    assert "NOT_SET_HERE" not in os.environ
    code, out, _ = call("doctor", "--json")
    assert code == 1
    failed = {c["check"] for c in json.loads(out)["checks"] if c["grade"] == "failed"}
    wanted = {"access", "receiver hook", "trainer of fraud", "champion of fraud"}
    assert failed == wanted


def test_status_says_what_is_not_monitored(running: Path) -> None:
    assert "fraud: no reference: drift is not monitored" in call("status")[1]
    assert json.loads(call("status", "--json")[1])["models"][0]["unmonitored"]


def test_orders_to_breakers(running: Path) -> None:
    assert "decides for itself" in call("breaker", "list")[1]
    for arguments in (
        ("breaker", "force-open", "v2", "--reason", "nonsense"),
        ("breaker", "disable", "v1", "-m", "fraud"),
    ):
        code, out, err = call(*arguments)
        assert (code, "within a second" in out) == (0, True)
        assert "warning: " in err
        assert arguments[2] in err
    assert "force_open" in call("breaker", "list", "-m", "fraud")[1]
    listed = json.loads(call("breaker", "list", "--json")[1])["orders"]
    assert [(o["order"]["version"], o["order"]["event"]) for o in listed] == [
        ("v2", "force_open"),
        ("v1", "disable"),
    ]
    assert "breaker of v2 force_open by" in call("status")[1]
    assert call("breaker", "reset", "v2")[0] == 0
    assert "breaker of v2" not in call("status")[1]
    standing = json.loads(call("status", "--json")[1])["models"][0]["breakers"]
    assert [order["version"] for order in standing] == ["v1"]
    assert "force_open_breaker" in call("decisions")[1]


def test_a_model_trained_elsewhere_becomes_a_version(here: Path) -> None:
    made, odd = here / "made", here / "odd"
    save_linear(made, 0.0, [Term("amount", 1.0, 0.0, 1.0)])
    save_linear(odd, 0.0, [Term("colour", 1.0, 0.0, 1.0)])
    text = (here / "homeostat.yaml").read_text()
    fallback = "    fallback: [{lighter: {version: small}}, {default: {score: 0.5}}]\n"
    (here / "homeostat.yaml").write_text(text + fallback)
    code, out, _ = call("doctor")
    assert code == 1, out
    assert re.search(r"failed +lighter version of fraud", out)
    code, out, err = call("register", "made", "-m", "fraud", "--version", "small")
    assert (code, out) == (0, "fraud: version small (linear) is registered\n"), err
    assert re.search(r"ok +lighter version of fraud +small is whole", call("doctor")[1])
    assert call("register", "made", "-m", "fraud")[1] == "fraud: version 1 (linear) is registered\n"
    for wrong, told in (
        (["odd"], "takes colour, not in fraud's schema"),
        (["."], "give --flavour"),
        (["made", "--flavour", "onnx"], "made/meta.json: cannot be read"),
    ):
        code, _, err = call("register", *wrong)
        assert code == 2
        assert told in err
