"""Traps that other breakers fall into, each test named after one; herds have their own file."""

from __future__ import annotations

import abc
import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable

import pytest

from homeostat.domain.errors import BreakerOpenError
from homeostat.serving import Breaker
from homeostat.serving.breaker import BreakerConfig, Cause, Mode, Outcome
from homeostat.serving.circuit import Circuit
from homeostat.serving.classify import Upstream, of_error, of_status
from unit.serving.test_breaker import CONFIG, tripped


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def mode(breaker: Breaker) -> str:
    return breaker.mode.value


def fail() -> None:
    raise ConnectionError


def failed(breaker: Breaker, calls: int = 3) -> None:
    for _ in range(calls):
        with pytest.raises(ConnectionError):
            breaker(fail)()


def test_trap_half_open_herd() -> None:
    breaker = tripped(BreakerConfig(faults=3, cooldown=10.0, probes=3, successes=3))
    permits = [breaker.acquire(10.0) for _ in range(50)]
    assert sum(permit is not None for permit in permits) == 3


def test_trap_half_open_herd_asks_for_no_more_probes_than_are_still_needed() -> None:
    breaker = tripped(BreakerConfig(faults=3, cooldown=10.0, probes=5, successes=2))
    first, second, third = (breaker.acquire(10.0) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is None
    breaker.settle(first, Outcome.SUCCESS, 10.1)
    assert breaker.acquire(10.2) is None


@pytest.mark.parametrize("outcome", [Outcome.NEUTRAL, Outcome.CLIENT_ERROR])
def test_trap_cancellation_and_client_errors_neither_open_nor_close(outcome: Outcome) -> None:
    breaker = Circuit(CONFIG)
    for _ in range(20):
        breaker.settle(breaker.acquire(0.0), outcome, 0.0)
    assert breaker.mode is Mode.CLOSED
    breaker = tripped()
    for _ in range(5):
        breaker.settle(breaker.acquire(10.0), outcome, 10.0)
    assert (breaker.mode, breaker.state.proven) == (Mode.HALF_OPEN, 0)
    assert breaker.acquire(10.0) is not None, "a probe without evidence must free its place"


def test_trap_ignored_exception_is_no_success() -> None:
    breaker = Circuit(CONFIG)
    for _ in range(3):
        breaker.settle(breaker.acquire(0.0), Outcome.CLIENT_ERROR, 0.0)
        breaker.settle(breaker.acquire(0.0), Outcome.CLIENT_ERROR, 0.0)
        breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    assert breaker.mode is Mode.OPEN


@pytest.mark.parametrize("outcome", list(Outcome))
def test_trap_stale_result_settles_nothing(outcome: Outcome) -> None:
    breaker = Circuit(CONFIG)
    old = breaker.acquire(0.0)
    for _ in range(3):
        breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    probe = breaker.acquire(10.0)
    before = breaker.state
    breaker.settle(old, outcome, 10.0)
    assert breaker.state == before
    breaker.settle(probe, Outcome.SUCCESS, 10.0)
    once = breaker.state
    breaker.settle(probe, outcome, 10.0)
    assert breaker.state == once, "a probe settles once"


def test_trap_hung_probe_does_not_wedge() -> None:
    breaker = tripped()
    hung = breaker.acquire(10.0)
    assert breaker.acquire(14.9) is None
    assert breaker.acquire(15.0) is None, "no answer within the lease is a fault: open again"
    assert breaker.mode is Mode.OPEN
    assert breaker.acquire(25.0) is not None
    breaker.settle(hung, Outcome.SUCCESS, 25.0)
    assert breaker.state.proven == 0


def test_trap_hung_probe_that_reports_after_its_lease_settles_nothing() -> None:
    breaker = tripped()
    hung = breaker.acquire(10.0)
    breaker.settle(hung, Outcome.SUCCESS, 15.0)
    assert (breaker.mode, breaker.state.since) == (Mode.OPEN, 15.0)


def test_trap_six_simultaneous_failures_still_half_open() -> None:
    breaker = Circuit(CONFIG)
    permits = [breaker.acquire(0.0) for _ in range(6)]
    for permit in permits:
        breaker.settle(permit, Outcome.FAULT, 1.0)
    assert breaker.acquire(11.0) is not None


def test_trap_many_threads_count_every_fault() -> None:
    breaker = Circuit(BreakerConfig(faults=400, share=0.0))

    def fail() -> None:
        for _ in range(50):
            breaker.settle(breaker.acquire(1.0), Outcome.FAULT, 1.0)

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert breaker.mode is Mode.OPEN


def test_trap_serialised_calls() -> None:
    breaker = Breaker(Hands(), CONFIG)
    both_inside = threading.Barrier(2, timeout=60)

    @breaker
    def call() -> None:
        both_inside.wait()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert breaker.circuit.counts["success"] == 2


async def fail_later() -> None:
    await asyncio.sleep(0)
    raise ConnectionError


class Caller:
    async def __call__(self) -> None:
        await fail_later()


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(fail_later, id="async-def"),
        pytest.param(functools.partial(fail_later), id="partial"),
        pytest.param(Caller(), id="async-call"),
        pytest.param(lambda: fail_later(), id="lambda"),  # noqa: PLW0108 - a plain function
    ],
)
def test_trap_async_def_under_sync_breaker(function: Callable[[], Awaitable[None]]) -> None:
    breaker = Breaker(Hands(), CONFIG)
    guarded = breaker(function)

    async def many() -> None:
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await guarded()
        with pytest.raises(BreakerOpenError):
            await guarded()

    asyncio.run(many())
    assert breaker.mode is Mode.OPEN
    assert breaker.circuit.counts["success"] == 0


def test_trap_cancellation() -> None:
    """A cancelled call neither opens the breaker, nor does a cancelled probe close it."""
    clock = Hands()
    breaker = Breaker(clock, BreakerConfig(faults=1, successes=1, cooldown=10.0))

    async def cancelled() -> None:
        async with breaker.call():
            await asyncio.sleep(3600)

    async def cancel() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert mode(breaker) == "closed"
    failed(breaker, 1)
    clock.now = 10.0
    asyncio.run(cancel())
    assert mode(breaker) == "half_open"
    with breaker.call():
        pass
    assert mode(breaker) == "closed"


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_trap_keyboard_interrupt_trips(end: type[BaseException]) -> None:
    breaker = Breaker(Hands(), BreakerConfig(faults=1), exclude=Exception)
    with pytest.raises(end), breaker.call():
        raise end
    assert (breaker.mode, breaker.circuit.counts["neutral"]) == (Mode.CLOSED, 1)


def test_trap_ignored_exception_of_a_probe_closes_nothing_and_wedges_nothing() -> None:
    clock = Hands()
    config = BreakerConfig(faults=1, successes=1, cooldown=10.0)
    breaker = Breaker(clock, config, exclude=ValueError)
    failed(breaker, 1)
    clock.now = 10.0
    for _ in range(5):
        with pytest.raises(ValueError, match="bad row"), breaker.call():
            raise ValueError("bad row")
        assert mode(breaker) == "half_open"
    with breaker.call():
        pass
    assert mode(breaker) == "closed"


class RefusedError(Exception, metaclass=abc.ABCMeta):
    """As libraries write them."""


@RefusedError.register
class StrangerError(Exception):
    """Excluded because it is registered, not because it inherits."""


@pytest.mark.parametrize("error", [RefusedError, StrangerError])
def test_trap_abcmeta_exception_in_exclude(error: type[Exception]) -> None:
    breaker = Breaker(Hands(), CONFIG, exclude=(KeyError, RefusedError))
    for _ in range(20):
        with pytest.raises(error), breaker.call():
            raise error
    assert breaker.mode is Mode.CLOSED
    failed(breaker)
    assert mode(breaker) == "open"


def test_trap_a_class_is_no_predicate() -> None:
    with pytest.raises(TypeError, match="a test goes to exclude_if"):
        Breaker(Hands(), exclude=lambda _: True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a class goes to exclude"):
        Breaker(Hands(), exclude_if=RefusedError)  # type: ignore[arg-type]


def test_trap_calls_still_hanging_never_open_the_slow_call_breaker() -> None:
    circuit = Circuit(BreakerConfig(faults=3, slow=2.0))
    hanging = [circuit.acquire(now) for now in (0.0, 0.1, 0.2)]
    assert circuit.acquire(2.2) is not None, "one is not yet late"
    assert circuit.acquire(2.3) is None
    assert (circuit.mode, circuit.state.cause) == (Mode.OPEN, Cause.SLOW)
    before = circuit.state
    for permit in hanging:
        circuit.settle(permit, Outcome.SUCCESS, 3.0)
    assert circuit.state == before


def test_trap_a_hanging_call_counts_once_when_it_ends() -> None:
    circuit = Circuit(BreakerConfig(faults=3, slow=2.0))
    first, second = circuit.acquire(0.0), circuit.acquire(0.0)
    circuit.settle(circuit.acquire(2.5), Outcome.SUCCESS, 2.5)
    assert len(circuit.state.hanging) == 2
    for permit in (first, first, second, second):
        circuit.settle(permit, Outcome.SUCCESS, 3.0)
    assert not circuit.state.hanging
    assert sum(tally.slow for tally in circuit.state.tallies) == 2
    assert circuit.mode is Mode.CLOSED


def test_trap_a_time_out_around_the_breaker_hides_that_calls_are_slow() -> None:
    """Who cancels a call because it took too long says at least that."""
    circuit = Circuit(BreakerConfig(faults=3, slow=2.0))
    for now in (0.0, 10.0, 20.0):
        circuit.settle(circuit.acquire(now), Outcome.NEUTRAL, now + 2.1)
    assert circuit.mode is Mode.OPEN


AMBIGUOUS = [Upstream.MLFLOW, Upstream.MLSERVER, Upstream.TRITON]


@pytest.mark.parametrize("upstream", AMBIGUOUS)
def test_trap_server_failure_as_400(upstream: Upstream) -> None:
    """Good rows that come back as 400 open the breaker; bad rows of a client never do."""
    blinded, tripped_by_client = Circuit(CONFIG), Circuit(CONFIG)
    for _ in range(3):
        outcome = of_status(upstream, 400, checked=True)
        blinded.settle(blinded.acquire(0.0), outcome, 0.0)
    for _ in range(100):
        outcome = of_status(upstream, 400, checked=False)
        tripped_by_client.settle(tripped_by_client.acquire(0.0), outcome, 0.0)
    assert (blinded.mode, tripped_by_client.mode) == (Mode.OPEN, Mode.CLOSED)


@pytest.mark.parametrize("upstream", [Upstream.KSERVE, Upstream.JSON])
def test_trap_server_failure_as_400_is_not_suspected_of_servers_that_say_500(
    upstream: Upstream,
) -> None:
    assert of_status(upstream, 400, checked=True) is Outcome.CLIENT_ERROR


def test_connections_that_fail_and_time_outs_are_faults() -> None:
    for error in (ConnectionResetError(), TimeoutError(), TimeoutError(), OSError()):
        assert of_error(error) is Outcome.FAULT
