"""The gateway in front of models elsewhere, and of models that are asked for several at once."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import Loader, save_remote
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.engine.orders import give_order
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.entrypoints.gateway.obey import Obedience
from homeostat.serving.breaker import BreakerConfig, Event, Mode
from homeostat.serving.fallback import Fallback
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import NOW, World
from upstreams import ModelServer

SCALE = {"amount": [0.25, 0.5], "age": [0.125, 0.0], "card": ["anna", "ben"]}
ROWS = pa.table(SCALE)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    made = ModelServer()
    yield made
    made.close()


def gateway(world: World, server: ModelServer, deadline: float = 5.0, **more: object) -> Gateway:
    url = server.url("/v2/models/m/infer")
    save_remote(world.root / "far", "mlserver", [url], ["amount", "age"], **{"retries": 0, **more})
    world.registry.register(ModelVersion("fraud", "far", "remote", "", NOW), world.root / "far")
    served = ServedModel(
        world.spec,
        Fallback(default=0.875),
        BreakerConfig(faults=2, window=600.0, cooldown=60.0, successes=1),
        deadline,
    )
    load = Loader(hosts=frozenset({server.host}))
    routes = RouteTable(world.registry, [served], world.clock, load)
    made = Gateway(routes, LogWriter(world.log), world.clock)
    routes.publish(Route("fraud", "far"))
    return made


def told(answers: pa.Table, name: str) -> list[object]:
    return answers[name].to_pylist()


def test_scores_of_a_server_are_the_answer(world: World, server: ModelServer) -> None:
    made = gateway(world, server)
    assert server.bodies == []  # loading it asked nobody
    answers = asyncio.run(made.predict_async("fraud", ROWS))
    assert told(answers, "score") == [0.375, 0.5]
    assert told(answers, "tier") == ["model", "model"]
    assert made.close()


def test_a_version_elsewhere_can_be_routed_to_while_its_server_is_away(world: World) -> None:
    gone = ModelServer()
    gone.close()
    made = gateway(world, gone)
    assert told(made.predict("fraud", ROWS), "reason") == ["error", "error"]
    back = ModelServer(port=gone.port)
    assert told(made.predict("fraud", ROWS), "score") == [0.375, 0.5]
    back.close()
    assert made.close()


@pytest.mark.parametrize(
    ("mood", "reason"), [("hang", "timeout"), ("reset", "error"), ("400", "error")]
)
def test_a_server_that_fails_opens_the_breaker(
    world: World, server: ModelServer, mood: str, reason: str
) -> None:
    server.mood = mood
    made = gateway(world, server, deadline=0.2 if mood == "hang" else 30.0, timeout=60)
    for _ in range(2):
        answers = asyncio.run(made.predict_async("fraud", ROWS))
        assert told(answers, "reason") == [reason, reason]
        assert told(answers, "score") == [0.875, 0.875]
    loaded = made.routes.live("fraud").versions["far"]
    assert loaded.breaker.mode is Mode.OPEN
    assert told(made.predict("fraud", ROWS), "reason") == ["breaker_open", "breaker_open"]
    while loaded.limit.under_way:
        threading.Event().wait(0.01)
    assert len(server.bodies) == 2
    assert made.close()


def test_more_than_it_takes_is_shed_at_once(world: World, server: ModelServer) -> None:
    server.delay = 0.3
    made = gateway(world, server, connections=4, deadline=30.0)

    async def many() -> list[str]:
        answers = [made.predict_async("fraud", ROWS.slice(0, 1)) for _ in range(10)]
        return [told(answer, "reason")[0] for answer in await asyncio.gather(*answers)]

    reasons = asyncio.run(many())
    assert sorted(reasons) == [""] * 4 + ["overload"] * 6
    assert server.highest <= 4
    assert made.close()


def test_an_overloaded_server_is_asked_less(world: World, server: ModelServer) -> None:
    server.mood = "503"
    made = gateway(world, server, deadline=30.0)
    limit = made.routes.live("fraud").versions["far"].limit
    first = limit.places
    made.predict("fraud", ROWS)
    assert limit.places < first
    assert limit.under_way == 0
    assert made.close()


def test_a_caller_who_leaves_gives_its_place_back_when_the_call_has_ended(
    world: World, server: ModelServer
) -> None:
    server.mood = "hang"
    made = gateway(world, server, deadline=60.0, timeout=60)
    limit = made.routes.live("fraud").versions["far"].limit

    async def leave() -> None:
        task = asyncio.create_task(made.predict_async("fraud", ROWS))
        while not server.bodies:  # noqa: ASYNC110 - a thread tells no loop
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    while limit.under_way:
        threading.Event().wait(0.01)
    assert made.routes.live("fraud").versions["far"].breaker.mode is Mode.CLOSED
    assert made.close()


def test_requests_that_wait_are_asked_together(world: World) -> None:
    served = ServedModel(world.spec, Fallback(default=0.875), workers=1, deadline=60.0, batch=8)
    routes = RouteTable(world.registry, [served], world.clock, world.backend.load)
    made = Gateway(routes, LogWriter(world.log), world.clock)
    routes.publish(Route("fraud", "v1"))
    world.backend.calls.clear()
    world.backend.hanging.add("v1")
    columns = {"amount": np.arange(9.0), "age": np.zeros(9)}
    many = [pa.table(columns).slice(row, 1) for row in range(9)]

    async def ask() -> list[float]:
        tasks = [asyncio.create_task(made.predict_async("fraud", rows)) for rows in many]
        lists = [asyncio.create_task(made.answer("fraud", rows.to_pylist())) for rows in many[:4]]
        while not world.backend.calls:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        world.backend.released.set()
        found = [told(answer, "score")[0] for answer in await asyncio.gather(*tasks)]
        return found + [answer.scores[0] for answer in await asyncio.gather(*lists)]

    got = asyncio.run(ask())
    expected = 1 / (1 + np.exp(-0.1 * np.arange(9.0)))
    np.testing.assert_allclose(got, [*expected, *expected[:4]], rtol=1e-12)
    assert len(world.backend.calls) == 3  # the first, eight that waited, and the rest
    assert made.close(timedelta(seconds=10).total_seconds())


def test_quick_versions_are_joined_as_rows(world: World, tmp_path: Path) -> None:
    served = ServedModel(world.spec, Fallback(default=0.875), deadline=60.0, batch=8)
    routes = RouteTable(world.registry, [served], world.clock)
    made = Gateway(routes, LogWriter(world.log), world.clock)
    routes.publish(Route("fraud", "v1"))
    loaded = routes.live("fraud").versions["v1"]
    assert not loaded.quick  # it is asked where others can join

    async def ask() -> list[float]:
        rows = [[{"amount": float(row), "age": 1.0}] for row in range(20)]
        found = await asyncio.gather(*(made.answer("fraud", row) for row in rows))
        return [answer.scores[0] for answer in found]

    np.testing.assert_allclose(asyncio.run(ask()), 1 / (1 + np.exp(-0.1 * np.arange(20.0))))
    assert made.close()


def test_breakers_of_endpoints_are_seen_and_steered(world: World, server: ModelServer) -> None:
    second = ModelServer()
    urls = [each.url("/v2/models/m/infer") for each in (server, second)]
    save_remote(world.root / "two", "mlserver", urls, ["amount", "age"], retries=1)
    world.registry.register(ModelVersion("fraud", "two", "remote", "", NOW), world.root / "two")
    once = BreakerConfig(faults=1, cooldown=600.0)
    load = Loader(hosts=frozenset({server.host, second.host}), breaker=once)
    routes = RouteTable(world.registry, [ServedModel(world.spec)], world.clock, load)
    made, records = Gateway(routes, LogWriter(world.log), world.clock), MemoryRecords(world.clock)
    routes.publish(Route("fraud", "two"))
    server.mood = "500"
    for _ in range(2):
        answers = asyncio.run(made.predict_async("fraud", ROWS))
        assert told(answers, "tier") == ["model", "model"]
    labels = [f'model="fraud",version="two@{each.host}"' for each in (server, second)]
    text = made.metrics_text()
    assert f'homeostat_breaker_mode{{{labels[0]},mode="open"}} 1\n' in text
    assert f'homeostat_breaker_mode{{{labels[1]},mode="closed"}} 1\n' in text
    assert f'homeostat_breaker_calls_total{{{labels[0]},outcome="fault"}} 1\n' in text
    assert f'homeostat_breaker_transitions_total{{{labels[0]},to="open"}} 1\n' in text
    now, asked = world.clock.now(), len(second.bodies)
    server.mood = "fine"
    give_order(records, "fraud", f"two@{server.host}", Event.RESET, "olga", "", now)
    give_order(records, "fraud", f"two@{second.host}", Event.FORCE_OPEN, "olga", "", now)
    orders = Obedience(records, routes, world.clock)
    orders.follow()
    give_order(records, "fraud", f"two@{server.host}", Event.RESET, "olga", "again", now)
    orders.follow()
    for _ in range(2):
        assert set(told(asyncio.run(made.predict_async("fraud", ROWS)), "tier")) == {"model"}
    assert len(second.bodies) == asked
    assert made.close()
    second.close()
