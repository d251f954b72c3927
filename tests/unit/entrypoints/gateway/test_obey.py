"""Gateways do what operators want of breakers."""

import asyncio
import logging

import pyarrow as pa
import pytest

from homeostat.domain.errors import StorageError
from homeostat.domain.route import Route
from homeostat.engine.orders import give_order
from homeostat.entrypoints.gateway import Gateway, app
from homeostat.entrypoints.gateway.obey import Obedience
from homeostat.serving.breaker import Event, Mode
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import World


class Site:
    """A gateway, the records, and an operator."""

    def __init__(self, world: World) -> None:
        self.world, self.records = world, MemoryRecords(world.clock)
        self.gateway = world.gateway()
        self.orders = Obedience(self.records, self.gateway.routes, world.clock)
        self.gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))

    def order(self, version: str, event: Event) -> None:
        give_order(self.records, "fraud", version, event, "olga", "", self.world.clock.now())

    def modes(self, version: str = "v1", gateway: Gateway | None = None) -> set[Mode]:
        live = (gateway or self.gateway).routes.live("fraud")
        assert live is not None
        loaded = live.versions[version]
        return {loaded.breaker.mode, loaded.shadow_breaker.mode}


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


def test_forced_open_disabled_and_reset(site: Site, rows: pa.Table) -> None:
    for event, mode in (
        (Event.FORCE_OPEN, Mode.FORCED_OPEN),
        (Event.DISABLE, Mode.DISABLED),
        (Event.RESET, Mode.CLOSED),
    ):
        site.order("v1", event)
        site.orders.follow()
        assert site.modes() == {mode}
        assert site.modes("v2") == {Mode.CLOSED}
    assert 'mode="closed"} 1' in site.gateway.metrics_text()
    assert set(site.gateway.predict("fraud", rows)["tier"].to_pylist()) == {"model"}


def test_a_version_forced_open_is_asked_no_more(site: Site, rows: pa.Table) -> None:
    site.order("v1", Event.FORCE_OPEN)
    site.order("v2", Event.FORCE_OPEN)
    site.orders.follow()
    site.world.backend.calls.clear()
    got = site.gateway.predict("fraud", rows)
    assert set(got["reason"].to_pylist()) == {"breaker_open"}
    assert site.gateway.drain()
    assert site.world.backend.calls == []
    text = site.gateway.metrics_text()
    assert 'homeostat_breaker_mode{model="fraud",version="v1",mode="forced_open"} 1' in text


def test_an_order_is_carried_out_once(site: Site, rows: pa.Table) -> None:
    site.orders.follow()
    site.order("v1", Event.RESET)
    site.orders.follow()
    site.world.backend.errors["v1"] = RuntimeError()
    for _ in range(2):
        site.gateway.predict("fraud", rows)
    site.orders.follow()
    assert Mode.OPEN in site.modes(), "an order of before resets nothing now"
    site.order("v1", Event.RESET)
    site.orders.follow()
    assert site.modes() == {Mode.CLOSED}


def test_a_gateway_that_starts_later_obeys_what_stands(site: Site, rows: pa.Table) -> None:
    site.order("v1", Event.FORCE_OPEN)
    site.order("v2", Event.RESET)
    gateway = site.world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    site.world.backend.errors["v2"] = RuntimeError()
    for _ in range(2):
        gateway.predict("fraud", rows)
        assert gateway.drain()
    Obedience(site.records, gateway.routes, site.world.clock).follow()
    assert site.modes("v1", gateway) == {Mode.FORCED_OPEN}
    assert site.modes("v2", gateway) == {Mode.CLOSED, Mode.OPEN}, "it was given before it began"


def test_a_version_that_comes_back_obeys_too(site: Site) -> None:
    site.order("v1", Event.FORCE_OPEN)
    site.orders.follow()
    site.gateway.routes.publish(Route("fraud", "v3"))
    site.orders.follow()
    site.gateway.routes.publish(Route("fraud", "v1"))
    site.orders.follow()
    assert site.modes() == {Mode.FORCED_OPEN}


def test_without_a_route_there_is_nothing_to_obey(world: World) -> None:
    records, gateway = MemoryRecords(world.clock), world.gateway()
    give_order(records, "fraud", "v1", Event.FORCE_OPEN, "olga", "", world.clock.now())
    Obedience(records, gateway.routes, world.clock).follow()
    assert gateway.routes.live("fraud") is None


def test_records_that_are_away_are_told_once_and_change_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.order("v1", Event.FORCE_OPEN)
    site.orders.follow()
    read = site.records.read

    def away(*_: object) -> None:
        raise StorageError("the database is away")

    for _ in range(2):
        monkeypatch.setattr(site.records, "read", away)
        for _ in range(3):
            site.orders.follow()
        monkeypatch.setattr(site.records, "read", read)
        site.orders.follow()
    assert site.modes() == {Mode.FORCED_OPEN}
    told = [r for r in caplog.records if r.levelno == logging.WARNING and "away" in r.message]
    assert len(told) == 2


def test_the_application_follows_by_itself(site: Site) -> None:
    async def run() -> None:
        application = app(site.gateway, orders=site.orders, every=0.01)
        async with application.router.lifespan_context(application):
            site.order("v1", Event.FORCE_OPEN)
            while site.modes() != {Mode.FORCED_OPEN}:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 60))
    assert site.modes() == {Mode.FORCED_OPEN}
