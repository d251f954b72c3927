"""Fallback tiers: their part of the deadline, and what each did is told."""

import asyncio
import re
from datetime import timedelta

import pyarrow as pa
import pytest

from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway
from homeostat.serving.fallback import Cached, Fallback, Lighter, parse_rules
from unit.entrypoints.gateway.gateway_world import World

HOUR = timedelta(hours=1)
TWO = Fallback((Lighter("light", 0.2), Lighter("v3", 0.3)), default=0.125)


def seconds(gateway: Gateway) -> dict[str, float]:
    """Seconds by tier, as /metrics tells."""
    text = gateway.metrics_text()
    found = re.findall(
        r'homeostat_tier_duration_seconds_sum\{model="fraud",tier="(\w+)"\} (\S+)', text
    )
    return {tier: float(figure) for tier, figure in found}


def counts(gateway: Gateway) -> dict[str, int]:
    text = gateway.metrics_text()
    found = re.findall(
        r'homeostat_tier_duration_seconds_count\{model="fraud",tier="(\w+)"\} (\d+)', text
    )
    return {tier: int(figure) for tier, figure in found}


def test_each_tier_has_its_share_of_the_deadline(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(TWO, deadline=1.0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging |= {"v1", "light", "v3"}
    got = gateway.predict("fraud", rows)
    assert set(got["tier"].to_pylist()) == {"default"}
    # On simulated time a tier that hangs is charged what it was granted.
    assert seconds(gateway) == pytest.approx({"model": 0.5, "lighter": 0.5, "default": 0.0})


def test_a_tier_may_use_what_those_before_it_left(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(TWO, deadline=1.0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.errors["v1"] = RuntimeError()
    world.backend.hanging.add("light")
    got = gateway.predict("fraud", rows)
    assert set(got["version"].to_pylist()) == {"v3"}
    assert seconds(gateway) == pytest.approx({"model": 0.0, "lighter": 0.7})


def test_a_challenger_that_hangs_takes_no_more_than_the_model_has(
    world: World, rows: pa.Table
) -> None:
    gateway = world.gateway(Fallback((Lighter("light", 0.4),)), deadline=1.0)
    gateway.routes.publish(Route("fraud", "v1", "v2", 1.0))
    world.backend.hanging.add("v2")
    got = gateway.predict("fraud", rows)
    assert set(got["tier"].to_pylist()) == {"lighter"}
    assert seconds(gateway)["model"] == pytest.approx(0.6)


def test_versions_that_hang_together_are_charged_once(world: World) -> None:
    rows = pa.table({"amount": [1.0] * 20, "card": [f"card {n}" for n in range(20)]})
    gateway = world.gateway(Fallback((Lighter("light", 0.4),), default=0.125), deadline=0.5)
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))
    world.backend.calls.clear()
    world.backend.hanging |= {"v1", "v2"}
    got = gateway.predict("fraud", rows)
    assert sorted(world.backend.calls) == ["light", "v1", "v2"], "rows of both"
    assert set(got["tier"].to_pylist()) == {"lighter"}
    assert got["latency_ms"].to_pylist() == pytest.approx([300.0] * 20)
    assert seconds(gateway) == pytest.approx({"model": 0.3, "lighter": 0.0})


@pytest.mark.parametrize("shares", [(0.0,), (1.0,), (0.5, 0.5), (-0.1,)])
def test_shares_leave_the_model_some(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="leave the model some"):
        Fallback(tuple(Lighter("light", share) for share in shares))


def test_each_tier_that_worked_on_a_request_is_counted(world: World, rows: pa.Table) -> None:
    rules = parse_rules([("age > 55", 0.9)], world.spec.schema)
    gateway = world.gateway(Fallback((Cached(HOUR), rules), default=0.125))
    gateway.routes.publish(Route("fraud", "v1"))
    gateway.predict("fraud", rows.slice(0, 2))
    assert counts(gateway) == {"model": 1}
    world.backend.errors["v1"] = RuntimeError()
    gateway.predict("fraud", rows)
    assert counts(gateway) == {"model": 2, "cached": 1, "rules": 1, "default": 1}
    gateway.predict("fraud", rows.slice(0, 2))
    assert counts(gateway) == {"model": 3, "cached": 2, "rules": 1, "default": 1}


def test_a_cached_answer_says_how_old_it_is(world: World) -> None:
    gateway = world.gateway(Fallback((Cached(HOUR),), default=0.125))
    gateway.routes.publish(Route("fraud", "v1"))
    rows = [{"amount": 1.0, "card": "anna"}, {"amount": 2.0, "card": "ben"}]

    def ask() -> list[dict[str, object]]:
        return asyncio.run(gateway.answer("fraud", rows)).content()

    fresh = ask()
    assert all("age_seconds" not in row for row in fresh)
    world.backend.errors["v1"] = RuntimeError()
    world.clock.advance(timedelta(minutes=10))
    rows[1]["card"] = "cem"
    first, second = ask()
    assert (first["tier"], first["score"]) == ("cached", fresh[0]["score"])
    assert first["age_seconds"] == 600.0
    assert second["tier"] == "default"
    assert "age_seconds" not in second


def test_a_cached_answer_is_its_versions_and_goes_with_it(world: World) -> None:
    gateway = world.gateway(Fallback((Cached(HOUR),), default=0.125))
    row = pa.table({"card": ["anna"], "amount": [10.0]})
    gateway.routes.publish(Route("fraud", "v1", "v2", 1.0))
    (score,) = gateway.predict("fraud", row)["score"].to_pylist()
    for version in ("v1", "v2"):
        world.backend.errors[version] = RuntimeError()
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.0))
    got = gateway.predict("fraud", row).select(["tier", "version", "score"]).to_pylist()
    assert got == [{"tier": "cached", "version": "v2", "score": score}]
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    got = gateway.predict("fraud", row).select(["tier", "version", "score"]).to_pylist()
    assert got == [{"tier": "default", "version": "v1", "score": 0.125}]


def test_a_cached_answer_grows_old_though_the_clock_is_set_back(world: World) -> None:
    gateway = world.gateway(Fallback((Cached(HOUR),), default=0.125))
    gateway.routes.publish(Route("fraud", "v1"))
    row = pa.table({"card": ["anna"]})
    gateway.predict("fraud", row)
    world.backend.errors["v1"] = RuntimeError()
    world.clock.set(world.clock.now() - 6 * HOUR)
    assert gateway.predict("fraud", row)["tier"].to_pylist() == ["cached"]
    world.clock.advance(6.5 * HOUR)
    assert gateway.predict("fraud", row)["tier"].to_pylist() == ["default"]


def test_a_cached_answer_is_used_up_to_its_age_and_not_renewed(world: World) -> None:
    gateway = world.gateway(Fallback((Cached(HOUR),), default=0.125))
    gateway.routes.publish(Route("fraud", "v1"))
    row = pa.table({"card": ["anna"]})
    gateway.predict("fraud", row)
    world.backend.errors["v1"] = RuntimeError()
    tiers = []
    for _ in range(3):
        world.clock.advance(timedelta(minutes=30))
        tiers += gateway.predict("fraud", row)["tier"].to_pylist()
    assert tiers == ["cached", "cached", "default"]
