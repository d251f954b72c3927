"""Micro-batches."""

import gc
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.entrypoints.gateway.joining import JoiningLane


class Worker:
    """Doubles numbers, waits at a gate, cannot do 13, and keeps a list of what came together."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.calls: list[list[int]] = []

    def __call__(self, asked: Sequence[int]) -> list[int]:
        gate = self.gate
        self.calls.append(list(asked))
        self.begun.set()
        assert gate.wait(60)
        if 13 in asked:
            raise ValueError("unlucky")
        return [2 * number for number in asked]


def lane(work: Worker, workers: int = 1, waiting: int = 32, most: int = 8) -> JoiningLane[int, int]:
    return JoiningLane(work, workers, waiting, 1.0, lambda: 0.0, most)


def busy(work: Worker, joined: JoiningLane[int, int]) -> None:
    joined.submit(0, 1)
    assert work.begun.wait(60)


def test_what_waits_is_done_together_and_what_comes_first_at_once() -> None:
    work = Worker()
    joined = lane(work)
    busy(work, joined)
    futures = [joined.submit(number, 1) for number in range(1, 11)]
    work.gate.set()
    assert [future.result(60) for future in futures] == list(range(2, 21, 2))
    assert work.calls == [[0], list(range(1, 9)), [9, 10]]


def test_batch_poisoning() -> None:
    """A neighbour that fails, or that was cancelled, spoils nothing but itself."""
    work = Worker()
    joined = lane(work)
    busy(work, joined)
    futures = [joined.submit(number, 1) for number in (1, 13, 2, 3)]
    assert futures[2].cancel()
    work.gate.set()
    assert futures[0].result(60) == 2
    assert futures[3].result(60) == 6
    with pytest.raises(ValueError, match="unlucky"):
        futures[1].result(60)
    assert work.calls == [[0], [1, 13, 3], [1], [13, 3], [13], [3]]
    assert joined.limit.under_way == 0


def test_the_neighbours_of_a_poisoned_piece_are_done_in_a_few_calls() -> None:
    work = Worker()
    joined = lane(work, most=64)
    busy(work, joined)
    asked = [13, *range(100, 131)]
    futures = [joined.submit(number, 1) for number in asked]
    work.gate.set()
    assert [future.result(60) for future in futures[1:]] == [2 * number for number in asked[1:]]
    with pytest.raises(ValueError, match="unlucky"):
        futures[0].result(60)
    assert [len(call) for call in work.calls[1:]] == [32, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1]


def test_what_nobody_waits_for_any_more_is_not_done_again() -> None:
    futures: list[Future[int]] = []

    def work(asked: Sequence[int]) -> list[int]:
        calls.append(list(asked))
        assert gate.wait(60)
        if len(calls) == 2:
            assert not futures[2].cancel(), "its waiter has gone, though it is under way"
        if 13 in asked:
            raise ValueError("unlucky")
        return list(asked)

    gate, calls = threading.Event(), list[list[int]]()
    joined = JoiningLane(work, 1, 32, 1.0, lambda: 0.0, 8)
    first = joined.submit(0, 1)
    while not calls:
        pass
    futures += [joined.submit(number, 1) for number in (1, 2, 13)]
    gate.set()
    assert [future.result(60) for future in (first, *futures[:2])] == [0, 1, 2]
    with pytest.raises(CancelledError):
        futures[2].result(60)
    assert calls == [[0], [1, 2, 13], [1], [2]]
    assert joined.limit.under_way == 0


def test_calls_that_never_end_do_not_hold_their_places_for_ever() -> None:
    work, now = Worker(), [0.0]
    joined = JoiningLane(work, 1, 3, 0.5, lambda: now[0], 8)
    busy(work, joined)
    futures = [joined.submit(number, 1) for number in (1, 2, 3)]
    assert joined.submit(4, 1) is None
    now[0] = 10.1
    work.gate = threading.Event()
    work.gate.set()  # for calls from now on
    last = joined.submit(5, 1)
    assert [future.result(60) for future in (*futures, last)] == [2, 4, 6, 10]
    assert (joined.lost, joined.limit.under_way) == (1, 0)


def test_many_rows_go_alone_and_no_call_has_more() -> None:
    work = Worker()
    joined = lane(work, most=8)
    busy(work, joined)
    futures = [joined.submit(number, rows) for number, rows in ((1, 5), (2, 3), (3, 20), (4, 1))]
    work.gate.set()
    assert [future.result(60) for future in futures] == [2, 4, 6, 8]
    assert work.calls == [[0], [1, 2], [3], [4]]


def test_a_place_is_held_until_the_work_ends() -> None:
    work = Worker()
    joined = lane(work, waiting=2)
    busy(work, joined)
    futures = [joined.submit(1, 1), joined.submit(2, 1)]
    assert joined.submit(3, 1) is None
    work.gate.set()
    assert [future.result(60) for future in futures] == [2, 4]
    assert joined.submit(5, 1).result(60) == 10


def test_a_wrong_number_of_results_is_an_error() -> None:
    joined = JoiningLane(lambda asked: [1], 1, 8, 1.0, lambda: 0.0, 8)
    gate = threading.Event()
    hold = JoiningLane(lambda asked: (gate.wait(60), [])[1], 1, 8, 1.0, lambda: 0.0, 8)
    assert joined.submit(5, 1).result(60) == 1
    first = hold.submit(5, 1)
    gate.set()
    with pytest.raises(ValueError, match="1 pieces of work gave 0 results"):
        first.result(60)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=40),
    st.integers(1, 4),
    st.sets(st.integers(0, 39)),
)
def test_everybody_gets_their_own_answer_once(
    asked: list[tuple[int, int]], workers: int, cancelled: set[int]
) -> None:
    work = Worker()
    joined = lane(work, workers, waiting=64)
    futures = [joined.submit(number, rows) for number, rows in asked]
    gone = {place for place in cancelled if place < len(futures) and futures[place].cancel()}
    work.gate.set()
    for place, ((number, _), future) in enumerate(zip(asked, futures, strict=True)):
        if place in gone:
            assert future.cancelled()
        elif number == 13:
            assert isinstance(future.exception(60), ValueError)
        else:
            assert future.result(60) == 2 * number
    last = joined.submit(1, 1)
    assert last.result(60) == 2
    while joined.limit.under_way:
        threading.Event().wait(0.001)
    del joined
    gc.collect()
