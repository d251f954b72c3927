import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from asgi import Caller
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.routes import RecordsRoutes
from homeostat.adapters.telemetry import Calling
from homeostat.adapters.trainers.local import LocalTrainer
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.errors import ConfigError, StorageError
from homeostat.domain.window import Window
from homeostat.engine.adopt import adopt, split_history
from homeostat.engine.ports import Training
from homeostat.engine.watch import incident_key
from homeostat.entrypoints.bootstrap import (
    Deployment,
    application,
    open_deployment,
    open_records,
)
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.worker import Pulse
from homeostat.serving.sharing import SharedCircuit
from homeostat.simulation.clock import SimulatedClock
from remote_writes import WriteServer

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
CONFIG = """\
receivers:
  console: {type: console}
  hook: {type: webhook, url_env: HOOK_URL, secret_env: HOOK_KEY}
  plain: {type: webhook, url: 'https://example.org/hook'}
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
    retraining: {trainer: 'train.py:train', timeout: 90s}
  - name: churn
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
"""
SECRETS = {"HOOK_URL": "https://example.org/secret", "HOOK_KEY": "key"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    (tmp_path / "train.py").write_text("")
    return tmp_path


def opened(folder: Path) -> Deployment:
    return open_deployment(load(folder / "homeostat.yaml"), SimulatedClock(NOW), durable=False)


def adopt_fraud(deployment: Deployment, folder: Path) -> None:
    rng = np.random.default_rng(5)
    times = [NOW - timedelta(days=20) + timedelta(minutes=30) * row for row in range(960)]
    amounts = rng.normal(100.0, 10.0, 960)
    columns = {"timestamp": times, "amount": amounts, "label": (amounts > 100).astype(float)}
    plan = deployment.plans["fraud"]
    save_linear(folder / "made", 0.0, [Term("amount", 2.0, 100.0, 10.0)])
    training = Training(done=True, artifact=folder / "made", flavour="linear")
    adopt(plan, deployment.ports(), split_history(plan, pa.table(columns)), training, NOW)


def test_the_parts_are_connected(folder: Path) -> None:
    deployment = opened(folder)
    adopt_fraud(deployment, folder)
    engine = deployment.engine(deployment.ports())
    assert engine.tick(NOW + timedelta(minutes=1)) == ()
    table = deployment.route_table()
    assert table.follow(RecordsRoutes(deployment.records)) == {}
    gateway = deployment.gateway(table)
    answer = gateway.predict("fraud", pa.table({"amount": [130.0]}))
    assert answer["tier"].to_pylist() == ["model"]
    assert gateway.close()
    hour = Window(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    assert deployment.log.rows(deployment.plans["fraud"].spec, hour).num_rows == 1
    deployment.close()


def test_breakers_are_shared_where_a_redis_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not there, and the gateway answers all the same."""
    path = folder / "homeostat.yaml"
    path.write_text("gateway: {redis_env: BREAKERS_URL}\n" + CONFIG)
    deployment = opened(folder)
    with pytest.raises(ConfigError, match="BREAKERS_URL is not set"):
        deployment.route_table()
    monkeypatch.setenv("BREAKERS_URL", f"unix://{folder}/nowhere.sock")
    adopt_fraud(deployment, folder)
    deployment.engine(deployment.ports()).tick(NOW + timedelta(minutes=1))
    table = deployment.route_table()
    assert table.follow(RecordsRoutes(deployment.records)) == {}
    live = table.live("fraud")
    assert live is not None
    assert isinstance(live.versions["1"].breaker, SharedCircuit)
    gateway = deployment.gateway(table)
    answer = gateway.predict("fraud", pa.table({"amount": [130.0]}))
    assert answer["tier"].to_pylist() == ["model"]
    assert gateway.close()
    deployment.close()


def test_figures_are_sent_with_a_token_where_that_is_configured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = opened(folder)
    assert plain.remote_write() is None
    plain.close()
    server = WriteServer()
    asked = f"server: {{remote_write: {{url: '{server.url}', token_env: TOKEN}}}}\n"
    (folder / "homeostat.yaml").write_text(asked + CONFIG)
    deployment = opened(folder)
    with pytest.raises(ConfigError, match=r"server\.remote_write\.token_env: .*TOKEN is not set"):
        deployment.remote_write()
    monkeypatch.setenv("TOKEN", "s3cret")
    writer = deployment.remote_write()
    assert writer is not None
    deployment.pusher(writer, Pulse(), 8420).turn()
    server.close()
    deployment.close()
    assert server.tokens == ["Bearer s3cret"]
    names = {dict(labels)["__name__"] for labels in server.took}
    assert {"up", "homeostat_model_info", "homeostat_remote_write_samples_total"} <= names
    places = {(found["job"], found["instance"]) for found in map(dict, server.took)}
    assert places == {("homeostat", f"{socket.gethostname()}:8420")}


def test_answers_for_a_log_elsewhere_wait_on_disk_while_it_is_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "homeostat.yaml"
    away = "gateway: {log: 'http://127.0.0.1:9', log_token_env: TOKEN, spill: {folder: kept}}\n"
    path.write_text(away + CONFIG)
    deployment = opened(folder)
    with pytest.raises(ConfigError, match=r"gateway\.log_token_env: .*TOKEN is not set"):
        deployment.gateway(deployment.route_table())
    monkeypatch.setenv("TOKEN", "s3cret")
    called = set[str]()

    @contextmanager
    def calls(url: str) -> Iterator[Calling]:
        called.add(url)
        yield Calling()

    gateway = deployment.gateway(deployment.route_table(), calls=calls)
    gateway.predict("fraud", pa.table({"amount": [1.0, 2.0]}))
    assert gateway.close(0.1), "nothing is given up"
    assert gateway.writer.spilled == 2
    assert called == {"http://127.0.0.1:9/api/v1/models/fraud/predictions"}
    deployment.close()
    path.write_text("gateway: {spill: {folder: kept}}\n" + CONFIG)
    again = opened(folder)
    after = again.gateway(again.route_table())
    assert after.flush()
    assert after.writer.counts.accepted == 2
    assert after.close()
    assert list((folder / "kept").iterdir()) == []
    again.close()


def test_everything_is_there_when_it_is_opened_again(folder: Path) -> None:
    first = opened(folder)
    adopt_fraud(first, folder)
    first.engine(first.ports()).tick(NOW + timedelta(minutes=1))
    first.close()
    again = opened(folder)
    route = RecordsRoutes(again.records).current("fraud")
    assert route is not None
    assert route.champion == "1"
    assert [card.version for card in again.registry.versions("fraud")] == ["1"]
    again.close()


def test_only_models_that_are_retrained_have_a_trainer(folder: Path) -> None:
    deployment = opened(folder)
    trainers = deployment.ports().trainers
    assert list(trainers) == ["fraud"]
    made = deployment.trainers(wait=True)["fraud"]
    assert isinstance(made, LocalTrainer)
    assert made.function == f"{folder.resolve()}/train.py:train"
    assert (made.limit, made.wait) == (timedelta(seconds=90), True)
    (folder / "train.py").unlink()
    with pytest.raises(ConfigError, match=r"fraud\.retraining\.trainer: there is no file"):
        deployment.trainers()
    deployment.close()


def test_the_pages_are_served_compressed_with_the_deployments_own_runbooks(folder: Path) -> None:
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "model_down.md").write_text("# Call Ada\n")
    deployment = opened(folder)
    incident = IncidentState(
        "fraud", "model_down", Stage.FIRING, 1, fired_at=NOW, runbook="runbooks/model_down.md"
    )
    with deployment.records.begin() as uow:
        uow.save(incident_key("fraud", "model_down"), incident)
    caller = Caller(application(deployment.pages()), "http://127.0.0.1")
    page = caller.get("/", headers={"Accept-Encoding": "gzip"})
    assert page.status_code == 200
    assert page.headers["content-encoding"] == "gzip"
    assert "churn" in page.text
    assert caller.get("/api/v1/models").status_code == 200
    assert "Call Ada" in caller.get("/incidents/fraud:model_down:1").text
    deployment.close()


def test_what_cannot_be_opened_is_a_storage_error(folder: Path) -> None:
    data = folder / "homeostat-data"
    data.write_text("in the way")
    settings, clock = load(folder / "homeostat.yaml"), SimulatedClock(NOW)
    for attempt in (open_records, open_deployment):
        with pytest.raises(StorageError, match=r"cannot make the folder .*: File exists"):
            attempt(settings, clock)
    data.unlink()
    data.mkdir()
    (data / "log").write_text("in the way")
    with pytest.raises(StorageError, match="the prediction log"):
        open_deployment(settings, clock)
    (data / "log").unlink()
    open_deployment(settings, clock).close()


def test_a_sender_is_held_to_its_rate_if_there_is_one(folder: Path) -> None:
    def sent(rows: int) -> int:
        lines = [f'{{"prediction_id": "{rows}-{n}", "label": 1}}' for n in range(rows)]
        body = ("\n".join(lines)).encode()
        path, headers = "/api/v1/models/fraud/labels", {"Content-Type": "application/x-ndjson"}
        return int(client.post(path, content=body, headers=headers).status_code)

    for rate, expected in (("0", 200), ("2.5", 429)):
        (folder / "homeostat.yaml").write_text(f"server: {{rows_per_second: {rate}}}\n{CONFIG}")
        deployment = opened(folder)
        client = Caller(application(deployment.pages()), "http://127.0.0.1:8420")
        assert (sent(20), sent(10)) == (200, expected)
        deployment.close()


def test_label_files_are_looked_for_where_a_model_has_a_folder(folder: Path) -> None:
    deployment = opened(folder)
    assert deployment.label_files(lambda: False) is None
    deployment.close()
    text = CONFIG.replace("labels: {maturity: 1d}", "labels: {maturity: 1d, folder: in}", 1)
    (folder / "homeostat.yaml").write_text(text)
    (folder / "in").mkdir()
    (folder / "in" / "a.csv").write_text("id,label\na,1\n")
    os.utime(folder / "in" / "a.csv", (0, NOW.timestamp() - 60))
    deployment = opened(folder)
    look = deployment.label_files(lambda: False)
    assert look is not None
    assert look() == ()
    assert deployment.log.status().labels == 1
    assert (folder / "in" / "done" / "a.csv").exists()
    deployment.close()
