"""`homeostat adopt`, `serve` and `gateway` as a user runs them: in processes, over sockets."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load
from integration.live_site import CONFIG, Service, Site, homeostat, until
from remote_writes import WriteServer


@pytest.fixture(scope="module")
def writes() -> Iterator[WriteServer]:
    made = WriteServer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory, writes: WriteServer) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("live"))
    sending = f"tick: 1s, remote_write: {{url: '{writes.url}', every: 1s}}"
    path = site.folder / "homeostat.yaml"
    path.write_text(path.read_text().replace("tick: 1s", sending))
    done = homeostat(site.folder, "adopt", "history.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "fraud: version 1 is the champion" in done.stdout
    yield site
    site.stop()


def logged_ids(site: Site) -> list[str]:
    deployment = open_deployment(load(site.folder / "homeostat.yaml"), SystemClock())
    now = SystemClock().now()
    window = Window(now - timedelta(days=1), now + timedelta(days=1))
    rows = deployment.log.rows(deployment.settings.specs[0], window, ["prediction_id", "role"])
    deployment.close()
    return [row["prediction_id"] for row in rows.to_pylist() if row["role"] != "shadow"]


def push_bad_version(site: Site) -> str:
    folder = site.folder / "bad"
    save_linear(folder, 0.0, [Term("amount", -4.0, 100.0, 15.0)])
    registry = LocalRegistry(site.folder / "homeostat-data" / "models", SystemClock())
    card = ModelVersion("fraud", "", "linear", "", SystemClock().now())
    version = registry.register(card, folder).version
    done = homeostat(site.folder, "rollout", "push", version, "--reason", "a test")
    assert done.returncode == 0, done.stderr
    return version


def champion(server: Service) -> str:
    return str(server.http.get("/api/v1/models/fraud").json()["rollout"]["champion"])


def written(writes: WriteServer, name: str) -> list[float | None]:
    """Return what came by remote write of one process's series, one after the other."""
    every = [samples for labels, samples in writes.took.items() if ("__name__", name) in labels]
    return [value for samples in every for _, value in samples]


def test_a_bad_version_is_served_noticed_and_taken_back(adopted: Site, writes: WriteServer) -> None:
    server, gateway = adopted.start("serve"), adopted.start("gateway")
    until(lambda: gateway.http.get("/health/ready").status_code == 200, what="route")
    for _ in range(4):
        adopted.label(server, adopted.predict(gateway))
    assert "fraud" in server.http.get("/").text
    assert server.http.get("/models/fraud").status_code == 200
    assert "data drift" in server.http.get("/runbooks/data-drift.md").text.lower()
    assert server.http.get("/runbooks/none.md").status_code == 404
    figures = server.http.get("/metrics").text
    assert 'homeostat_model_info{model="fraud",task="binary",champion="1"} 1' in figures
    assert "homeostat_leading 1" in figures
    bad = push_bad_version(adopted)
    until(lambda: champion(server) == bad, what="push")

    def seen_and_gone() -> bool:
        adopted.label(server, adopted.predict(gateway, 100))
        return champion(server) == "1"

    until(seen_and_gone, 40, what="rollback")
    until(lambda: {a["version"] for a in adopted.predict(gateway, 5)} == {"1"}, what="route back")
    decisions = server.http.get("/api/v1/models/fraud/decisions").json()["decisions"]
    actions = [decision["action"] for decision in decisions]
    assert actions.index("push") < actions.index("roll_back")
    assert "CRITICAL trigger fraud:" in server.said, "the alert is on stdout"
    status = homeostat(adopted.folder, "status", "--json")
    assert json.loads(status.stdout)["models"][0]["champion"] == "1"
    until(lambda: written(writes, "homeostat_remote_write_samples_total"), what="remote write")
    assert "homeostat_remote_write_waiting 0" in server.http.get("/metrics").text
    assert server.send(signal.SIGTERM) == 0
    assert (written(writes, "up")[-1], writes.faults) == (None, [])
    assert gateway.send(signal.SIGTERM) == 0
    assert "Traceback" not in server.log + gateway.log
    assert sorted(logged_ids(adopted)) == sorted(adopted.sent)


def stop_amid_a_request(gateway: Service, name: str) -> bytes:
    """Send half a request, SIGTERM, and the other half; return the status line."""
    at = urlsplit(str(gateway.http.base_url))
    body = json.dumps({"rows": [{"amount": 100.0, "prediction_id": name}]}).encode()
    head = f"POST /v1/models/fraud/predict HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((at.hostname, at.port), timeout=20) as client:
        client.sendall(head.encode() + b"\r\n" + body[:10])
        # Answers on another connection tell that the first one has been read.
        for _ in range(5):
            assert gateway.http.get("/health/live").status_code == 200
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: "Shutting down" in gateway.log, what="shutdown")
        client.sendall(body[10:])
        return client.makefile("rb").read().split(b"\r\n", 1)[0]


def test_the_gateway_outlives_the_control_plane_which_goes_on_where_it_was(adopted: Site) -> None:
    server, gateway = adopted.start("serve"), adopted.start("gateway")
    before = adopted.predict(gateway)
    assert server.send(signal.SIGKILL) == -signal.SIGKILL
    during = adopted.predict(gateway)
    assert {answer["tier"] for answer in (*before, *during)} == {"model"}
    again = adopted.start("serve")
    assert champion(again) == "1"
    adopted.label(again, [*before, *during])
    parquet = adopted.folder / "homeostat-data" / "log"
    until(lambda: list(parquet.rglob("*.parquet")), what="roll")
    assert b" 200 OK" in stop_amid_a_request(gateway, "late")
    adopted.sent.append("late")
    assert gateway.send(signal.SIGTERM) == 0
    assert again.send(signal.SIGINT) == 0, "Ctrl-C is a graceful stop too"
    assert sorted(logged_ids(adopted)) == sorted(adopted.sent)


def test_a_port_in_use_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "homeostat.yaml").write_text(
            CONFIG.replace("retraining", "#").replace("{port: 0, dead", f"{{port: {port}, dead")
        )
        for arguments in (["serve", "--port", str(port)], ["gateway"]):
            assert run(arguments) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said


def test_other_machines_need_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG.replace("retraining", "#"))
    for command in ("serve", "gateway"):
        part = "server" if command == "serve" else command
        assert run([command, "--host", "0.0.0.0"]) == 2
        said = capsys.readouterr().err
        assert f"homeostat.yaml: {part}.host: '0.0.0.0' is reachable" in said
        assert said.count("\n") == 1
    assert run(["serve", "--host", "no.such.host.invalid"]) == 2
    capsys.readouterr()
    monkeypatch.setattr("homeostat.entrypoints.cli.serve.check_bind", lambda *_: None)
    assert run(["serve", "--host", "192.0.2.1"]) == 2
    assert "cannot listen on 192.0.2.1:0" in capsys.readouterr().err
