"""Bounded threads."""

import asyncio
import gc
import threading

import pytest

from homeostat.entrypoints.gateway.lane import Lane, settled


def test_place_is_held_until_the_work_ends() -> None:
    lane, gate = Lane(1, 1), threading.Event()
    first, second = lane.submit(gate.wait), lane.submit(lambda: 5)
    assert lane.submit(lambda: 6) is None
    gate.set()
    assert second.result(60) == 5
    assert first.result(60)
    assert lane.submit(lambda: 7).result(60) == 7


def test_cancelled_in_line_never_begins_and_frees_its_place() -> None:
    lane, gate, begun = Lane(1, 1), threading.Event(), []
    first = lane.submit(gate.wait)
    second = lane.submit(lambda: begun.append(1))
    assert second.cancel()
    gate.set()
    assert first.result(60)
    for _ in range(6000):
        third = lane.submit(lambda: 3)
        if third is not None:
            break
        threading.Event().wait(0.01)
    assert third.result(60) == 3
    assert begun == []


def test_without_workers_the_caller_does_it() -> None:
    assert Lane(0, 0).submit(threading.get_ident).result(0) == threading.get_ident()


def test_errors_reach_the_waiter() -> None:
    error = ValueError("boom")

    def fail() -> None:
        raise error

    assert Lane(1, 0).submit(fail).exception(60) is error


def test_threads_end_with_the_lane() -> None:
    lane = Lane(2, 4)
    gate = threading.Event()
    names = [lane.submit(lambda: (gate.wait(60), threading.current_thread())[1]) for _ in range(2)]
    gate.set()
    threads = {future.result(60) for future in names}
    assert len(threads) == 2
    del lane
    gc.collect()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_settled_waits_no_longer_than_asked_and_cancels_nothing() -> None:
    lane, gate = Lane(2, 0), threading.Event()
    slow, quick = lane.submit(gate.wait), lane.submit(lambda: 1)

    async def wait_twice() -> list[bool]:
        await settled([slow, quick], 0.05)
        states = [slow.done(), quick.done()]
        gate.set()
        await settled([slow, quick], 5)
        return [*states, slow.done()]

    assert asyncio.run(wait_twice()) == [False, True, True]


def test_hung_work_may_end_after_its_loop() -> None:
    lane, gate = Lane(1, 0), threading.Event()
    slow = lane.submit(gate.wait)
    asyncio.run(settled([slow], 0.01))
    gate.set()
    assert slow.result(60)


def test_the_line_becomes_shorter_while_work_ends_late() -> None:
    now = [0.0]
    lane, gate = Lane(1, 9, 0.1, lambda: now[0]), threading.Event()
    futures = [lane.submit(gate.wait), *(lane.submit(lambda: 1) for _ in range(9))]
    assert lane.submit(lambda: 1) is None
    now[0] = 1.0
    gate.set()
    assert all(future.result(60) for future in futures)
    assert lane.limit.places == 9  # all of one round: once
    now[0] = 2.0
    for _ in range(200):
        assert lane.submit(lambda: True).result(60)
        now[0] += 0.01
    assert lane.limit.places == 9  # there was no need of more


def test_a_lane_keeps_a_place_for_each_thread() -> None:
    now = [0.0]
    lane = Lane(2, 6, 0.1, lambda: now[0])

    def slow() -> None:
        now[0] += 1.0

    for _ in range(50):
        lane.submit(slow).result(60)
    assert lane.limit.places == 2


def test_threads_that_hang_are_replaced_but_not_without_end() -> None:
    now, gate, begun = [0.0], threading.Event(), threading.Semaphore(0)
    lane = Lane(2, 1, monotonic=lambda: now[0], hung=10.0)
    hung = []
    for _ in range(4):
        hung += [lane.submit(lambda: (begun.release(), gate.wait(60))) for _ in range(2)]
        assert begun.acquire(timeout=60)
        assert begun.acquire(timeout=60)
        waiting = lane.submit(lambda: 5)
        now[0] += 9.9
        assert lane.submit(lambda: 6) is None
        assert waiting.cancel()
        now[0] += 0.2
    assert lane.submit(lambda: 7) is None, "six threads hang, and two are not given up"
    assert (lane.lost, lane.busy) == (6, 3)
    gate.set()
    assert all(future.result(60) for future in hung)
    while lane.lost or lane.busy:
        threading.Event().wait(0.001)
    threads = {lane.submit(threading.get_ident).result(60) for _ in range(20)}
    assert len(threads) <= 2
    assert lane.submit(lambda: 8).result(60) == 8


def test_work_that_is_given_up_is_told_once_and_its_waiter_still_gets_the_result() -> None:
    now, gate, begun, told = [0.0], threading.Event(), threading.Event(), []
    lane = Lane(1, 1, 0.5, lambda: now[0])
    first = lane.submit(lambda: (begun.set(), gate.wait(60), 3)[2], lambda: told.append(1))
    assert begun.wait(60)
    now[0] = 10.1
    lane.renew()
    lane.renew()
    assert (told, lane.busy, lane.lost) == ([1], 0, 1)
    assert lane.submit(lambda: 4).result(60) == 4
    gate.set()
    assert first.result(60) == 3
    assert lane.busy == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_that_cannot_be_started_are_started_later(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, begun, gate = Lane(workers, 4), threading.Event(), threading.Event()
    first = lane.submit(lambda: (begun.set(), gate.wait(60))) if workers == 2 else None
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    if first is None:
        assert [lane.submit(lambda: 1) for _ in range(6)] == [None] * 6
        monkeypatch.setattr(threading.Thread, "start", start)
        lane.renew()
    else:  # there is one that does all
        assert begun.wait(60)
        second = lane.submit(lambda: 2)
        gate.set()
        assert second.result(60) == 2
        assert first.result(60)
    while lane.busy:
        threading.Event().wait(0.001)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert lane.submit(lambda: 3).result(60) == 3


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
