"""The route table as the engine sees it."""

import logging
from datetime import timedelta

import pyarrow as pa
import pytest

from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.errors import ArtifactError, NotFoundError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import RouteTable, ServedModel, table
from homeostat.entrypoints.gateway.table import log_transition
from homeostat.serving.breaker import BreakerConfig, Cause, Event, Mode, Transition
from homeostat.serving.fallback import Fallback, Lighter
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import World

V1 = Route("fraud", "v1")


def test_publish_and_read_back(world: World) -> None:
    table = world.gateway().routes
    assert table.current("fraud") is None
    table.publish(V1)
    assert table.current("fraud") == V1


def test_publishing_the_same_again_loads_nothing(world: World) -> None:
    table = world.gateway().routes
    table.publish(V1)
    live = table.live("fraud")
    table.publish(V1)
    assert table.live("fraud") is live


def test_a_version_that_stays_keeps_its_breaker(world: World) -> None:
    table = world.gateway().routes
    table.publish(V1)
    before = table.live("fraud").versions["v1"]
    table.publish(Route("fraud", "v2", shadows=("v1",)))
    assert table.live("fraud").versions["v1"] is before


def test_a_corrupt_version_never_replaces_one_that_works(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(V1)
    (world.root / "v2" / "model.json").write_text("{}")
    with pytest.raises(ArtifactError, match="v2"):
        gateway.routes.publish(Route("fraud", "v2"))
    assert gateway.routes.current("fraud") == V1
    assert set(gateway.predict("fraud", rows)["version"].to_pylist()) == {"v1"}


@pytest.mark.parametrize(
    "route", [Route("fraud", "v1", "v2", 1.0), Route("fraud", "v1", shadows=("v2",))]
)
def test_after_a_restart_a_sound_champion_serves_beside_a_corrupt_version(
    world: World, rows: pa.Table, route: Route
) -> None:
    (world.root / "v2" / "model.json").write_text("{}")
    gateway = world.gateway()
    gateway.routes.publish(route)
    assert gateway.routes.current("fraud") == route
    answers = gateway.predict("fraud", rows)
    assert set(answers["version"].to_pylist()) == {"v1"}
    assert set(answers["tier"].to_pylist()) == {"model"}
    assert gateway.flush()
    assert world.logged().num_rows == 4
    assert list(gateway.routes.problems["fraud"]) == ["v2"]


def test_a_corrupt_lighter_version_is_passed_over(world: World, rows: pa.Table) -> None:
    (world.root / "light" / "model.json").write_text("{}")
    gateway = world.gateway(Fallback((Lighter("light"),), default=0.125))
    gateway.routes.publish(V1)
    world.backend.errors["v1"] = RuntimeError("boom")
    assert set(gateway.predict("fraud", rows)["tier"].to_pylist()) == {"default"}
    assert list(gateway.routes.problems["fraud"]) == ["light"]


def test_trap_rollback_skipped_because_another_version_is_corrupt(
    world: World, rows: pa.Table
) -> None:
    """What failed before, or fails beside it, keeps no rollback or degraded update away."""
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v3"))
    (world.root / "v2" / "model.json").write_text("{}")
    for route in (Route("fraud", "v1", "v2", 0.5), Route("fraud", "v1", "v2", 0.5, (), ("land",))):
        gateway.routes.publish(route)
        assert gateway.routes.current("fraud") == route
        assert set(gateway.predict("fraud", rows)["version"].to_pylist()) == {"v1"}
    with pytest.raises(ArtifactError, match="v2"):
        gateway.routes.publish(Route("fraud", "v2"))
    assert gateway.routes.current("fraud") == route
    gateway.routes.publish(Route("fraud", "v3"))
    assert set(gateway.predict("fraud", rows)["version"].to_pylist()) == {"v3"}


def test_a_missing_version_is_logged_once_and_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    source, table = RecordsRoutes(MemoryRecords(world.clock)), world.gateway().routes
    source.publish(Route("fraud", "v1", "v2", 0.5, ("v9",)))
    file = world.root / "v2" / "model.json"
    sound = file.read_text()
    file.write_text("{}")
    assert table.follow(source) == table.follow(source) == {}
    assert set(table.problems["fraud"]) == {"v2", "v9"}
    assert len([r for r in caplog.records if "cannot be loaded" in r.message]) == 2
    champion = table.live("fraud").versions["v1"]
    file.write_text(sound)
    world.clock.advance(timedelta(seconds=1))
    table.follow(source)
    assert set(table.problems["fraud"]) == {"v9"}
    assert set(table.live("fraud").versions) == {"v1", "v2"}
    assert table.live("fraud").versions["v1"] is champion
    table.publish(V1)
    assert table.problems == {}


def test_a_version_that_cannot_predict_is_refused(world: World) -> None:
    world.backend.errors["v2"] = RuntimeError("boom")
    with pytest.raises(ArtifactError, match=r"v2 cannot predict: RuntimeError\('boom'\)"):
        world.gateway().routes.publish(Route("fraud", "v2"))


def test_a_version_that_hangs_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LONGEST_LOAD", 0.02)
    world.backend.hanging.add("v2")
    with pytest.raises(ArtifactError, match="gave no answer"):
        world.gateway().routes.publish(Route("fraud", "v2"))


def test_a_version_with_unknown_features_is_refused(world: World) -> None:
    file = world.root / "v4" / "model.json"
    file.parent.mkdir()
    text = (world.root / "v1" / "model.json").read_text()
    file.write_text(text.replace('"age"', '"shoe"'))
    world.register("v4")
    with pytest.raises(ArtifactError, match="takes shoe, not in the model's schema"):
        world.gateway().routes.publish(Route("fraud", "v4"))


def test_unknown_model_and_version(world: World) -> None:
    table = world.gateway().routes
    with pytest.raises(NotFoundError, match="'spam'"):
        table.publish(Route("spam", "v1"))
    with pytest.raises(NotFoundError, match="v9"):
        table.publish(Route("fraud", "v9"))


def test_follow_takes_what_it_can_and_reports_the_rest(world: World) -> None:
    source, table = world.gateway().routes, world.gateway().routes
    assert table.follow(source) == {}
    assert table.current("fraud") is None
    source.publish(V1)
    assert table.follow(source) == {}
    assert table.current("fraud") == V1
    source.publish(Route("fraud", "v2"))
    (world.root / "v2" / "model.json").write_text("{}")
    assert "v2" in table.follow(source)["fraud"]
    assert table.current("fraud") == V1


def test_the_log_says_why_a_breaker_opened(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_transition("fraud", "v1", Transition(Mode.CLOSED, Mode.OPEN, 1.0, Cause.SLOW))
        log_transition("fraud", "v1", Transition(Mode.OPEN, Mode.HALF_OPEN, 2.0))
    assert caplog.messages == [
        "fraud v1: breaker closed -> open (slow)",
        "fraud v1: breaker open -> half_open",
    ]


def test_listener_hears_the_breakers(world: World) -> None:
    heard: list[tuple[str, str, Transition]] = []
    served = ServedModel(world.spec, breaker=BreakerConfig())
    table = RouteTable(
        world.registry, [served], world.clock, world.backend.load, lambda *what: heard.append(what)
    )
    table.publish(V1)
    table.live("fraud").versions["v1"].breaker.command(Event.FORCE_OPEN, 3.0)
    assert [(model, version, move.after.value) for model, version, move in heard] == [
        ("fraud", "v1", "forced_open")
    ]
