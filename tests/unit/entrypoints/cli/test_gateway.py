"""`homeostat gateway config`, and how the command refuses to start."""

import socket
from pathlib import Path

import pytest
import yaml

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.route import Route
from homeostat.entrypoints.bootstrap import open_records
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load

CONFIG = """\
models:
  - {name: fraud, task: binary, features: {amount: numeric}, labels: {maturity: 1d}}
  - {name: churn, task: binary, features: {amount: numeric}, labels: {maturity: 1d}}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "homeostat.yaml"
    path.write_text(CONFIG)
    records = open_records(load(path), SystemClock())
    RecordsRoutes(records).publish(Route("fraud", "1", "2", 0.1))
    records.close()
    return str(path)


def test_the_present_route_is_printed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gateway", "config", "kserve", "-c", config, "-m", "fraud"]) == 0
    (document,) = yaml.safe_load_all(capsys.readouterr().out)
    assert document["spec"]["predictor"]["canaryTrafficPercent"] == 10
    at = ["--at", "https://{version}.example.org"]
    assert run(["gateway", "-c", config, "config", "envoy", "-m", "fraud", *at]) == 0
    assert "address: 2.example.org" in capsys.readouterr().out


def test_a_model_without_a_champion_is_told(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gateway", "config", "istio", "-c", config]) == 2
    assert "churn has no champion yet" in capsys.readouterr().err


def test_workers_may_not_be_reached_without_a_token_either(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gateway", "-c", config, "--host", "0.0.0.0", "--workers", "2"]) == 2
    assert "gateway.host: '0.0.0.0' is reachable" in capsys.readouterr().err


def test_a_taken_port_for_grpc_is_told_with_its_own_remedy(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        Path(config).write_text(f"gateway: {{grpc_port: {port}}}\n{CONFIG}")
        assert run(["gateway", "-c", config, "--port", "0", "--workers", "2"]) == 2
    told = capsys.readouterr().err
    assert "change gateway.grpc_port in the configuration" in told
    assert "--host" not in told
    assert "gateway on" not in told
