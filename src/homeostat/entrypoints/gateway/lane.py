"""A bounded pool of threads for one version: a hung model holds its own lane up, nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
Job = Callable[[], None]


class Lane:
    """Runs work on at most `workers` threads with at most `waiting` more in line.

    A place is held until its work has ended, also when the caller has stopped waiting for it: work
    that hangs must not be joined by ever more of its kind. Threads are daemons, so that a call that
    never returns cannot keep the process from stopping.

    Parameters
    ----------
    workers : int
        Most threads; with 0, `submit` does the work at once in the caller's thread.
    waiting : int
        Most pieces of work in line.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._workers = workers
        self._size = max(workers, 1) + waiting
        self._busy = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = 0
        self._lock = threading.Lock()
        weakref.finalize(self, self._jobs.put, None)

    def submit(self, work: Callable[[], T]) -> Future[T] | None:
        """Start `work` and return its future; None if the lane is full."""
        with self._lock:
            if self._busy >= self._size:
                return None
            self._busy += 1
        future: Future[T] = Future()

        def job() -> None:
            _run(future, work, self._release)

        if self._workers == 0:
            job()
            return future
        self._jobs.put(job)
        with self._lock:
            if self._threads < self._workers:
                self._threads += 1
                threading.Thread(target=_consume, args=(self._jobs,), daemon=True).start()
        return future

    @property
    def busy(self) -> int:
        """Places that are held: work under way and in line."""
        return self._busy

    def _release(self) -> None:
        with self._lock:
            self._busy -= 1


def _consume(jobs: SimpleQueue[Job | None]) -> None:
    while True:
        job = jobs.get()
        if job is None:
            jobs.put(None)  # the next thread of this lane stops too
            return
        job()
        del job


def _run(future: Future[T], work: Callable[[], T], release: Callable[[], None]) -> None:
    if not future.set_running_or_notify_cancel():
        release()
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - a model may raise anything; the waiter gets it
        release()
        future.set_exception(error)
    else:
        release()
        future.set_result(result)


async def settled(futures: Sequence[Future[T]], seconds: float) -> None:
    """Wait until all futures are done, at most so long; none of them is cancelled."""
    loop = asyncio.get_running_loop()
    everything = loop.create_future()
    left = len(futures)

    def one_done() -> None:
        nonlocal left
        left -= 1
        if left == 0 and not everything.done():
            everything.set_result(None)

    def from_thread(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be gone when hung work ends at last
            loop.call_soon_threadsafe(one_done)

    for future in futures:
        future.add_done_callback(from_thread)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(everything, seconds)
