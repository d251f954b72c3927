"""The gateway on a real socket, in front of the real log, registry and records."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import httpx
import numpy as np
import pyarrow as pa
import pytest
import uvicorn

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.registry import LocalRegistry
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import (
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from homeostat.serving.fallback import Fallback

SCHEMA = Schema((Column("amount", ColumnKind.NUMERIC, minimum=0.0),))
SPEC = ModelSpec("fraud", Task.BINARY, SCHEMA, LabelSpec(timedelta(days=1)), entity="card")
PREDICT = "/v1/models/fraud/predict"


class Site:
    """Everything a deployment has, in one folder."""

    def __init__(self, root: Path) -> None:
        self.root, clock = root, SystemClock()
        self.records = DatabaseRecords(f"sqlite:///{root / 'records.db'}", clock)
        self.log = FilePredictionLog(root / "log", self.records)
        self.registry = LocalRegistry(root / "registry", clock)
        for number, weight in enumerate((1.0, -1.0), start=1):
            folder = root / f"artifact{number}"
            save_linear(folder, 0.0, [Term("amount", weight)])
            card = ModelVersion(
                "fraud", f"v{number}", "linear", "", datetime(2024, 1, 1, tzinfo=UTC)
            )
            self.registry.register(card, folder)
        table = RouteTable(self.registry, [ServedModel(SPEC, Fallback(default=0.25))], clock)
        self.gateway = Gateway(table, LogWriter(self.log), clock)

    def logged(self) -> pa.Table:
        now = SystemClock().now()
        return self.log.rows(SPEC, Window(now - timedelta(hours=1), now + timedelta(hours=1)))

    @contextmanager
    def serving(self) -> Iterator[str]:
        source = RecordsRoutes(self.records)
        config = uvicorn.Config(
            app(self.gateway, source, every=0.02), port=0, log_level="warning", lifespan="on"
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                thread.join(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.gateway.close()
    made.records.close()


def wait_ready(client: httpx.Client) -> None:
    for _ in range(6000):
        if client.get("/health/ready").status_code == 200:
            return
        Event().wait(0.01)
    raise AssertionError("the gateway did not become ready")


def test_answers_over_a_socket_end_up_in_the_log_once(site: Site) -> None:
    router = RecordsRoutes(site.records)
    router.publish(Route("fraud", "v1", shadows=("v2",)))
    with site.serving() as url, httpx.Client(base_url=url, timeout=10) as client:
        wait_ready(client)
        ids = []
        for number in range(20):
            rows = [{"amount": number, "card": f"c{row}"} for row in range(50)]
            answers = client.post(PREDICT, json={"rows": rows}).json()["predictions"]
            assert {answer["version"] for answer in answers} == {"v1"}
            ids += [answer["prediction_id"] for answer in answers]
    logged = site.logged()
    assert len(set(ids)) == 1000
    pairs = zip(logged["version"].to_pylist(), logged["prediction_id"].to_pylist(), strict=True)
    assert sorted(pairs) == sorted((version, name) for version in ("v1", "v2") for name in ids)
    assert site.gateway.writer.counts.dropped == 0


def test_new_route_is_taken_without_losing_a_request(site: Site) -> None:
    router = RecordsRoutes(site.records)
    router.publish(Route("fraud", "v1"))

    async def traffic(url: str) -> list[str]:
        versions: list[str] = []
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            for number in range(400):
                if number == 50:
                    await asyncio.to_thread(router.publish, Route("fraud", "v2"))
                response = await client.post(PREDICT, json={"rows": [{"amount": 1.0}]})
                assert response.status_code == 200
                answer = response.json()["predictions"][0]
                assert answer["tier"] == "model"
                versions.append(answer["version"])
                if number > 60 and answer["version"] == "v2":
                    break
                await asyncio.sleep(0.002)
        return versions

    with site.serving() as url:
        with httpx.Client(base_url=url) as client:
            wait_ready(client)
        versions = asyncio.run(traffic(url))
    assert set(versions) == {"v1", "v2"}
    assert versions == sorted(versions)


def test_corrupt_artifact_is_refused_by_its_hash(site: Site) -> None:
    table = site.gateway.routes
    table.publish(Route("fraud", "v1"))
    stored = site.registry.path("fraud", "v2") / "model.json"
    stored.chmod(0o644)
    stored.write_text(stored.read_text().replace("-1.0", "-9.0"))
    with pytest.raises(ArtifactError):
        table.publish(Route("fraud", "v2"))
    got = site.gateway.predict("fraud", pa.table({"amount": [0.0]}))
    assert got["version"].to_pylist() == ["v1"]
    np.testing.assert_array_equal(got["score"], [0.5])


def test_gateway_answers_while_the_records_are_gone(site: Site) -> None:
    site.gateway.routes.publish(Route("fraud", "v1"))
    with site.serving() as url, httpx.Client(base_url=url, timeout=10) as client:
        site.records.close()
        (site.root / "records.db").rename(site.root / "away.db")
        for _ in range(20):
            response = client.post(PREDICT, json={"rows": [{"amount": 1.0}]})
            assert response.json()["predictions"][0]["tier"] == "model"
        (site.root / "away.db").rename(site.root / "records.db")
