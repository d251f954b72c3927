"""Concurrency that finds its own limit, on a simulated server."""

import heapq
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.serving.limit import Limit, LimitBounds, LimitState, ended


def simulate(
    limit: Limit,
    capacity: int,
    work: float,
    rate: float,
    seconds: float,
    start: float = 0.0,
) -> dict[str, float]:
    """Offer `rate` calls a second to a server that does `capacity` at once, the rest in line.

    Late is what takes longer than the deadline, twice what the limit calls late.
    """
    free = [0.0] * capacity
    ends: list[tuple[float, float]] = []
    late = done = shed = 0
    lowest = limit.places
    for step in range(int(rate * seconds)):
        now = start + step / rate
        while ends and ends[0][0] <= now:
            end, began = heapq.heappop(ends)
            limit.leave(began, end, good=True)
            done += 1
            late += end - began > 2 * limit.config.late
            lowest = min(lowest, limit.places)
        if not limit.enter():
            shed += 1
            continue
        end = max(heapq.heappop(free), now) + work
        heapq.heappush(free, end)
        heapq.heappush(ends, (end, now))
    for end, began in ends:
        limit.leave(began, end, good=True)
    return {"late": late / done, "done": done / seconds, "shed": shed, "lowest": lowest}


def test_three_times_too_much_is_shed_and_the_rest_is_in_time() -> None:
    limit = Limit(LimitBounds(most=256, late=0.1, start=32))
    seen = simulate(limit, capacity=4, work=0.01, rate=1200.0, seconds=20)
    assert seen["done"] > 0.95 * 400
    assert seen["late"] == 0
    assert seen["shed"] > 0


@pytest.mark.parametrize("work", [0.06, 0.11, 0.16])
def test_work_that_takes_long_by_itself_is_not_starved(work: float) -> None:
    limit = Limit(LimitBounds(most=256, late=0.1, start=16))
    simulate(limit, capacity=10**3, work=work, rate=300.0, seconds=20)
    seen = simulate(limit, capacity=10**3, work=work, rate=300.0, seconds=20, start=100.0)
    assert (seen["late"], seen["shed"]) == (0, 0)


def test_work_that_takes_long_is_still_shed_before_it_is_late() -> None:
    limit = Limit(LimitBounds(most=256, late=0.1, start=16))
    simulate(limit, capacity=8, work=0.11, rate=300.0, seconds=20)
    seen = simulate(limit, capacity=8, work=0.11, rate=300.0, seconds=20, start=100.0)
    assert seen["done"] > 0.95 * 8 / 0.11
    assert seen["late"] < 0.02


def test_adaptive_limit_dips() -> None:
    """What is measured is measured at the limit: it never falls below what is under way in time."""
    limit = Limit(LimitBounds(most=256, late=0.1, start=32))
    seen = simulate(limit, capacity=4, work=0.01, rate=1200.0, seconds=20)
    assert seen["lowest"] >= 30
    quiet = Limit(LimitBounds(most=256, late=0.1, start=32))
    seen = simulate(quiet, capacity=4, work=0.01, rate=200.0, seconds=20)
    assert (seen["shed"], seen["lowest"], seen["late"]) == (0, 32, 0)


def test_a_server_that_becomes_faster_gets_more() -> None:
    limit = Limit(LimitBounds(most=256, late=0.1, start=8))
    simulate(limit, capacity=2, work=0.1, rate=500.0, seconds=20)
    few = limit.places
    simulate(limit, capacity=64, work=0.01, rate=5000.0, seconds=20)
    assert few <= 4
    assert limit.places > 40


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans()), max_size=60
    ),
    st.integers(1, 5),
    st.integers(0, 20),
)
def test_the_limit_stays_within_its_bounds(
    calls: list[tuple[float, float, bool, bool]], least: int, more: int
) -> None:
    bounds, now = LimitBounds(least + more, 0.1, least), 0.0
    state = LimitState(float(bounds.most))
    for pause, took, good, dropped in calls:
        now += pause
        began = now - took
        after = ended(bounds, state, 5, began, now, good=good, dropped=dropped)
        assert least <= after.limit <= bounds.most
        bad = dropped or now - began > 0.1
        assert after.limit <= state.limit if bad else after.limit >= state.limit
        state = after


def test_a_burst_of_late_calls_of_one_round_counts_once() -> None:
    bounds = LimitBounds(most=100, late=0.1)
    state = LimitState(50.0)
    for number in range(50):
        state = ended(bounds, state, 50 - number, 0.0, 1.0 + number / 1000, good=True)
    assert state.limit == 45.0
    assert ended(bounds, state, 40, 1.1, 2.0, good=True).limit == pytest.approx(40.5)


def test_what_was_given_up_early_raises_nothing() -> None:
    state = LimitState(5.0)
    assert ended(LimitBounds(10, 0.1), state, 5, 0.0, 0.05, good=False) is state
    assert ended(LimitBounds(10, 0.1), state, 2, 0.0, 0.05, good=True) is state  # and no need
    assert ended(LimitBounds(10, 0.1), state, 5, 0.0, 0.0, good=False, dropped=True).limit == 4.5


def test_places_under_threads() -> None:
    limit, barrier, got = Limit(LimitBounds(most=7, late=1.0)), threading.Barrier(20), []

    def enter() -> None:
        barrier.wait(60)
        got.append(limit.enter())

    threads = [threading.Thread(target=enter) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(got) == limit.under_way == 7
    for _ in range(7):
        limit.leave(0.0, 0.1, good=True)
    assert limit.under_way == 0
