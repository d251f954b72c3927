"""How a request is answered when things go wrong, one test for each published trap."""

import asyncio
import threading
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import load_predictor
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, shadows
from homeostat.serving.breaker import BreakerConfig, Mode, Outcome
from homeostat.serving.classify import of_error
from homeostat.serving.fallback import Cached, Fallback, Lighter, parse_rules
from unit.entrypoints.gateway.gateway_world import World

HANG = 1.0


def column(table: pa.Table, name: str) -> list[object]:
    return table[name].to_pylist()


def mode(gateway: Gateway, version: str) -> Mode:
    return gateway.routes.live("fraud").versions[version].breaker.mode


def test_champion_answers_and_is_logged(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    got = gateway.predict("fraud", rows)
    expected = load_predictor(world.root / "v1", "linear").predict(rows)
    np.testing.assert_array_equal(got["score"], expected)
    assert column(got, "prediction") == [1.0] * 4
    assert set(column(got, "tier")) == {"model"}
    assert gateway.flush()
    logged = world.logged()
    assert sorted(column(logged, "prediction_id")) == sorted(column(got, "prediction_id"))
    assert column(logged, "audited") == [None] * 4


def test_canary_splits_and_roles_follow(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))
    many = pa.table({"amount": [1.0] * 100, "card": [f"c{i}" for i in range(100)]})
    got = gateway.predict("fraud", many)
    pairs = set(zip(column(got, "version"), column(got, "role"), strict=True))
    assert pairs == {("v1", "champion"), ("v2", "challenger")}


def test_champion_stands_in_when_the_challenger_fails(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2", 1.0))
    world.backend.errors["v2"] = RuntimeError("boom")
    got = gateway.predict("fraud", rows)
    assert column(got, "version") == ["v1"] * 4
    assert column(got, "role") == ["challenger"] * 4
    assert column(got, "tier") == ["model"] * 4
    assert column(got, "reason") == ["error"] * 4
    gateway.predict("fraud", rows)
    assert (mode(gateway, "v1"), mode(gateway, "v2")) == (Mode.CLOSED, Mode.OPEN)
    assert column(gateway.predict("fraud", rows), "reason") == ["breaker_open"] * 4


def test_trap_retry_storm_the_champion_is_asked_once_more_and_nobody_else(world: World) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))
    world.backend.calls.clear()
    world.backend.errors |= {"v1": RuntimeError(), "v2": RuntimeError()}
    many = pa.table({"amount": [1.0] * 40, "card": [f"c{i}" for i in range(40)]})
    got = gateway.predict("fraud", many)
    assert set(column(got, "tier")) == {"default"}
    # The champion has its own rows and, once, those that the challenger dropped.
    assert sorted(world.backend.calls) == ["v1", "v1", "v2"]


def test_trap_server_failure_as_client_error(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.errors["v1"] = DataError("this row")
    for _ in range(5):
        gateway.predict("fraud", rows)
    assert mode(gateway, "v1") is Mode.CLOSED
    world.backend.errors["v1"] = ValueError("looks like a client's fault, is the model's")
    for _ in range(2):
        gateway.predict("fraud", rows)
    assert mode(gateway, "v1") is Mode.OPEN


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_trap_keyboard_interrupt_does_not_trip(error: BaseException) -> None:
    assert of_error(error) is Outcome.NEUTRAL


def test_trap_a_client_cannot_trip_the_breaker_with_bad_rows(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    bad = rows.set_column(0, "amount", pa.array([-5.0, np.inf, 2000.0, np.nan]))
    for _ in range(5):
        got = gateway.predict("fraud", bad)
    assert column(got, "reason") == ["invalid_input"] * 4
    assert column(got, "score") == [0.125] * 4
    assert mode(gateway, "v1") is Mode.CLOSED


def test_trap_batch_poisoning(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    bad = rows.set_column(0, "amount", pa.array([10.0, -5.0, None, 40.0]))
    got = gateway.predict("fraud", bad)
    assert column(got, "tier") == ["model", "default", "model", "model"]
    world.backend.answers["v1"] = np.array([0.5, np.nan, 0.5, np.inf])
    got = gateway.predict("fraud", rows)
    assert column(got, "tier") == ["model", "default", "model", "default"]
    assert column(got, "reason") == ["", "error", "", "error"]


def test_hanging_model_opens_the_breaker_and_recovers(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(deadline=HANG)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    got = gateway.predict("fraud", rows)
    assert column(got, "reason") == ["timeout"] * 4
    assert column(got, "latency_ms")[0] >= HANG * 1000
    gateway.predict("fraud", rows)
    assert mode(gateway, "v1") is Mode.OPEN
    assert column(gateway.predict("fraud", rows), "reason") == ["breaker_open"] * 4
    world.backend.hanging.clear()
    world.backend.released.set()
    world.clock.advance(timedelta(seconds=61))
    assert wait_for_answer(gateway, rows)
    assert mode(gateway, "v1") is Mode.CLOSED


def wait_for_answer(gateway: Gateway, rows: pa.Table) -> bool:
    return column(gateway.predict("fraud", rows), "tier") == ["model"] * 4


def test_trap_zombie_timeout_keeps_its_place(world: World, rows: pa.Table) -> None:
    careless = BreakerConfig(faults=1000)
    gateway = world.gateway(deadline=HANG, workers=1, waiting=0, breaker=careless)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.calls.clear()
    world.backend.hanging.add("v1")
    assert column(gateway.predict("fraud", rows), "reason") == ["timeout"] * 4
    for _ in range(5):
        assert column(gateway.predict("fraud", rows), "reason") == ["overload"] * 4
    assert world.backend.calls == ["v1"], "hung work must not be joined by more of its kind"
    world.backend.hanging.clear()
    world.backend.released.set()
    for _ in range(3000):
        if wait_for_answer(gateway, rows):
            break
        threading.Event().wait(0.01)
    assert wait_for_answer(gateway, rows)


def test_trap_hang_of_one_version_leaves_the_others_alone(
    world: World, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST_COPIES", 4)
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    world.backend.hanging.add("v2")
    for _ in range(30):
        assert wait_for_answer(gateway, rows)
    dropped = gateway.metrics.shadows["fraud", "v2", "dropped"]
    assert dropped >= 4 * (30 - 9)


def test_trap_wall_clock_jumps_do_not_matter(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.errors["v1"] = RuntimeError()
    for _ in range(2):
        gateway.predict("fraud", rows)
    world.backend.errors.clear()
    world.clock.set(world.clock.now() - timedelta(days=1))
    assert column(gateway.predict("fraud", rows), "reason") == ["breaker_open"] * 4
    world.clock.advance(timedelta(seconds=61))
    assert wait_for_answer(gateway, rows)


def test_trap_cancellation_is_no_evidence_and_frees_the_probe(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.errors["v1"] = RuntimeError()
    for _ in range(2):
        gateway.predict("fraud", rows)
    world.backend.errors.clear()
    world.clock.advance(timedelta(seconds=61))
    world.backend.hanging.add("v1")

    async def give_up() -> None:
        task = asyncio.create_task(gateway.predict_async("fraud", rows))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert mode(gateway, "v1") is Mode.HALF_OPEN
    world.backend.hanging.clear()
    assert wait_for_answer(gateway, rows)
    assert mode(gateway, "v1") is Mode.CLOSED


def test_tiers_answer_in_order_and_each_is_accounted_for(world: World, rows: pa.Table) -> None:
    rules = parse_rules([("age > 55", 0.9)], world.spec.schema)
    gateway = world.gateway(Fallback((Cached(timedelta(hours=1)), rules), default=0.125))
    gateway.routes.publish(Route("fraud", "v1"))
    first = gateway.predict("fraud", rows.slice(0, 2))
    world.backend.errors["v1"] = RuntimeError()
    got = gateway.predict("fraud", rows)
    assert column(got, "tier") == ["cached", "cached", "default", "rules"]
    assert column(got, "score") == [*column(first, "score"), 0.125, 0.9]
    assert column(got, "version") == ["v1"] * 4
    world.clock.advance(timedelta(hours=2))
    got = gateway.predict("fraud", rows)
    assert column(got, "tier") == ["default", "default", "default", "rules"]


def test_degraded_feature_passes_over_all_that_use_it(world: World, rows: pa.Table) -> None:
    rules = parse_rules([("amount > 5", 0.9)], world.spec.schema)
    gateway = world.gateway(Fallback((rules,), default=0.125))
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",), degraded=("amount",)))
    got = gateway.predict("fraud", rows)
    assert column(got, "reason") == ["degraded"] * 4
    assert column(got, "tier") == ["default"] * 4
    assert gateway.flush()
    assert set(column(world.logged(), "role")) == {"champion"}


def test_lighter_version_answers_within_the_budget(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(Fallback((Lighter("light"),)), deadline=2.0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    got = gateway.predict("fraud", rows)
    assert column(got, "tier") == ["lighter"] * 4
    assert column(got, "version") == ["light"] * 4
    assert column(got, "reason") == ["timeout"] * 4
    world.backend.hanging.add("light")
    got = gateway.predict("fraud", rows)
    assert column(got, "tier") == ["default"] * 4
    assert column(got, "latency_ms")[0] < 10_000.0


def test_lighter_is_passed_over_where_it_uses_the_bad_value(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(Fallback((Lighter("light"),), default=0.125))
    gateway.routes.publish(Route("fraud", "v1", degraded=("age",)))
    assert column(gateway.predict("fraud", rows), "tier") == ["default"] * 4


def test_without_a_route_the_fallback_answers(
    world: World, rows: pa.Table, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = world.gateway(Fallback((Lighter("light"),), default=0.125))
    got = gateway.predict("fraud", rows)
    gateway.predict("fraud", rows)
    assert column(got, "tier") == ["default"] * 4
    assert column(got, "reason") == ["not_loaded"] * 4
    assert gateway.flush()
    assert column(world.logged(), "version") == ["none"] * 8
    assert [r.levelname for r in caplog.records if "not_loaded" in r.getMessage()] == ["WARNING"]
    assert 'reason="not_loaded"' in gateway.metrics_text()


def test_a_first_champion_that_cannot_be_loaded_is_an_error(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(Fallback(default=0.125))
    with pytest.raises(NotFoundError):
        gateway.routes.publish(Route("fraud", "missing"))
    got = gateway.predict("fraud", rows)
    assert column(got, "reason") == ["error"] * 4
    assert column(got, "version") == ["missing"] * 4
    gateway.routes.publish(Route("fraud", "v1"))
    assert column(gateway.predict("fraud", rows), "reason") == [""] * 4


def test_wrong_number_of_scores_is_a_fault(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(workers=0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.answers["v1"] = np.zeros(3)
    for _ in range(2):
        assert column(gateway.predict("fraud", rows), "reason") == ["error"] * 4
    assert mode(gateway, "v1") is Mode.OPEN


def test_lighter_version_has_a_breaker_of_its_own(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(Fallback((Lighter("light"),), default=0.125))
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.errors |= {"v1": RuntimeError(), "light": RuntimeError()}
    for _ in range(2):
        assert column(gateway.predict("fraud", rows), "tier") == ["default"] * 4
    world.backend.calls.clear()
    got = gateway.predict("fraud", rows)
    assert world.backend.calls == []
    assert column(got, "reason") == ["breaker_open"] * 4
    assert mode(gateway, "light") is Mode.OPEN


def test_trap_a_model_that_hung_answers_again_once_it_is_well(world: World, rows: pa.Table) -> None:
    once = BreakerConfig(faults=1, cooldown=60.0, successes=1)
    gateway = world.gateway(breaker=once, deadline=HANG, workers=1, waiting=0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    assert set(column(gateway.predict("fraud", rows), "reason")) == {"timeout"}
    assert mode(gateway, "v1") is Mode.OPEN
    world.backend.hanging.clear()  # for calls from now on; the one under way never ends
    world.clock.advance(timedelta(seconds=61))
    assert set(column(gateway.predict("fraud", rows), "tier")) == {"model"}
    assert mode(gateway, "v1") is Mode.CLOSED
    text = gateway.metrics_text()
    labels = '{model="fraud",version="v1"}'
    assert f"homeostat_lost_threads{labels} 1\n" in text
    assert f"homeostat_calls_under_way{labels} 0\n" in text
    assert f"homeostat_call_places{labels} 1\n" in text
    world.backend.released.set()


def test_work_of_a_caller_who_left_is_not_begun(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(workers=1)
    gateway.routes.publish(Route("fraud", "v1"))
    live = gateway.routes.live("fraud")
    assert live is not None
    lane = live.versions["v1"].lane
    world.backend.calls.clear()
    world.backend.hanging.add("v1")

    async def leave() -> None:
        first, second = (asyncio.create_task(gateway.answer("fraud", rows)) for _ in range(2))
        while lane.busy < 2 or not world.backend.calls:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        world.backend.released.set()
        await first

    asyncio.run(leave())
    assert gateway.predict("fraud", rows)["tier"].to_pylist() == ["model"] * 4
    assert world.backend.calls == ["v1"] * 2, "the first and the last"
