"""The route table as the engine sees it."""

import pyarrow as pa
import pytest

from homeostat.domain.errors import ArtifactError, NotFoundError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import RouteTable, ServedModel, routes
from homeostat.serving.breaker import BreakerConfig, Event, Transition
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


def test_a_version_that_cannot_predict_is_refused(world: World) -> None:
    world.backend.errors["v2"] = RuntimeError("boom")
    with pytest.raises(ArtifactError, match=r"v2 cannot predict: RuntimeError\('boom'\)"):
        world.gateway().routes.publish(Route("fraud", "v2"))


def test_a_version_that_hangs_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LONGEST_WARM_UP", 0.02)
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


def test_listener_hears_the_breakers(world: World) -> None:
    heard: list[tuple[str, str, Transition]] = []
    served = ServedModel(world.spec, breaker=BreakerConfig())
    table = RouteTable(
        world.registry, [served], world.backend.load, lambda *what: heard.append(what)
    )
    table.publish(V1)
    table.live("fraud").versions["v1"].breaker.command(Event.FORCE_OPEN, 3.0)
    assert [(model, version, move.after.value) for model, version, move in heard] == [
        ("fraud", "v1", "forced_open")
    ]
