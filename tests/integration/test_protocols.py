"""`homeostat gateway` asked over HTTP and gRPC, and by senders of far too much."""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import grpc
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.route import Route
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.gateway.rpc.wire import SERVICE, methods
from homeostat.entrypoints.settings import load
from integration.live_site import CONFIG, Service, Site, adopt_in_place, until, workers

HUGE = 100 * 2**20


def configured(folder: Path, grpc_port: int) -> Site:
    site = Site(folder)
    told = CONFIG.replace("gateway: {port: 0", f"gateway: {{port: 0, grpc_port: {grpc_port}")
    (folder / "homeostat.yaml").write_text(told)
    return site


def test_both_transports_answer_from_all_workers(tmp_path: Path) -> None:
    site = configured(tmp_path, 0)
    deployment = open_deployment(load(tmp_path / "homeostat.yaml"), SystemClock())
    adopt_in_place(deployment)
    RecordsRoutes(deployment.records).publish(Route("fraud", "1"))
    deployment.close()
    gateway = site.start("gateway", "--workers", "2")
    try:
        until(lambda: gateway.http.get("/v2/health/ready").status_code == 200, what="route")
        found = re.search(r"gRPC on (\S+)", gateway.log)
        assert found is not None
        takes, gives = methods()["ModelInfer"]
        tensor = {"name": "amount", "datatype": "FP64", "shape": [1]}
        asked = takes(
            model_name="fraud", inputs=[tensor | {"contents": {"fp64_contents": [100.0]}}]
        )

        def infer() -> list[float]:
            with grpc.insecure_channel(found[1], [("grpc.use_local_subchannel_pool", 1)]) as one:
                call = one.unary_unary(
                    f"/{SERVICE}/ModelInfer",
                    request_serializer=takes.SerializeToString,
                    response_deserializer=gives.FromString,
                )
                answer = call(asked, timeout=20, wait_for_ready=True)
                return list(answer.outputs[0].contents.fp64_contents)

        until(lambda: serving(gateway, found[1]) == 2, what="both workers")
        assert infer() == [0.5]
        os.kill(workers(gateway)[0], signal.SIGKILL)
        assert [infer() for _ in range(8)] == [[0.5]] * 8
        sent = {"inputs": [tensor | {"data": [100.0]}]}
        rest = gateway.http.post("/v2/models/fraud/infer", json=sent).json()
        assert rest["outputs"][0]["data"] == [0.5]
        scored = gateway.http.post("/invocations", json={"instances": [{"amount": 100.0}]})
        assert scored.json()["predictions"] == [0.5]
        address = re.search(r"gateway on http://([\d.]+):(\d+)/", gateway.log)
        assert address is not None
        refused = asyncio.run(said_of_a_huge_body(address[1], int(address[2])))
        assert refused.startswith(b"HTTP/1.1 413 ")
        assert gateway.send(signal.SIGTERM) == 0
    finally:
        site.stop()


def serving(gateway: Service, where: str) -> int:
    """Return how many processes take connections for gRPC."""
    port = f":{int(where.rpartition(':')[2]):04X}"
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    lines = [line.split() for table in tables for line in table.splitlines()[1:]]
    listening = {
        f"socket:[{line[9]}]" for line in lines if line[1].endswith(port) and line[3] == "0A"
    }
    holders = {
        pid
        for pid in workers(gateway)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if str(descriptor.readlink()) in listening
    }
    return len(holders)


async def said_of_a_huge_body(host: str, port: int) -> bytes:
    """Announce a hundred megabytes; return what is said before one byte of them is sent."""
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {HUGE}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


def test_a_port_in_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configured(tmp_path, taken.getsockname()[1])
        assert run(["gateway"]) == 2
    assert "change gateway.grpc_port in the configuration" in capsys.readouterr().err


def test_without_the_extra_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    configured(tmp_path, 0)
    monkeypatch.setitem(sys.modules, "homeostat.entrypoints.gateway.rpc", None)
    assert run(["gateway"]) == 2
    assert "pip install homeostat[grpc]" in capsys.readouterr().err


def test_a_certificate_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    configured(tmp_path, 0)
    config = tmp_path / "homeostat.yaml"
    tls = "gateway: {telemetry: {metrics: false}, tls: {certificate: no.crt, key: no.key}, "
    config.write_text(config.read_text().replace("gateway: {", tls))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert run(["gateway"]) == 2
    assert "no.crt and" in capsys.readouterr().err
