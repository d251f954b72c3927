"""Fifty at once: what is admitted, counted and let go of is exact."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from homeostat.domain.errors import BreakerOpenError
from homeostat.serving import Breaker
from homeostat.serving.breaker import BreakerConfig, Mode

CALLERS = 50


def half_open(probes: int) -> Breaker:
    """Return a breaker that is about to turn half open."""
    now = [0.0]
    config = BreakerConfig(faults=1, cooldown=10.0, probes=probes, successes=probes)
    breaker = Breaker(lambda: now[0], config)
    with pytest.raises(ConnectionError), breaker.call():
        raise ConnectionError
    now[0] = 10.0
    return breaker


def together(work: Callable[[], None]) -> None:
    begin = threading.Barrier(CALLERS, timeout=60)

    def run() -> None:
        begin.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize("probes", [1, 3, 7])
def test_trap_half_open_herd_of_threads(probes: int) -> None:
    breaker = half_open(probes)
    everybody_asked, refused = threading.Semaphore(0), list[str]()

    def work() -> None:
        try:
            with breaker.call():
                for _ in range(CALLERS - probes):
                    assert everybody_asked.acquire(timeout=60)
        except BreakerOpenError as error:
            refused.append(error.name)
            everybody_asked.release(probes)

    together(work)
    assert len(refused) == CALLERS - probes
    assert breaker.circuit.counts["success"] == probes
    assert breaker.mode is Mode.CLOSED


@pytest.mark.parametrize("probes", [1, 3, 7])
def test_trap_half_open_herd_of_tasks(probes: int) -> None:
    breaker = half_open(probes)

    @breaker
    async def work(go_on: asyncio.Event) -> str:
        await go_on.wait()
        return "admitted"

    async def all_of_them() -> list[str | BaseException]:
        go_on = asyncio.Event()
        tasks = [asyncio.create_task(work(go_on)) for _ in range(CALLERS)]
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(all_of_them())
    assert results.count("admitted") == probes
    assert sum(isinstance(r, BreakerOpenError) for r in results) == CALLERS - probes
    assert breaker.mode is Mode.CLOSED


@pytest.mark.parametrize("slow", [1.0, float("inf")])
def test_fifty_threads_lose_and_leak_nothing(slow: float) -> None:
    breaker = Breaker(lambda: 1.0, BreakerConfig(faults=10**6, slow=slow))

    @breaker
    def call(number: int) -> float:
        return 1 / (number % 4)

    def work() -> None:
        for number in range(40):
            with suppress(ZeroDivisionError):
                call(number)

    together(work)
    counts, state = breaker.circuit.counts, breaker.circuit.state
    assert (counts["success"], counts["fault"]) == (CALLERS * 30, CALLERS * 10)
    assert sum(tally.calls for tally in state.tallies) == CALLERS * 40
    assert (state.running, state.hanging) == ((), ())
