"""What a breaker costs a successful call, beside other breakers: CPU microseconds and ratios.

    pip install interlock-cb pybreaker aiobreaker purgatory hyx    # needs nothing of ours
    PYTHONPATH=src python benchmarks/breaker.py [--calls 20000] [--rounds 9]

All take turns, a round each, in CPU time of the thread; it prints the best and the median round,
less the same loop around the bare function, and the ratio of the medians to interlock's. Then four
threads at once (wall time of all calls), ours and interlock; then what refusals, faults and a
thousand hanging calls cost us. Peers that are not installed are left out.
"""

# ruff: noqa: TID251, PLC0415 - real time; peers are optional
from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable

from homeostat.serving.breaker import BreakerConfig, Outcome
from homeostat.serving.circuit import Circuit
from homeostat.serving.guard import Breaker

Loop = Callable[[int], float]


def work() -> int:
    return 1


async def work_async() -> int:
    return 1


def loop(function: Callable[[], object]) -> Loop:
    def run(calls: int) -> float:
        begun = time.thread_time()
        for _ in range(calls):
            function()
        return time.thread_time() - begun

    return run


def loop_async(function: Callable[[], Awaitable[object]]) -> Loop:
    async def run(calls: int) -> float:
        begun = time.thread_time()
        for _ in range(calls):
            await function()
        return time.thread_time() - begun

    return lambda calls: asyncio.run(run(calls))


def bare(config: BreakerConfig) -> Callable[[], object]:
    """Acquire and settle, the clock included, as the gateway does."""
    circuit, now, success = Circuit(config), time.monotonic, Outcome.SUCCESS

    def call() -> int:
        permit = circuit.acquire(now())
        result = work()
        circuit.settle(permit, success, now())
        return result

    return call


def block(breaker: Breaker) -> Callable[[], object]:
    def call() -> int:
        with breaker.call():
            return work()

    return call


def ours() -> dict[str, Loop]:
    plain, slow = BreakerConfig(), BreakerConfig(slow=1.0)
    return {
        "ours: acquire + settle": loop(bare(plain)),
        "ours: acquire + settle, slow calls": loop(bare(slow)),
        "ours: acquire + settle, last 100, runs": loop(bare(BreakerConfig(last=100, run=5))),
        "ours: decorator": loop(Breaker(time.monotonic, plain)(work)),
        "ours: decorator, slow calls": loop(Breaker(time.monotonic, slow)(work)),
        "ours: with block": loop(block(Breaker(time.monotonic, plain))),
        "ours: async decorator": loop_async(Breaker(time.monotonic, plain)(work_async)),
    }


def peers() -> dict[str, Loop]:
    found: dict[str, Loop] = {}
    try:
        import interlock

        found["interlock: decorator"] = loop(interlock.CircuitBreaker(name="a")(work))
        found["interlock: async decorator"] = loop_async(
            interlock.CircuitBreaker(name="b")(work_async)
        )
    except ImportError:
        print("interlock is not installed")
    try:
        import pybreaker

        found["pybreaker: decorator"] = loop(pybreaker.CircuitBreaker()(work))
    except ImportError:
        print("pybreaker is not installed")
    try:
        import aiobreaker

        found["aiobreaker: decorator"] = loop(aiobreaker.CircuitBreaker()(work))
    except ImportError:
        print("aiobreaker is not installed")
    try:
        from purgatory import SyncCircuitBreakerFactory

        found["purgatory: decorator"] = loop(SyncCircuitBreakerFactory()("a")(work))
    except ImportError:
        print("purgatory is not installed")
    try:
        from hyx.circuitbreaker import consecutive_breaker

        guard = consecutive_breaker(
            exceptions=Exception, failure_threshold=5, recovery_time_secs=1, recovery_threshold=3
        )
        found["hyx: async decorator"] = loop_async(guard(work_async))
    except ImportError:
        print("hyx is not installed")
    return found


def threaded(function: Callable[[], object], calls: int, threads: int = 4) -> float:
    begin = threading.Barrier(threads + 1)

    def run() -> None:
        begin.wait()
        for _ in range(calls):
            function()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    begin.wait()
    begun = time.perf_counter()
    for thread in running:
        thread.join()
    return (time.perf_counter() - begun) / calls / threads * 1e6


def rare(calls: int) -> dict[str, float]:
    """Return microseconds of what is not a quick success."""
    shut = Circuit(BreakerConfig(faults=1, cooldown=3600.0))
    shut.settle(shut.acquire(0.0), Outcome.FAULT, 0.0)
    careless = Circuit(BreakerConfig(faults=10**9))
    crowded = Circuit(BreakerConfig(faults=10**9, slow=1.0))
    for _ in range(1000):
        crowded.acquire(0.0)
    crowded.admits(5.0)
    crowded.settle(crowded.acquire(5.0), Outcome.SUCCESS, 5.0)

    def fault() -> None:
        careless.settle(careless.acquire(1.0), Outcome.FAULT, 1.0)

    def beside_hanging() -> None:
        crowded.settle(crowded.acquire(5.0), Outcome.SUCCESS, 5.0)

    cases = {
        "refused": lambda: shut.acquire(1.0),
        "a fault": fault,
        "a success beside 1000 that hang": beside_hanging,
    }
    return {name: loop(case)(calls) / calls * 1e6 for name, case in cases.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    loops = {"sync": loop(work), "async": loop_async(work_async)} | ours() | peers()
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(given.rounds):
        for name, run in loops.items():
            times[name].append(run(given.calls) / given.calls * 1e6)
    print(f"{'':42}{'best':>8}{'median':>8}{'/ interlock':>13}")
    base = {kind: statistics.median(times[kind]) for kind in ("sync", "async")}
    floor = {kind: min(times[kind]) for kind in ("sync", "async")}
    kinds = {name: "async" if "async" in name else "sync" for name in loops}
    cost = {name: statistics.median(times[name]) - base[kinds[name]] for name in loops}
    for name, taken in times.items():
        if name not in base:
            word = "async decorator" if kinds[name] == "async" else "decorator"
            other = cost.get(f"interlock: {word}")
            ratio = f"{cost[name] / other:13.2f}" if other else ""
            print(f"{name:42}{min(taken) - floor[kinds[name]]:8.2f}{cost[name]:8.2f}{ratio}")
    print("four threads, microseconds of wall time a call:")
    calls = given.calls
    print(f"  ours, decorator {threaded(Breaker(time.monotonic)(work), calls):.2f}")
    try:
        import interlock
    except ImportError:
        pass
    else:
        print(f"  interlock {threaded(interlock.CircuitBreaker(name='c')(work), calls):.2f}")
    for name, taken_each in rare(given.calls).items():
        print(f"{name}: {taken_each:.2f}")


if __name__ == "__main__":
    main()
