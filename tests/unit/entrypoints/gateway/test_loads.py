"""Versions that fail or hang while they are loaded hold up nothing else."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.models import Predictor
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.engine.orders import give_order
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from homeostat.entrypoints.gateway.loads import LONGEST_LOAD
from homeostat.entrypoints.gateway.obey import Obedience
from homeostat.serving.breaker import Event, Mode
from homeostat.serving.router import Router
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import NOW, World

V1 = Route("fraud", "v1")
LATE = timedelta(seconds=LONGEST_LOAD)


def until(done: Callable[[], bool]) -> None:
    for _ in range(2000):
        if done():
            return
        threading.Event().wait(0.005)
    raise AssertionError


class Site:
    """Two models, and a loader that may raise."""

    def __init__(self, world: World) -> None:
        self.world, self.raising = world, dict[str, BaseException]()
        self.loads: Counter[str] = Counter()
        for version in ("v1", "v2"):
            card = ModelVersion("other", version, "linear", "", NOW)
            world.registry.register(card, world.root / version)
        models = [ServedModel(world.spec), ServedModel(replace(world.spec, name="other"))]
        self.table = RouteTable(world.registry, models, world.clock, self.load)
        self.source = Router([V1, Route("other", "v1")])
        self.records = MemoryRecords(world.clock)
        self.orders = Obedience(self.records, self.table, world.clock)
        self.table.follow(self.source)

    def load(self, path: Path, flavour: str) -> Predictor:
        self.loads[path.name] += 1
        if path.name in self.raising:
            raise self.raising[path.name]
        return self.world.backend.load(path, flavour)

    def order(self, model: str, version: str, event: Event) -> None:
        give_order(self.records, model, version, event, "olga", "", self.world.clock.now())

    def mode(self, model: str, version: str) -> Mode:
        live = self.table.live(model)
        assert live is not None
        return live.versions[version].breaker.mode

    def follow(self) -> dict[str, str]:
        return self.table.follow(self.source, 0.0)

    def follow_until(self, route: Route) -> None:
        def there() -> bool:
            self.follow()
            return self.table.current(route.model) == route

        until(there)


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


@pytest.mark.parametrize(
    "error",
    [ValueError("a runtime's own error"), RecursionError(), SystemExit(3)],
    ids=["value", "recursion", "exit"],
)
def test_whatever_a_runtime_raises_is_the_versions_fault(site: Site, error: BaseException) -> None:
    site.raising["v3"] = error
    with pytest.raises(ArtifactError, match="fraud v3 cannot be loaded: "):
        site.table.publish(Route("fraud", "v3"))
    site.table.publish(Route("fraud", "v1", "v3", 0.1))
    assert type(error).__name__ in site.table.problems["fraud"]["v3"]


def test_an_artifact_that_is_nested_too_deep_is_refused(site: Site) -> None:
    (site.world.root / "v3" / "model.json").write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="fraud v3"):
        site.table.publish(Route("fraud", "v3"))


def test_routes_and_orders_are_followed_after_an_unexpected_error(site: Site) -> None:
    gateway = Gateway(site.table, LogWriter(site.world.log), site.world.clock)
    site.raising["v3"] = ValueError("a runtime's own error")

    async def run() -> None:
        application = app(gateway, site.source, every=0.01, orders=site.orders)
        async with application.router.lifespan_context(application):
            site.source.publish(Route("fraud", "v3"))
            while not site.loads["v3"]:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
            site.source.publish(Route("fraud", "v2"))
            site.order("other", "v1", Event.FORCE_OPEN)
            while site.table.current("fraud") != Route("fraud", "v2"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while site.mode("other", "v1") is not Mode.FORCED_OPEN:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 20))


class Odd:
    """A source and records that raise what they should not, for one model."""

    def __init__(self, site: Site) -> None:
        self._site, self.begin = site, site.records.begin

    def current(self, model: str) -> Route | None:
        if model == "fraud":
            raise RuntimeError("a driver's own error")
        return self._site.source.current(model)

    def publish(self, route: Route) -> None:
        raise AssertionError(route)


def test_what_a_source_raises_for_one_model_stops_no_other(site: Site) -> None:
    site.source.publish(Route("other", "v2"))
    problems = site.table.follow(Odd(site))
    assert problems == {"fraud": 'RuntimeError("a driver\'s own error")'}
    assert site.table.current("other") == Route("other", "v2")


def test_what_records_raise_for_one_model_stops_no_other_order(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = MemoryRecords.read

    def odd(records: MemoryRecords, key: str, kind: type[object]) -> object:
        if "fraud" in key:
            raise RuntimeError("a driver's own error")
        return read(records, key, kind)

    site.order("other", "v1", Event.FORCE_OPEN)
    monkeypatch.setattr(MemoryRecords, "read", odd)
    for _ in range(3):
        site.orders.follow()
    assert site.mode("other", "v1") is Mode.FORCED_OPEN
    warned = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [r.message for r in warned] == [
        'orders to breakers cannot be followed: RuntimeError("a driver\'s own error")'
    ]


def test_a_version_that_hangs_holds_up_neither_models_nor_orders_nor_a_way_back(
    site: Site,
) -> None:
    site.world.backend.hanging.add("v3")
    site.source.publish(Route("fraud", "v3"))
    assert site.follow() == {}
    assert site.table.loading
    site.source.publish(Route("other", "v2"))
    site.follow_until(Route("other", "v2"))
    site.order("other", "v2", Event.FORCE_OPEN)
    site.orders.follow()
    assert site.mode("other", "v2") is Mode.FORCED_OPEN
    assert site.table.current("fraud") == V1
    site.source.publish(Route("fraud", "v2"))
    site.follow_until(Route("fraud", "v2"))


def test_a_version_that_hangs_is_loaded_once_and_serves_when_it_is_ready(site: Site) -> None:
    site.world.backend.hanging.add("v3")
    canary = Route("fraud", "v1", "v3", 0.1)
    site.source.publish(canary)
    site.follow()
    until(lambda: "v3" in site.world.backend.calls)
    threads = threading.active_count()
    assert site.table.current("fraud") == V1
    site.world.clock.advance(LATE)
    for _ in range(20):
        assert site.follow() == {}
        site.world.clock.advance(LATE)
    assert site.table.current("fraud") == canary
    assert site.table.problems == {"fraud": {"v3": "fraud v3 gave no answer in 30 s; it may yet"}}
    assert not site.table.loading
    assert site.loads["v3"] == 1
    assert threading.active_count() <= threads
    site.world.backend.released.set()

    def served() -> bool:
        site.follow()
        return site.table.problems == {}

    until(served)
    assert site.loads["v3"] == 1
    live = site.table.live("fraud")
    assert live is not None
    assert set(live.versions) == {"v1", "v3"}


def test_a_version_that_failed_is_tried_again_after_pauses_that_grow(site: Site) -> None:
    site.raising["v3"] = ValueError()
    site.source.publish(Route("fraud", "v3"))
    loads, problems = [], set()
    for _ in range(16):
        problems.add(site.table.follow(site.source)["fraud"])
        loads.append(site.loads["v3"])
        site.world.clock.advance(timedelta(seconds=0.5))
    assert loads == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5]
    assert len(problems) == 1
    with pytest.raises(ArtifactError):
        site.table.publish(Route("fraud", "v3"))
    assert site.loads["v3"] == 6, "who publishes it now does not wait"


def test_a_problem_stands_while_the_version_is_tried_again(site: Site) -> None:
    site.raising["v3"] = ValueError()
    site.source.publish(Route("fraud", "v3"))
    told = site.table.follow(site.source)
    del site.raising["v3"]
    site.world.backend.hanging.add("v3")
    site.world.clock.advance(timedelta(seconds=1))
    assert site.follow() == told
    until(lambda: "v3" in site.world.backend.calls)
    assert site.follow() == told
    assert site.loads["v3"] == 2


def test_a_later_route_is_not_replaced_by_an_earlier_one(site: Site) -> None:
    site.world.backend.hanging.add("v3")
    earlier = threading.Thread(target=site.table.publish, args=(Route("fraud", "v3"),))
    earlier.start()
    until(lambda: bool(site.loads["v3"]))
    site.table.publish(Route("fraud", "v2"))
    site.world.backend.released.set()
    earlier.join(20)
    assert site.table.current("fraud") == Route("fraud", "v2")


def test_a_version_serves_no_request_before_its_orders_hold(site: Site) -> None:
    site.order("fraud", "v2", Event.FORCE_OPEN)
    site.orders.follow()
    site.table.publish(Route("fraud", "v2"))
    assert site.mode("fraud", "v2") is Mode.FORCED_OPEN
