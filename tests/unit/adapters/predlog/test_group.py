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
