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
from typing import Generic, TypeVar, cast

from homeostat.adapters.models.predictor import Ended
from homeostat.serving.classify import UpstreamError
from homeostat.serving.limit import Limit, LimitBounds

FIRST = 32
HUNG = 20.0  # times `late`: a call that takes longer is given up for lost
SPARE = 3  # threads for each worker that may be lost at once
T = TypeVar("T")


class Lane:
    """Runs work on at most `workers` threads with at most `waiting` more in line.

    A place is held until its work has ended, also when the caller has stopped waiting for it: work
    that hangs must not be joined by ever more of its kind. But what hangs for very long is given up
    for lost: its place is free again, and another thread takes over for the one that it holds.
    There are never more than three lost threads for each worker. Threads are daemons, so that a
    call that never returns cannot keep the process from stopping.

    Parameters
    ----------
    workers : int
        Most threads; with 0, `submit` does the work at once in the caller's thread.
    waiting : int
        Most pieces of work in line; fewer while work ends late.
    late : float
        Seconds from `submit` after which its end is late.
    monotonic : callable
    hung : float, optional
        Seconds that work may take before it is given up for lost; by default 20 times `late`.
    """

    def __init__(
        self,
        workers: int,
        waiting: int,
        late: float = math.inf,
        monotonic: Callable[[], float] = lambda: 0.0,
        hung: float | None = None,
    ) -> None:
        least = max(workers, 1)
        self.limit = Limit(LimitBounds(least + waiting, late, least))
        self._crew = _Crew(workers, HUNG * late if hung is None else hung, monotonic, self.limit)
        weakref.finalize(self, self._crew.jobs.put, None)

    def submit(
        self, work: Callable[[], T], given_up: Callable[[], None] = lambda: None
    ) -> Future[T] | None:
        """Start `work` and return its future; None if the lane is full.

        `given_up` is called if the work is given up for lost; its future may still get a result.
        """
        crew = self._crew
        self.renew()
        if not self.limit.enter():
            return None
        made = _Job(work, given_up, crew.monotonic())
        job = cast("_Job[object]", made)  # whoever does it cares not for what
        if crew.workers == 0:
            crew.do(job)
            return made.future
        crew.jobs.put(job)
        if crew.staff():
            return made.future
        made.future.cancel()
        return None

    def renew(self) -> None:
        """Give work up that has been under way for too long, and have threads for what waits."""
        crew = self._crew
        if len(crew.running) >= crew.workers > 0:
            crew.renew()
        elif crew.threads < crew.workers and not crew.jobs.empty():
            crew.staff()

    @property
    def busy(self) -> int:
        """Places that are held: work under way and in line."""
        return self.limit.under_way

    @property
    def lost(self) -> int:
        """Threads with work that was given up, and has not ended yet."""
        return self._crew.lost


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


class _Job(Generic[T]):
    """A piece of work."""

    def __init__(self, work: Callable[[], T], given_up: Callable[[], None], began: float) -> None:
        self.work, self.given_up, self.began = work, given_up, began
        self.future: Future[T] = Future()


class _Crew:
    """The threads of a lane; they hold this, not the lane, which ends them when it goes."""

    def __init__(
        self, workers: int, hung: float, monotonic: Callable[[], float], limit: Limit
    ) -> None:
        self.workers, self.monotonic = workers, monotonic
        self._hung, self._limit = hung, limit
        self.jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self.running: dict[_Job[object], float] = {}
        self.lost, self.threads = 0, 0
        self._lock = threading.Lock()

    def staff(self) -> bool:
        """See to it that there are threads; False if there is none and none can be started."""
        with self._lock:
            if self.threads >= self.workers:
                return True
            self.threads += 1
        try:
            threading.Thread(target=self._consume, daemon=True).start()
        except RuntimeError:  # the system has no more threads now
            with self._lock:
                self.threads -= 1
                return self.threads > 0
        return True

    def renew(self) -> None:
        now = self.monotonic()
        with self._lock:
            room = SPARE * self.workers - self.lost
            hung = [job for job, began in self.running.items() if now - began > self._hung][:room]
            for job in hung:
                del self.running[job]
            self.lost += len(hung)
            self.threads -= len(hung)
        for job in hung:
            self._limit.leave(job.began, now, good=False)
            job.given_up()
            self.staff()

    def do(self, job: _Job[object]) -> bool:
        """Do a piece of work; False if it was given up meanwhile."""
        with self._lock:
            self.running[job] = self.monotonic()
        future = job.future
        if not future.set_running_or_notify_cancel():
            return self._end(job, good=False)
        try:
            result = job.work()
        except BaseException as error:  # noqa: BLE001 - a model may raise anything
            kept = self._end(job, good=False)
            future.set_exception(error)
        else:
            kept = self._end(job, good=True)
            future.set_result(result)
        return kept

    def _end(self, job: _Job[object], *, good: bool) -> bool:
        with self._lock:
            kept = self.running.pop(job, None) is not None
            if not kept:
                self.lost -= 1
        if kept:
            self._limit.leave(job.began, self.monotonic(), good=good)
        return kept

    def _consume(self) -> None:
        while True:
            job = self.jobs.get()
            if job is None:
                self.jobs.put(None)  # the next thread of this lane stops too
                return
            if not self.do(job):
                return  # another has taken over
            del job


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
