"""Micro-batches: what waits for a slow model is asked together, for one call's price."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from homeostat.entrypoints.gateway.lane import Lane
from homeostat.serving.limit import Limit, LimitBounds

Q = TypeVar("Q")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting(Generic[Q, T]):
    """A piece of work in line."""

    asked: Q
    rows: int
    began: float
    future: Future[T] = field(default_factory=Future)


class JoiningLane(Generic[Q, T]):
    """A lane that does what waits in one go; nothing ever waits for company.

    While a thread is free, work begins at once and alone. What comes in while all are busy waits,
    and the next free thread takes all of it, up to `most` rows. What was cancelled while it waited
    is left out. If the joint work fails, each piece is done by itself: one that cannot be done
    spoils nothing but itself.

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
        self._threads = Lane(threads, threads + waiting)
        self._line: deque[Waiting[Q, T]] = deque()
        self._lock = threading.Lock()

    def submit(self, asked: Q, rows: int) -> Future[T] | None:
        """Start work and return its future; None if the lane is full."""
        if not self.limit.enter():
            return None
        item: Waiting[Q, T] = Waiting(asked, rows, self._monotonic())
        with self._lock:
            self._line.append(item)
        self._threads.submit(self._next)
        return item.future

    def _take(self) -> list[Waiting[Q, T]]:
        taken: list[Waiting[Q, T]] = []
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
                    self._leave(item, good=False)
        return taken

    def _next(self) -> None:
        items = self._take()
        if not items:
            return
        try:
            results = self._together(items)
        except BaseException as error:  # noqa: BLE001 - a model may raise anything
            if len(items) == 1:
                self._fail(items[0], error)
            else:
                for item in items:
                    self._alone(item)
        else:
            for item, result in zip(items, results, strict=True):
                self._leave(item, good=True)
                item.future.set_result(result)

    def _together(self, items: Sequence[Waiting[Q, T]]) -> Sequence[T]:
        results = self._work([item.asked for item in items])
        if len(results) != len(items):
            raise ValueError(f"{len(items)} pieces of work gave {len(results)} results")
        return results

    def _alone(self, item: Waiting[Q, T]) -> None:
        try:
            (result,) = self._together([item])
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(item, error)
        else:
            self._leave(item, good=True)
            item.future.set_result(result)

    def _fail(self, item: Waiting[Q, T], error: BaseException) -> None:
        self._leave(item, good=False)
        item.future.set_exception(error)

    def _leave(self, item: Waiting[Q, T], *, good: bool) -> None:
        self.limit.leave(item.began, self._monotonic(), good=good)
