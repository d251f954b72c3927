"""The gateway over HTTP, without a socket."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import World

PREDICT = "/v1/models/fraud/predict"
Talk = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def talk(gateway: Gateway, what: Talk) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await what(client)

    return asyncio.run(run())


def test_predict(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    rows = [{"amount": 0, "prediction_id": "a"}, {"amount": -1, "prediction_id": "b"}]
    response = talk(gateway, lambda client: client.post(PREDICT, json={"rows": rows}))
    assert response.status_code == 200
    assert response.json() == {
        "predictions": [
            {
                "prediction_id": "a",
                "score": 0.5,
                "prediction": 1.0,
                "version": "v1",
                "tier": "model",
                "reason": "",
            },
            {
                "prediction_id": "b",
                "score": 0.125,
                "prediction": 0.0,
                "version": "v1",
                "tier": "default",
                "reason": "invalid_input",
            },
        ]
    }


@pytest.mark.parametrize(
    ("body", "message", "row", "column"),
    [
        (b"{", "not JSON", None, ""),
        (b"[]", "must be an object", None, ""),
        (b'{"rows": {}}', "must be an object", None, ""),
        (b'{"rows": []}', "not 0", None, ""),
        (b'{"rows": [{}, 5]}', "must be an object that maps", 1, ""),
        (b'{"rows": [{"amount": NaN}]}', "not JSON", None, ""),
        (b'{"rows": [{}, {"amount": "x"}]}', "'x' is not a number", 1, "amount"),
    ],
)
def test_bad_requests_are_answered_precisely(
    world: World, body: bytes, message: str, row: int | None, column: str
) -> None:
    response = talk(world.gateway(), lambda client: client.post(PREDICT, content=body))
    assert response.status_code == 400
    error = response.json()["error"]
    assert message in error["message"]
    assert (error["row"], error["column"]) == (row, column)


def test_unknown_model_is_404(world: World) -> None:
    path = "/v1/models/spam/predict"
    assert talk(world.gateway(), lambda client: client.post(path)).status_code == 404


def test_too_large_is_413(world: World) -> None:
    body = b" " * (16 * 2**20 + 1)
    response = talk(world.gateway(), lambda client: client.post(PREDICT, content=body))
    assert response.status_code == 413


def test_ready_once_every_model_has_a_champion(world: World) -> None:
    gateway = world.gateway()
    before = talk(gateway, lambda client: client.get("/health/ready"))
    gateway.routes.publish(Route("fraud", "v1"))
    after = talk(gateway, lambda client: client.get("/health/ready"))
    assert (before.status_code, after.status_code) == (503, 200)
    assert after.json() == {"ready": True, "models": {"fraud": True}, "not_loaded": {}}
    assert talk(gateway, lambda client: client.get("/health/live")).status_code == 200


def test_a_version_that_cannot_be_loaded_is_shown_and_leaves_the_gateway_ready(
    world: World,
) -> None:
    gateway = world.gateway()
    (world.root / "v2" / "model.json").write_text("{}")
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    response = talk(gateway, lambda client: client.get("/health/ready"))
    assert response.status_code == 200
    assert response.json()["not_loaded"] == {"fraud": ["v2"]}


def test_a_timestamp_in_the_future_is_400(world: World) -> None:
    rows = [{}, {"timestamp": "2024-05-01T12:05:01Z"}]
    response = talk(world.gateway(), lambda client: client.post(PREDICT, json={"rows": rows}))
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["row"], error["column"]) == (1, "timestamp")


def test_metrics_count_what_was_answered(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    talk(gateway, lambda client: client.post(PREDICT, json={"rows": [{}, {"amount": -1}]}))
    assert gateway.flush()
    text = talk(gateway, lambda client: client.get("/metrics")).text
    modern = {"accept": "application/openmetrics-text"}
    other = talk(gateway, lambda client: client.get("/metrics", headers=modern))
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "# TYPE homeostat_predictions counter\nhomeostat_predictions_total{" in other.text
    assert other.text.endswith("\n# EOF\n")
    fixed = 'homeostat_predictions_total{model="fraud",version="v1",role="champion"'
    assert f'{fixed},tier="model",reason=""}} 1\n' in text
    assert f'{fixed},tier="default",reason="invalid_input"}} 1\n' in text
    assert 'homeostat_log_rows_total{fate="accepted"} 2\n' in text
    assert 'homeostat_breaker_mode{model="fraud",version="v1",mode="closed"} 1\n' in text
    assert 'homeostat_request_duration_seconds_count{model="fraud",tier="mixed"} 1\n' in text


def test_lifespan_follows_a_source_survives_bad_routes_and_closes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    source, gateway = RecordsRoutes(MemoryRecords(world.clock)), world.gateway()
    source.publish(Route("fraud", "v1"))
    (world.root / "v2" / "model.json").write_text("{}")

    async def run() -> None:
        application = app(gateway, source, every=0.01)
        async with application.router.lifespan_context(application):
            await until(lambda: gateway.routes.current("fraud") == Route("fraud", "v1"))
            source.publish(Route("fraud", "v2"))
            await until(lambda: bool(caplog.records))
            await asyncio.sleep(0.05)

    asyncio.run(run())
    assert "fraud: new route not taken, the old one goes on serving" in caplog.text
    assert len(caplog.records) == 1, "the same problem is told once"
    assert gateway.routes.current("fraud") == Route("fraud", "v1")
    assert not gateway.writer.put(world.spec, world.logged())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


def test_lifespan_without_a_source(world: World) -> None:
    gateway = world.gateway()

    async def run() -> None:
        application = app(gateway)
        async with application.router.lifespan_context(application):
            pass

    asyncio.run(run())
    assert not gateway.writer.put(world.spec, world.logged())


async def ask(application: Starlette, seconds: float) -> dict[str, Any]:
    """Ask; the event loop stands still for so long while the request is read."""
    body, sent = b'{"rows": [{"amount": 0}]}', list[dict[str, Any]]()

    async def receive() -> dict[str, object]:
        threading.Event().wait(seconds)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": []}
    await application(scope, receive, send)
    return sent[0]


def test_too_many_requests_are_refused_before_they_are_late(world: World) -> None:
    gateway = world.gateway(deadline=0.1)
    gateway.routes.publish(Route("fraud", "v1"))

    async def run() -> list[dict[str, Any]]:
        application = app(gateway)
        async with application.router.lifespan_context(application):
            together = await asyncio.gather(ask(application, 0.1), ask(application, 0.0))
            await asyncio.sleep(0)
            return [*together, await ask(application, 0.0)]

    first, second, third = asyncio.run(run())
    assert [one["status"] for one in (first, second, third)] == [200, 503, 200]
    assert (b"retry-after", b"1") in second["headers"]
    assert 'homeostat_shed_requests_total{model="fraud"} 1\n' in gateway.metrics_text()


def test_shadows_are_dropped_before_requests_are_while_the_loop_is_late(world: World) -> None:
    # In the event loop: while a thread answers, the loop makes up for what it was late.
    table = RouteTable(world.registry, [ServedModel(world.spec, deadline=4.0)], SystemClock())
    gateway = Gateway(table, LogWriter(world.log), SystemClock())
    table.publish(Route("fraud", "v1", shadows=("v2",)))

    async def run() -> list[object]:
        application = app(gateway)
        async with application.router.lifespan_context(application):
            asked = [await ask(application, 0.0)]
            await asyncio.sleep(0)
            asked.append(await ask(application, 0.4))  # a tenth of the deadline
            assert await asyncio.to_thread(gateway.drain)
        return [one["status"] for one in asked]

    assert asyncio.run(run()) == [200, 200]
    assert dict(gateway.metrics.shadows) == {
        ("fraud", "v2", "scored"): 1,
        ("fraud", "v2", "dropped"): 1,
    }


def test_mounted_beside_others_it_answers_too(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=[Mount("/plane", app(gateway))]))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post("/plane" + PREDICT, json={"rows": [{"amount": 0}]})

    assert asyncio.run(run()).status_code == 200
