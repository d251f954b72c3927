import signal
import threading

import pytest

from homeostat.adapters.predlog.group import GroupCommit
from homeostat.domain.errors import StorageError


def test_what_waits_together_is_committed_together_in_order() -> None:
    entered, release = threading.Event(), threading.Event()
    groups: list[list[int]] = []

    def commit(items: list[int]) -> None:
        groups.append(items)
        entered.set()
        release.wait(10)

    group = GroupCommit(commit)
    threads = [threading.Thread(target=group.submit, args=(0,))]
    threads[0].start()
    entered.wait(10)
    for number in (1, 2, 3):
        threads.append(threading.Thread(target=group.submit, args=(number,)))
        threads[-1].start()
        while len(group._queue) < number:
            pass
    release.set()
    for thread in threads:
        thread.join(10)
    assert groups == [[0], [1, 2, 3]]


def test_a_failure_reaches_all_who_wait_and_the_next_goes_on() -> None:
    fails = True

    def commit(items: list[int]) -> None:
        if fails:
            raise StorageError(f"disk full: {items}")

    group = GroupCommit(commit)
    with pytest.raises(StorageError, match=r"disk full: \[1\]"):
        group.submit(1)
    fails = False
    group.submit(2)


def test_an_interrupted_leader_leaves_the_turn_to_others() -> None:
    def commit(items: list[int]) -> None:
        if items == [1]:
            raise KeyboardInterrupt

    group = GroupCommit(commit)
    with pytest.raises(KeyboardInterrupt):
        group.submit(1)
    group.submit(2)


def test_several_items_of_one_thread_stay_together() -> None:
    groups: list[list[int]] = []
    group = GroupCommit(groups.append)
    group.submit(1, 2)
    assert groups == [[1, 2]]


class Stopped(BaseException):
    """Ends what the main thread waits for."""


@pytest.mark.parametrize("led", [True, False], ids=["whose turn had come", "who was waiting"])
def test_who_is_stopped_leaves_the_turn_to_others(led: bool) -> None:
    entered, release = threading.Event(), threading.Event()
    groups: list[list[int]] = []

    def commit(items: list[int]) -> None:
        groups.append(items)
        entered.set()
        release.wait(10)

    group = GroupCommit(commit)

    def stop(_number: int, _frame: object) -> None:
        ticket = group._queue[0]
        if led:
            release.set()
            ticket.woken.wait(10)
        raise Stopped

    def others() -> None:
        while not group._queue:
            pass
        threads[2].start()
        while len(group._queue) < 2:
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    threads = [
        threading.Thread(target=group.submit, args=(0,)),
        threading.Thread(target=others),
        threading.Thread(target=group.submit, args=(2,)),
    ]
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        threads[0].start()
        entered.wait(10)
        threads[1].start()
        with pytest.raises(Stopped):
            group.submit(1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    release.set()
    for thread in threads:
        thread.join(10)
    assert groups == [[0], [2]]
