"""Versions come and go under load: nothing wrong, nothing dropped, nothing kept."""

import asyncio
import gc
import math
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from homeostat.adapters.models import load_predictor
from homeostat.domain.errors import ArtifactError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.entrypoints.gateway.answered import Answered
from unit.entrypoints.gateway.gateway_world import WEIGHTS, World

REQUESTS, CHANGES = 10_000, 100
V = ("v1", "v2", "v3")


def route(number: int) -> Route:
    """A route unlike the last: another champion, canary, shadow and arms."""
    one, two, three = (V[(number + place) % 3] for place in range(3))
    made = Route("fraud", one, two, (number % 10) / 10, shadows=(three,) * (number % 5 == 0))
    return made.with_arms({three: (number % 4) / 10}, "prices")


def right(answered: Answered, amount: float) -> bool:
    version = answered.version[0]
    expected = 1 / (1 + math.exp(-WEIGHTS[version] * amount))
    return answered.tier[0] == "model" and abs(answered.scores[0] - expected) < 1e-12


@pytest.mark.parametrize("quick", [True, False], ids=["in-the-loop", "in-threads"])
def test_10_000_requests_and_100_changes_of_route(world: World, quick: bool) -> None:
    load = load_predictor if quick else world.backend.load
    requests = REQUESTS if quick else REQUESTS // 5
    served = ServedModel(world.spec, deadline=60.0, waiting=1000)
    routes = RouteTable(world.registry, [served], world.clock, load)
    gateway = Gateway(routes, LogWriter(world.log, capacity=100_000), world.clock)
    routes.publish(route(0))
    answers: Counter[str] = Counter()
    publisher = ThreadPoolExecutor(1)
    changes = []

    async def caller(number: int) -> None:
        for turn in range(number, requests, 8):
            amount = float(turn % 40)
            rows = [{"amount": amount, "age": 1.0, "card": f"c{turn % 300}"}]
            got = await gateway.answer("fraud", rows)
            answers["right" if right(got, amount) else "wrong"] += 1
            answers[got.version[0]] += 1
            if turn % (requests // CHANGES) == 0:
                change = route(turn // (requests // CHANGES) + 1)
                changes.append(publisher.submit(routes.publish, change))
            await asyncio.sleep(0)

    async def run() -> None:
        await asyncio.gather(*(caller(number) for number in range(8)))

    asyncio.run(run())
    for change in changes:
        change.result(60)
    publisher.shutdown()
    assert len(changes) == CHANGES
    assert (answers["right"], answers["wrong"]) == (requests, 0)
    assert set(V) <= set(answers)
    assert gateway.flush(60)
    logged = world.log.rows(world.spec, world.everything())
    asked = logged.filter(pc.not_equal(logged["role"], "shadow"))
    assert asked.num_rows == requests
    assert len(set(asked["prediction_id"].to_pylist())) == requests


def test_a_request_under_way_ends_on_its_version_which_then_goes(
    world: World, rows: pa.Table
) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    live = gateway.routes.live("fraud")
    assert live is not None
    old = weakref.ref(live.versions["v1"].predictor)
    del live
    world.backend.calls.clear()
    world.backend.hanging.add("v1")
    got: list[pa.Table] = []
    caller = threading.Thread(target=lambda: got.append(gateway.predict("fraud", rows)))
    caller.start()
    while "v1" not in world.backend.calls:
        pass
    gateway.routes.publish(Route("fraud", "v2"))
    assert set(gateway.predict("fraud", rows)["version"].to_pylist()) == {"v2"}
    assert old() is not None
    world.backend.released.set()
    caller.join(20)
    assert set(got[0]["version"].to_pylist()) == {"v1"}
    assert set(got[0]["tier"].to_pylist()) == {"model"}
    for _ in range(1000):  # its thread has yet to let go of it
        gc.collect()
        if old() is None:
            break
        threading.Event().wait(0.01)
    assert old() is None


def test_a_failed_load_under_load_keeps_what_serves(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    (world.root / "v2" / "model.json").write_text("{}")
    for _ in range(5):
        with pytest.raises(ArtifactError, match="v2"):
            gateway.routes.publish(Route("fraud", "v2"))
        assert set(gateway.predict("fraud", rows)["version"].to_pylist()) == {"v1"}
