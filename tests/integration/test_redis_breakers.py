"""Breakers shared through a real Redis, which comes and goes."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from redis import Redis

import redis_server
from homeostat.adapters.breakers import RedisBreakers
from homeostat.domain.errors import ConfigError
from homeostat.serving.breaker import BreakerConfig, Cause, Event, Mode, Outcome, Permit
from homeostat.serving.circuit import Circuit
from homeostat.serving.sharing import WISH, Report, SharedCircuit
from redis_server import RedisServer

NEVER = 3600.0
NUMBERS = itertools.count()
CONFIG = BreakerConfig(faults=5, share=0.5, cooldown=0.0, probes=3, successes=3, lease=600.0)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = redis_server.begin_or_tell()
    yield server
    server.close()


@pytest.fixture
def name() -> str:
    return f"fraud/{next(NUMBERS)}"


def now() -> float:
    return time.monotonic()


def quiet(url: str, clock: Callable[[], float] = now) -> RedisBreakers:
    """Return what speaks with Redis when told to, and when there is something to tell."""
    return RedisBreakers(url, refresh=NEVER, timeout=10.0, pause=0.0, monotonic=clock)


Members = Callable[..., list[SharedCircuit]]


@pytest.fixture
def members(redis: RedisServer, name: str) -> Iterator[Members]:
    """Make members of one breaker, each as if in a process of its own."""
    processes: list[RedisBreakers] = []

    def make(
        count: int, config: BreakerConfig = CONFIG, clock: Callable[[], float] = now
    ) -> list[SharedCircuit]:
        made = [quiet(redis.url, clock) for _ in range(count)]
        processes.extend(made)
        return [process.circuit(name, config) for process in made]

    yield make
    for process in processes:
        process.close()


def end(circuit: SharedCircuit, outcome: Outcome, permit: Permit | None = None) -> None:
    circuit.settle(permit or circuit.acquire(now()), outcome, now())
    circuit.synchronise(now())


def ask(circuit: SharedCircuit, at: float | None = None) -> Permit | None:
    """Call, and where a lease is wanted first, call again when the answer is there."""
    at = now() if at is None else at
    permit = circuit.acquire(at)
    if permit is None:
        circuit.synchronise(at)
        permit = circuit.acquire(at)
    return permit


def modes(circuits: list[SharedCircuit]) -> set[str]:
    for circuit in circuits:
        circuit.synchronise(now())
    return {circuit.mode.value for circuit in circuits}


def opened(members: Members, count: int, config: BreakerConfig = CONFIG) -> list[SharedCircuit]:
    circuits = members(count, config)
    for number in range(config.faults):
        end(circuits[number % count], Outcome.FAULT)
    assert modes(circuits) == {"open"}
    return circuits


def at_once(work: Callable[[SharedCircuit], None], circuits: list[SharedCircuit]) -> None:
    begin = threading.Barrier(len(circuits), timeout=60)

    def run(circuit: SharedCircuit) -> None:
        begin.wait()
        work(circuit)

    threads = [threading.Thread(target=run, args=(circuit,)) for circuit in circuits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def until(condition: Callable[[], bool]) -> None:
    """Wait for another process; the time limit of the test ends it."""
    while not condition():
        time.sleep(0.01)


def test_trap_redis_race(members: Members) -> None:
    """Fifty processes with one failure each, at once, threshold five: open for all."""
    circuits = members(50)
    at_once(lambda circuit: end(circuit, Outcome.FAULT), circuits)
    assert modes(circuits) == {"open"}
    assert {circuit.state.cause for circuit in circuits} == {Cause.SHARED}


def test_trap_half_open_herd_of_processes(members: Members) -> None:
    circuits = opened(members, 50)
    permits: list[Permit] = []

    def probe(circuit: SharedCircuit) -> None:
        permits.extend(filter(None, [ask(circuit)]))

    at_once(probe, circuits)
    assert len(permits) == 3


def test_four_faults_of_four_do_not_open_it_and_a_fifth_of_any_does(members: Members) -> None:
    circuits = members(4)
    for circuit in circuits:
        end(circuit, Outcome.FAULT)
    assert modes(circuits) == {"closed"}
    end(circuits[2], Outcome.FAULT)
    assert modes(circuits) == {"open"}


def test_successes_of_the_others_are_part_of_the_share(members: Members) -> None:
    circuits = members(2)
    for _ in range(20):
        circuits[0].settle(circuits[0].acquire(now()), Outcome.SUCCESS, now())
    assert modes(circuits) == {"closed"}
    for number in range(8):
        end(circuits[number % 2], Outcome.FAULT)
    assert modes(circuits) == {"closed"}, "8 of 28, though 4 of 4 for the second alone"


def test_fewer_calls_than_the_minimum_open_nothing(members: Members) -> None:
    circuits = members(2, BreakerConfig(faults=1, share=0.0, minimum=3, cooldown=NEVER))
    for circuit in circuits:
        end(circuit, Outcome.FAULT)
    assert modes(circuits) == {"closed"}
    end(circuits[0], Outcome.FAULT)
    assert modes(circuits) == {"open"}


def test_trap_one_bad_process_does_not_poison_the_others(members: Members) -> None:
    bad, good = members(2)
    for _ in range(20):
        end(good, Outcome.SUCCESS)
    for _ in range(5):
        end(bad, Outcome.FAULT)
    assert modes([good]) == {"closed"}
    assert (bad.mode, bad.state.cause) == (Mode.OPEN, Cause.FAULTS)
    assert bad.acquire(now()) is not None, "a probe by its own leave"


@pytest.mark.parametrize("seed", range(3))
def test_members_that_always_talk_are_one_breaker(members: Members, seed: int) -> None:
    """Calls of three members, and of one plain breaker, that succeed, fail and are cancelled."""
    rng = np.random.default_rng([20261128, seed])
    config = BreakerConfig(
        faults=3, share=0.0, window=1e6, cooldown=0.0, probes=2, successes=3, lease=1e6
    )
    at = 0.0
    circuits, one = members(3, config, lambda: at), Circuit(config)
    under_way: list[tuple[SharedCircuit, Permit, Permit]] = []
    for step in range(150):
        at = 2 * WISH * step
        for circuit in circuits:  # who was refused has left, and the lease is given back
            circuit.synchronise(at)
        if rng.random() < 0.55:
            circuit = circuits[rng.integers(3)]
            permit, expected = ask(circuit, at), one.acquire(at)
            assert (permit is None) == (expected is None)
            if permit is not None and expected is not None:
                under_way.append((circuit, permit, expected))
        elif under_way:
            circuit, permit, expected = under_way.pop(int(rng.integers(len(under_way))))
            outcome = list(Outcome)[rng.choice(4, p=[0.5, 0.35, 0.05, 0.1])]
            circuit.settle(permit, outcome, at)
            one.settle(expected, outcome, at)
        for _ in range(2):
            for circuit in circuits:
                circuit.synchronise(at)
        shared = {circuit.mode for circuit in circuits}
        assert (Mode.CLOSED in shared) == (one.mode is Mode.CLOSED)
        assert len(shared) == 1 or one.mode is Mode.HALF_OPEN
    assert one.state.generation > 5


def test_probes_of_several_processes_close_it_for_all(members: Members) -> None:
    circuits = opened(members, 3)
    permits = [ask(circuit) for circuit in circuits]
    assert None not in permits
    for circuit, permit in zip(circuits, permits, strict=True):
        end(circuit, Outcome.SUCCESS, permit)
    assert modes(circuits) == {"closed"}


def test_a_failed_probe_opens_it_again_and_stale_probes_settle_nothing(members: Members) -> None:
    circuits = opened(members, 3)
    permits = [ask(circuit) for circuit in circuits]
    end(circuits[0], Outcome.FAULT, permits[0])
    generation = circuits[0].synchronise(now())
    for circuit, permit in zip(circuits[1:], permits[1:], strict=True):
        end(circuit, Outcome.SUCCESS, permit)
    assert modes(circuits) == {"open"}
    after = circuits[0].synchronise(now())
    assert generation is not None
    assert after is not None
    assert after.generation == generation.generation


def test_trap_stale_faults_told_late_count_for_nothing(members: Members) -> None:
    """A member that was paused tells of the time before the breaker opened and closed."""
    (circuit,) = opened(members, 1, BreakerConfig(faults=1, cooldown=0.0, successes=1))
    end(circuit, Outcome.SUCCESS, ask(circuit))
    late = circuit._exchange(Report(generation=0, calls=9, faults=9))
    assert late is not None
    assert (late.generation, late.mode) == (3, Mode.CLOSED)
    current = circuit._exchange(Report(generation=3, calls=9, faults=9))
    assert current is not None
    assert current.mode is Mode.OPEN


def test_a_neutral_probe_gives_its_place_back(members: Members) -> None:
    config = BreakerConfig(faults=1, cooldown=0.0, probes=1, successes=1, lease=600.0)
    first, second = opened(members, 2, config)
    permit = ask(first)
    end(first, Outcome.NEUTRAL, permit)
    assert ask(second) is not None
    assert second.mode is Mode.HALF_OPEN


def test_trap_hung_probe_of_another_process_does_not_wedge(members: Members) -> None:
    config = BreakerConfig(faults=1, cooldown=0.0, probes=1, successes=1, lease=0.05)
    hung, other = opened(members, 2, config)
    assert ask(hung) is not None
    until(lambda: ask(other) is not None)
    assert other.mode is Mode.HALF_OPEN


def test_only_probes_that_are_made_take_the_interval_up(members: Members) -> None:
    config = BreakerConfig(faults=1, cooldown=0.0, probes=9, successes=9, interval=NEVER)
    first, second = opened(members, 2, config)
    assert first.acquire(now()) is None
    first.synchronise(now())
    assert first.admits(now())
    assert ask(second) is None
    first.withdraw(now())
    assert ask(second) is not None
    second.withdraw(now())
    assert ask(first) is None, "the process ended, but its probe had been made"


def test_a_lease_counts_from_the_beginning_of_its_probe(
    members: Members, redis: RedisServer, name: str
) -> None:
    (member,) = opened(members, 1)
    client, key = Redis.from_url(redis.url), f"homeostat:breaker:{{{name}}}:probes"
    assert member.acquire(now()) is None
    member.synchronise(now())
    given = client.zrange(key, 0, -1, withscores=True)
    assert member.acquire(now()) is not None
    member.synchronise(now())
    assert client.zrange(key, 0, -1, withscores=True) != given
    client.close()


def test_what_an_operator_resets_is_closed_for_all_and_shared_again(members: Members) -> None:
    first, second = opened(members, 2, BreakerConfig(faults=4, share=0.0, cooldown=NEVER))
    first.command(Event.RESET, now())
    second.command(Event.RESET, now())
    assert modes([first, second, *members(1)]) == {"closed"}
    for number in range(4):
        end((first, second)[number % 2], Outcome.FAULT)
    assert modes([first, second]) == {"open"}


def test_an_operator_of_one_process_is_not_overruled(members: Members) -> None:
    first, second = members(2, BreakerConfig(faults=1, cooldown=0.0))
    first.command(Event.DISABLE, now())
    end(second, Outcome.FAULT)
    first.synchronise(now())
    assert (first.mode, second.mode) == (Mode.DISABLED, Mode.OPEN)


def test_breakers_of_different_names_have_nothing_in_common(redis: RedisServer, name: str) -> None:
    breakers = quiet(redis.url)
    config = BreakerConfig(faults=1, cooldown=NEVER)
    a, b = breakers.circuit(f"{name}/a", config), breakers.circuit(f"{name}/b", config)
    end(a, Outcome.FAULT)
    assert (modes([a]), modes([b])) == ({"open"}, {"closed"})
    breakers.close()


def test_closing_what_made_no_breaker(redis: RedisServer) -> None:
    breakers = quiet(redis.url)
    breakers.close()
    assert breakers.circuit("late", BreakerConfig()).alone


def test_a_process_that_ends_leaves_its_probes_to_the_others(redis: RedisServer, name: str) -> None:
    ending, other = quiet(redis.url), quiet(redis.url)
    config = BreakerConfig(faults=1, cooldown=0.0, probes=1, successes=1, lease=600.0)
    first, second = ending.circuit(name, config), other.circuit(name, config)
    end(first, Outcome.FAULT)
    assert modes([second]) == {"open"}
    assert (ask(first) is None, ask(second) is None) == (False, True)
    ending.close()
    assert ask(second) is not None
    other.close()


def test_the_thread_in_the_background_tells_and_learns(redis: RedisServer, name: str) -> None:
    one, other = (RedisBreakers(redis.url, refresh=0.02, timeout=10.0) for _ in range(2))
    config = BreakerConfig(faults=1, cooldown=NEVER)
    a, b = one.circuit(name, config), other.circuit(name, config)
    a.settle(a.acquire(now()), Outcome.FAULT, now())
    until(lambda: b.mode is Mode.OPEN)
    assert b.state.cause is Cause.SHARED
    one.close()
    other.close()
    assert a.acquire(now()) is None


def test_without_redis_each_decides_alone_and_joins_again(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = redis_server.begin_or_tell()
    first, second = (quiet(server.url) for _ in range(2))
    config = BreakerConfig(faults=2, cooldown=0.0, successes=1)
    with caplog.at_level(logging.WARNING, "homeostat.adapters.breakers.redis"):
        a, b = first.circuit(name, config), second.circuit(name, config)
        server.end()
        end(a, Outcome.FAULT)
        end(a, Outcome.FAULT)
        assert (first.away, a.alone, a.mode) == (True, True, Mode.OPEN)
        assert a.acquire(now()) is not None, "a probe by its own leave"
        permits = [b.acquire(now()) for _ in range(2)]
        assert None not in permits
        server.begin()
        assert modes([b]) == {"closed"}
        for permit in permits:
            end(b, Outcome.FAULT, permit)
        assert modes([a, b]) == {"open"}
    said = [record.getMessage().split(",")[0] for record in caplog.records]
    assert said.count("Redis is back") == 1
    assert sum(text.startswith("Redis cannot be reached") for text in said) == 1
    for breakers in (first, second):
        breakers.close()
    server.close()


def test_a_redis_that_hangs_is_waited_for_once(name: str) -> None:
    server = redis_server.begin_or_tell()
    breakers = RedisBreakers(server.url, refresh=NEVER, timeout=0.05, pause=NEVER)
    circuit = breakers.circuit(name, BreakerConfig(faults=1, cooldown=0.0, successes=1))
    end(circuit, Outcome.FAULT)
    assert not circuit.alone
    server.hang()
    assert circuit.acquire(now()) is None, "nobody waits for the answer"
    until(lambda: circuit.alone)
    permit = circuit.acquire(now())
    assert permit is not None, "a probe by its own leave"
    assert breakers.away
    server.go_on()
    end(circuit, Outcome.SUCCESS, permit)
    assert (breakers.away, circuit.mode) == (True, Mode.CLOSED), "the pause is not over"
    breakers.close()
    server.close()


def test_mistakes_of_set_up_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="use redis://") as caught:
        RedisBreakers("https://user:hunter2@host")
    assert "hunter2" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install homeostat\[redis\]"):
        RedisBreakers("redis://localhost")
