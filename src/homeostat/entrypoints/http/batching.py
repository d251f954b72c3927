"""Requests that come at about one time are read and stored together, in few threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from asyncio import AbstractEventLoop, Future
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 2
"""While one waits for the disk the other reads bodies; more would only wait for each other."""
BATCH_BYTES = 2 * 2**20
"""Bytes of bodies from which a batch takes no more: small requests do not wait for large ones."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[T, R]):
    item: T
    size: int
    loop: AbstractEventLoop
    answer: Future[R]


@dataclass
class Batches(Generic[T, R]):
    """Hands what waits to a few worker threads, batch by batch.

    Parameters
    ----------
    work : callable
        Returns the answer to each item of a batch, an exception where there is none.
    workers : int
    batch_bytes : int
    """

    work: Callable[[Sequence[T]], Sequence[R | Exception]]
    workers: int = WORKERS
    batch_bytes: int = BATCH_BYTES
    _queue: deque[_Waiting[T, R]] = field(default_factory=deque, init=False)
    _running: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.workers, "homeostat-intake")

    async def answer(self, item: T, size: int) -> R:
        """Return the answer to an item of so many bytes, or raise what it is refused with."""
        loop = asyncio.get_running_loop()
        waiting: _Waiting[T, R] = _Waiting(item, size, loop, loop.create_future())
        with self._lock:
            self._queue.append(waiting)
            idle = self._running < self.workers
            self._running += idle
        if idle:
            self._threads.submit(self._drain)
        return await waiting.answer

    def _drain(self) -> None:
        while batch := self._next():
            try:
                answers = self.work([waiting.item for waiting in batch])
            except Exception as error:  # noqa: BLE001 - each caller is to learn of it
                answers = [error] * len(batch)
            by_loop = defaultdict[AbstractEventLoop, list[tuple[Future[R], R | Exception]]](list)
            for waiting, found in zip(batch, answers, strict=True):
                by_loop[waiting.loop].append((waiting.answer, found))
            for loop, settled in by_loop.items():
                with contextlib.suppress(RuntimeError):  # it has ended, and so has who asked
                    loop.call_soon_threadsafe(_settle, settled)

    def _next(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        size = 0
        with self._lock:
            while self._queue and (not batch or size + self._queue[0].size <= self.batch_bytes):
                batch.append(self._queue.popleft())
                size += batch[-1].size
            self._running -= not batch
        return batch


def _settle(settled: Sequence[tuple[Future[R], R | Exception]]) -> None:
    for future, found in settled:
        if future.cancelled():
            continue
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)
