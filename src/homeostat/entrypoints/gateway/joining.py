"""Micro-batches: what waits for a slow model is asked together, for one call's price."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from homeostat.entrypoints.gateway.lane import HUNG, Lane
from homeostat.serving.limit import Limit, LimitBounds

Q = TypeVar("Q")
T = TypeVar("T")


class Awaited(Future[T]):
    """A future that knows whether its waiter has gone, also once the work is under way."""

    given_up = False

    def cancel(self) -> bool:
        """Wait no more."""
        self.given_up = True
        return super().cancel()


@dataclass(slots=True, eq=False)
class Waiting(Generic[Q, T]):
    """A piece of work in line."""

    asked: Q
    rows: int
    began: float
    future: Awaited[T] = field(default_factory=Awaited)
    left: bool = False


class JoiningLane(Generic[Q, T]):
    """A lane that does what waits in one go; nothing ever waits for company.

    While a thread is free, work begins at once and alone. What comes in while all are busy waits,
    and the next free thread takes all of it, up to `most` rows. What was cancelled while it waited
    is left out. If the joint work fails, its halves are done, and theirs, but for what nobody waits
    for any more: one piece that cannot be done spoils nothing but itself, and costs the others
    little time.

    Parameters
    ----------
    work : callable
        Does several pieces at once; one result a piece, in order.
    workers, waiting, late, monotonic
        As of `Lane`.
    most : int
        Most rows that are joined; a piece of more is done alone.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Sequence[T]],
        workers: int,
        waiting: int,
        late: float,
        monotonic: Callable[[], float],
        most: int,
    ) -> None:
        self._work, self._monotonic, self._most = work, monotonic, most
        threads = max(workers, 1)
        self.limit = Limit(LimitBounds(threads + waiting, late, threads))
        # Of the jobs of `_next` some find that others have done all: they never fill the lane up
        # while work waits, for then there are jobs in line that have not looked yet.
        self._threads = Lane(threads, threads + waiting, monotonic=monotonic, hung=HUNG * late)
        self._line: deque[Waiting[Q, T]] = deque()
        self._lock = threading.Lock()

    def submit(self, asked: Q, rows: int) -> Future[T] | None:
        """Start work and return its future; None if the lane is full."""
        self._threads.renew()
        if not self.limit.enter():
            return None
        item: Waiting[Q, T] = Waiting(asked, rows, self._monotonic())
        with self._lock:
            self._line.append(item)
        items: list[Waiting[Q, T]] = []
        self._threads.submit(partial(self._next, items), partial(self._lose, items))
        return item.future

    @property
    def lost(self) -> int:
        """As of `Lane`."""
        return self._threads.lost

    def _take(self) -> list[Waiting[Q, T]]:
        taken: list[Waiting[Q, T]] = []
        gone: list[Waiting[Q, T]] = []
        rows = 0
        with self._lock:
            while self._line:
                item = self._line[0]
                if taken and rows + item.rows > self._most:
                    break
                self._line.popleft()
                if item.future.set_running_or_notify_cancel():
                    taken.append(item)
                    rows += item.rows
                else:
                    gone.append(item)
        for item in gone:
            self._leave(item, good=False)
        return taken

    def _next(self, items: list[Waiting[Q, T]]) -> None:
        items += self._take()
        parts = deque([items] if items else [])
        while parts:
            part = [item for item in parts.popleft() if not self._gone(item)]
            if not part:
                continue
            try:
                results = self._together(part)
            except BaseException as error:  # noqa: BLE001 - a model may raise anything
                if len(part) == 1:
                    self._fail(part[0], error)
                else:
                    half = len(part) // 2
                    parts += [part[:half], part[half:]]
            else:
                for item, result in zip(part, results, strict=True):
                    self._leave(item, good=True)
                    item.future.set_result(result)

    def _together(self, items: Sequence[Waiting[Q, T]]) -> Sequence[T]:
        results = self._work([item.asked for item in items])
        if len(results) != len(items):
            raise ValueError(f"{len(items)} pieces of work gave {len(results)} results")
        return results

    def _gone(self, item: Waiting[Q, T]) -> bool:
        if item.future.given_up:
            self._fail(item, CancelledError())
        return item.future.given_up

    def _lose(self, items: list[Waiting[Q, T]]) -> None:
        for item in items:
            self._leave(item, good=False)

    def _fail(self, item: Waiting[Q, T], error: BaseException) -> None:
        self._leave(item, good=False)
        item.future.set_exception(error)

    def _leave(self, item: Waiting[Q, T], *, good: bool) -> None:
        with self._lock:
            left, item.left = item.left, True
        if not left:
            self.limit.leave(item.began, self._monotonic(), good=good)
