"""Arms and overrides: who answers, and as what it stands in the log."""

import asyncio
from collections import Counter
from datetime import timedelta

import httpx
import pyarrow as pa
import pytest

from homeostat.domain.clock import Clock
from homeostat.domain.errors import NotFoundError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, app
from homeostat.entrypoints.gateway.app import MayOverride, anyone, nobody
from homeostat.entrypoints.gateway.door import Keys
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.serving.breaker import Mode
from homeostat.serving.fallback import Cached, Fallback
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import World

ARMS = Route("fraud", "v1").with_arms({"v1": 0.3, "v2": 0.3}, "prices")
MANY = pa.table({"amount": [1.0] * 200, "card": [f"c{i}" for i in range(200)]})
PREDICT = "/v1/models/fraud/predict"


def pairs(table: pa.Table) -> Counter[tuple[str, str]]:
    return Counter(zip(table["version"].to_pylist(), table["role"].to_pylist(), strict=True))


def ask(gateway: Gateway, version: str, may: MayOverride, token: str = "") -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app(gateway, may_override=may))
        headers = {"X-Homeostat-Version": version, "Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post(PREDICT, json={"rows": [{"amount": 1}]}, headers=headers)

    return asyncio.run(run())


def test_arms_answer_their_share_and_champion_and_challenger_the_rest(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v3", 0.5).with_arms({"v2": 0.3}, "prices"))
    got = pairs(gateway.predict("fraud", MANY))
    assert set(got) == {("v1", "champion"), ("v3", "challenger"), ("v2", "arm:v2")}
    # Five standard deviations around 60, 70 and 70.
    assert abs(got["v2", "arm:v2"] - 60) < 33
    assert abs(got["v3", "challenger"] - 70) < 34


def test_a_champion_can_be_an_arm_and_roles_tell_them_apart(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(ARMS)
    gateway.predict("fraud", MANY)
    assert gateway.flush()
    assert set(pairs(world.logged())) == {
        ("v1", "champion"), ("v1", "arm:v1"), ("v2", "arm:v2"),
    }  # fmt: skip


def test_the_chance_of_an_arm_stands_in_the_log_as_it_was_at_the_time(world: World) -> None:
    gateway = world.gateway()
    gateway.predict("fraud", MANY.slice(0, 4))
    for shares in ({"v1": 0.3, "v2": 0.3}, {"v1": 0.3, "v2": 0.6}):
        gateway.routes.publish(ARMS.with_arms(shares, "prices"))
        gateway.predict("fraud", MANY)
        gateway.predict("fraud", MANY.slice(0, 4))
    assert gateway.flush()
    rows = world.logged()
    told = {*zip(rows["role"].to_pylist(), rows["arm_share"].to_pylist(), strict=True)}
    assert told == {("champion", None), ("arm:v1", 0.3), ("arm:v2", 0.3), ("arm:v2", 0.6)}


def test_an_entity_stays_with_its_arm_when_another_grows(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(ARMS)
    before = gateway.predict("fraud", MANY)["role"].to_pylist()
    gateway.routes.publish(ARMS.with_arms({"v1": 0.3, "v2": 0.5}, "prices"))
    after = gateway.predict("fraud", MANY)["role"].to_pylist()
    moved = {pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]}
    assert moved == {("champion", "arm:v2")}


def test_champion_stands_in_for_failing_arms(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1").with_arms({"v2": 0.5, "v3": 0.5}))
    world.backend.errors |= {"v2": RuntimeError(), "v3": RuntimeError()}
    for reason in ("error", "error", "breaker_open"):
        got = gateway.predict("fraud", MANY)
        assert set(pairs(got)) == {("v1", "arm:v2"), ("v1", "arm:v3")}
        assert set(got["reason"].to_pylist()) == {reason}
        assert set(got["tier"].to_pylist()) == {"model"}
    live = gateway.routes.live("fraud")
    assert live is not None
    assert {v: made.breaker.mode for v, made in live.versions.items()} == {
        "v1": Mode.CLOSED, "v2": Mode.OPEN, "v3": Mode.OPEN,
    }  # fmt: skip


def test_an_arm_that_cannot_be_loaded_is_the_champions(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1").with_arms({"v9": 1.0}))
    got = gateway.predict("fraud", MANY)
    assert set(pairs(got)) == {("v1", "arm:v9")}
    assert set(got["reason"].to_pylist()) == {"error"}


def test_an_override_names_its_version_and_stands_as_such_in_the_log(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.0, shadows=("v3",)))
    got = gateway.predict("fraud", MANY.slice(0, 3), "v3")
    assert pairs(got) == {("v3", "override"): 3}
    world.backend.errors["v3"] = RuntimeError()
    got = gateway.predict("fraud", MANY.slice(0, 3), "v3")
    assert pairs(got) == {("v1", "override"): 3}
    assert set(got["reason"].to_pylist()) == {"error"}
    assert gateway.flush()
    assert pairs(world.logged()) == {("v3", "override"): 3, ("v1", "override"): 3}


def test_an_override_is_not_remembered_for_others(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(Fallback((Cached(timedelta(hours=1)),), default=0.125))
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    gateway.predict("fraud", rows, "v2")
    world.backend.errors["v1"] = RuntimeError()
    assert set(gateway.predict("fraud", rows)["tier"].to_pylist()) == {"default"}


def test_an_override_that_falls_back_is_not_counted_as_degraded(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2"))
    world.backend.errors |= {"v1": RuntimeError(), "v2": RuntimeError()}
    for version, counted in (("v2", 0), ("", 3), ("v2", 3)):
        got = gateway.predict("fraud", MANY.slice(0, 3), version)
        assert set(got["tier"].to_pylist()) == {"default"}
        line = f'homeostat_degraded_predictions_total{{model="fraud"}} {counted}\n'
        assert line in gateway.metrics_text()


def test_an_override_of_a_version_that_is_not_loaded_is_refused(world: World) -> None:
    gateway = world.gateway()
    with pytest.raises(NotFoundError, match="there are: none"):
        gateway.predict("fraud", MANY, "v1")
    gateway.routes.publish(ARMS)
    with pytest.raises(NotFoundError, match=r"no version 'v3' loaded here; there are: v1, v2"):
        gateway.predict("fraud", MANY, "v3")
    answer = ask(gateway, "v3", anyone)
    assert answer.status_code == 404
    assert "v1, v2" in answer.json()["error"]["message"]


@pytest.fixture
def tokens(world: World) -> Tokens:
    return Tokens(MemoryRecords(world.clock))


def operators(tokens: Tokens, clock: Clock) -> MayOverride:
    return Keys(tokens, clock).operates


def test_the_version_header_takes_a_token_of_scope_operate(world: World, tokens: Tokens) -> None:
    gateway = world.gateway()
    gateway.routes.publish(ARMS)
    secrets = {scope: tokens.create(scope, [scope], world.clock.now()) for scope in Scope}
    may = operators(tokens, world.clock)
    answer = ask(gateway, "v2", may, secrets[Scope.OPERATE])
    assert answer.json()["predictions"][0]["version"] == "v2"
    for secret in (secrets[Scope.INGEST], secrets[Scope.READ], "hs_wrong", ""):
        answer = ask(gateway, "v2", may, secret)
        assert answer.status_code == 403
        assert "scope operate" in answer.json()["error"]["message"]
    assert gateway.flush()
    assert pairs(world.logged()) == {("v2", "override"): 1}


def test_the_version_header_is_for_nobody_or_anyone_where_that_is_said(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(ARMS)
    assert ask(gateway, "v2", nobody).status_code == 403
    assert ask(gateway, "v2", anyone).json()["predictions"][0]["version"] == "v2"
    assert ask(gateway, "", nobody).status_code == 200
