"""What users, disks and other programs get wrong: a clear word, the right exit code, nothing lost.

Bad rows at the API and in the log: tests/unit/entrypoints/http/test_api.py and the log's suite.
Ports in use: test_live.py. Mistakes in homeostat.yaml one by one: tests/unit/entrypoints/settings.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.bootstrap import Deployment, open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.worker import Worker
from homeostat.rollout.state import RolloutState
from integration.live_site import CONFIG, TRAINER, adopt_in_place, history, until

PREDICT = "/v1/models/fraud/predict"
LABELS = "/api/v1/models/fraud/labels"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    (tmp_path / "train.py").write_text(TRAINER)
    return tmp_path


@pytest.fixture
def deployment(here: Path) -> Iterator[Deployment]:
    made = open_deployment(load(here / "homeostat.yaml"), SystemClock())
    adopt_in_place(made)
    yield made
    made.close()


def replaced(name: str, values: pa.Array) -> pa.Table:
    table = history()
    return table.set_column(table.column_names.index(name), name, values)


def later(table: pa.Table) -> pa.Array:
    moved = pc.add(table["timestamp"], pa.scalar(timedelta(days=2)))
    return moved.combine_chunks()


HISTORIES = {
    "no-rows": (lambda: history().slice(0, 0), "has no rows"),
    "few-rows": (lambda: history().slice(0, 20), "has only 20 labelled rows"),
    "unknown-column": (lambda: history().drop_columns(["amount"]), "has no column 'amount'"),
    "wrong-type": (
        lambda: replaced("amount", pa.array(["a lot"] * 3000)),
        "column 'amount' cannot be read as double",
    ),
    "one-class": (lambda: replaced("label", pa.array([0.0] * 3000)), "holds the class no only"),
    "future": (lambda: replaced("timestamp", later(history())), "its last row lies in the future"),
    "ids-twice": (
        lambda: history().append_column("prediction_id", pa.array(["a"] * 3000)),
        "column 'prediction_id' holds 'a' more than once",
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_that_cannot_be_used(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = HISTORIES[name]
    pq.write_table(make(), here / "history.parquet")
    assert run(["adopt", "history.parquet"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert run(["status", "--json"]) == 0
    assert '"champion": ""' in capsys.readouterr().out
    assert not list(here.rglob("model.json")), "nothing was trained"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"PAR1 and then nothing", "cannot be read"), (None, "there is no file")],
)
def test_a_file_that_is_none(
    here: Path, content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (here / "history.parquet").write_bytes(content)
    assert run(["adopt", "history.parquet"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [["serve"], ["gateway"], ["adopt", "history.parquet"]])
def test_a_wrong_configuration_is_told_with_its_line_before_anything_is_opened(
    here: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "homeostat.yaml").write_text(CONFIG.replace("deadline: 5s", "deadline: fast"))
    assert run(command) == 2
    told = capsys.readouterr().err
    assert "homeostat.yaml:2: gateway.deadline" in told
    assert told.count("\n") == 1
    (here / "homeostat.yaml").write_text(CONFIG.replace("train.py:", "trian.py:"))
    if command[0] != "gateway":
        assert run(command) == 2
        assert "retraining.trainer: there is no file" in capsys.readouterr().err


def test_a_trainer_that_fails_is_ours_to_tell_and_theirs_to_mend(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(history(), here / "history.parquet")
    (here / "train.py").write_text("def train(rows, spec, out):\n    raise KeyError('amnt')\n")
    assert run(["adopt", "history.parquet"]) == 3
    assert "the first training failed: KeyError: 'amnt'" in capsys.readouterr().err
    (here / "train.py").write_text(TRAINER)
    assert run(["adopt", "history.parquet"]) == 0
    assert "version 1 is the champion" in capsys.readouterr().out
    assert run(["adopt", "history.parquet"]) == 2
    assert "fraud has a champion already (1)" in capsys.readouterr().err


def test_a_corrupt_champion_is_named_and_the_fallback_answers(deployment: Deployment) -> None:
    engine = deployment.engine(deployment.ports())
    assert engine.tick(deployment.clock.now()) == ()
    (stored,) = deployment.settings.models_folder.rglob("model.json")
    stored.chmod(0o644)
    stored.write_text(stored.read_text().replace("2.0", "3.0"))
    table = deployment.route_table()
    problem = table.follow(RecordsRoutes(deployment.records))["fraud"]
    assert "1" in problem
    assert "sha256" in problem.lower().replace("-", "")
    gateway = deployment.gateway(table)
    answer = gateway.predict("fraud", pa.table({"amount": [100.0]}))
    assert (answer["tier"][0].as_py(), answer["score"][0].as_py()) == ("default", 0.5)
    assert gateway.close()
    now = deployment.clock.now()
    submit(deployment.records, Command(Request.PUSH, "fraud", "me", "1", ""), now)
    engine.tick(now)
    last = deployment.records.decisions("fraud")[-1]
    assert (last.action, last.subject) == ("refuse", "1")


def test_a_full_disk_loses_no_answer_and_no_label(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(
        deployment.engine(deployment.ports()),
        deployment.log,
        deployment.clock,
        timedelta(seconds=1),
        roll_every=timedelta(0),
    )
    worker.once()
    table = deployment.route_table()
    assert table.follow(RecordsRoutes(deployment.records)) == {}
    gateway = deployment.gateway(table)
    api = Caller(Starlette(routes=deployment.pages()), "http://127.0.0.1")
    first = gateway.predict("fraud", pa.table({"amount": [90.0, 110.0]}))
    assert gateway.flush()

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    labels = [{"prediction_id": key, "label": 1} for key in first["prediction_id"].to_pylist()]
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(pq, "ParquetWriter", full)
        during = gateway.predict("fraud", pa.table({"amount": [100.0, 120.0]}))
        assert set(during["tier"].to_pylist()) == {"model"}, "callers notice nothing"
        refused = api.post(LABELS, json={"labels": labels})
        assert refused.status_code == 503
        assert "No space left" in refused.json()["error"]
        worker.once()
        assert "No space left" in worker.problems[0]
    assert api.post(LABELS, json={"labels": labels}).json()["accepted"] == 2
    assert gateway.close()
    worker.once()
    assert worker.problems == ()
    now = deployment.clock.now()
    hour = Window(now - timedelta(hours=1), now + timedelta(hours=1))
    rows = deployment.log.labelled(deployment.settings.specs[0], hour, now)
    expected = [*first["prediction_id"].to_pylist(), *during["prediction_id"].to_pylist()]
    assert sorted(rows["prediction_id"].to_pylist()) == sorted(expected)
    assert rows["label"].null_count == 2


def test_full_records_stop_no_loop_and_change_nothing(deployment: Deployment) -> None:
    engine = deployment.engine(deployment.ports())
    worker = Worker(engine, deployment.log, deployment.clock, timedelta(milliseconds=20))
    worker.once()
    before = deployment.records.read(rollout_key("fraud"), RolloutState)
    database = deployment.records.database
    limits = {"pages": 1}

    def limited(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limits['pages']}")

    database._engine.dispose()
    sa.event.listen(database._engine, "connect", limited)
    long = Command(Request.PUSH, "fraud", "me", "1", "x" * 10**6)
    worker.start()
    with pytest.raises(Exception, match="full") as caught:
        submit(deployment.records, long, deployment.clock.now())
    assert getattr(caught.value, "exit_code", 0) == 3
    assert deployment.records.read(rollout_key("fraud"), RolloutState) == before
    limits["pages"] = 10**6
    database._engine.dispose()
    tick = worker.last_tick
    until(lambda: worker.last_tick != tick)
    submit(deployment.records, long, deployment.clock.now())
    assert worker.stop()


def test_adopt_and_doctor_say_that_drift_is_not_monitored(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """4 rows an hour: too few for hourly windows of drift."""
    narrow = CONFIG.replace("    monitors:\n", "    monitors:\n      drift: {window: 1h}\n")
    (here / "homeostat.yaml").write_text(narrow)
    pq.write_table(history(), here / "history.parquet")
    assert run(["adopt", "history.parquet", "--json"]) == 0
    told = capsys.readouterr()
    wanted = "1h holds about 4 rows; drift needs 50: widen monitors.drift.window to 1d8h"
    assert f"warning: fraud: no reference for drift: not monitored while {wanted}" in told.err
    (warning,) = json.loads(told.out)["warnings"]
    assert wanted in warning
    run(["doctor", "--json"])
    found = {c["check"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert found["reference of fraud"]["grade"] == "warning"
    assert found["reference of fraud"]["text"] == warning
    deployment = open_deployment(load(here / "homeostat.yaml"), SystemClock())
    try:
        assert deployment.ports().records.reference("fraud", "1")
    finally:
        deployment.close()
    (here / "homeostat.yaml").write_text(narrow.replace("window: 1h", "window: 32h"))
    run(["doctor", "--json"])
    found = {c["check"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert found["reference of fraud"]["grade"] == "ok"
