"""A bounded pool of threads for one version: a hung model holds its own lane up, nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from homeostat.adapters.models.predictor import Ended
from homeostat.serving.classify import UpstreamError
from homeostat.serving.limit import Limit, LimitBounds

FIRST = 32
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
        Most pieces of work in line; fewer while work ends late.
    late : float
        Seconds from `submit` after which its end is late.
    monotonic : callable
    """

    def __init__(
        self,
        workers: int,
        waiting: int,
        late: float = math.inf,
        monotonic: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._workers, self._monotonic = workers, monotonic
        least = max(workers, 1)
        self.limit = Limit(LimitBounds(least + waiting, late, least))
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = 0
        self._lock = threading.Lock()
        weakref.finalize(self, self._jobs.put, None)

    def submit(self, work: Callable[[], T]) -> Future[T] | None:
        """Start `work` and return its future; None if the lane is full."""
        if not self.limit.enter():
            return None
        future: Future[T] = Future()
        began = self._monotonic()

        def release(good: bool) -> None:  # noqa: FBT001
            self.limit.leave(began, self._monotonic(), good=good)

        def job() -> None:
            _run(future, work, release)

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
        return self.limit.under_way


class AwaitedLane:
    """Places for work that is done elsewhere: no thread waits for it.

    A place is held until nothing of the work is left, also when its future was cancelled before.

    Parameters
    ----------
    most : int
        Most pieces of work; fewer at first, and while work ends late.
    late : float
        Seconds after which its end is late.
    monotonic : callable
    """

    def __init__(self, most: int, late: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.limit = Limit(LimitBounds(most, late, start=min(most, FIRST)))

    def begin(self, start: Callable[[Ended], Future[T]]) -> Future[T] | None:
        """Call `start` with what is to be told the end of its work; None if there is no place."""
        if not self.limit.enter():
            return None
        began = self._monotonic()

        def ended(error: BaseException | None) -> None:
            dropped = isinstance(error, UpstreamError) and error.overloaded
            now = self._monotonic()
            self.limit.leave(began, now, good=error is None, dropped=dropped)

        return start(ended)


def _consume(jobs: SimpleQueue[Job | None]) -> None:
    while True:
        job = jobs.get()
        if job is None:
            jobs.put(None)  # the next thread of this lane stops too
            return
        job()
        del job


def _run(future: Future[T], work: Callable[[], T], release: Callable[[bool], None]) -> None:
    if not future.set_running_or_notify_cancel():
        release(False)
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - a model may raise anything; the waiter gets it
        release(False)
        future.set_exception(error)
    else:
        release(True)
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
