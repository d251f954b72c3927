"""Group commit: what waits together is written together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pyarrow as pa

from homeostat.domain.errors import HomeostatError, StorageError

T = TypeVar("T")


@dataclass(eq=False)
class _Ticket(Generic[T]):
    items: Sequence[T]
    woken: threading.Event = field(default_factory=threading.Event)
    settled: bool = False
    problem: Exception | None = None


@dataclass
class GroupCommit(Generic[T]):
    """Lets one of several waiting threads do the work of all.

    Nobody is woken but those whose work is done, and the one who leads the next group.

    Parameters
    ----------
    commit : callable
        Does the work of a group, in the order of arrival; only one call at a time. What it raises
        is raised in every thread of the group.
    """

    commit: Callable[[list[T]], None]
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _queue: deque[_Ticket[T]] = field(default_factory=deque, init=False)
    _busy: bool = field(default=False, init=False)

    def submit(self, *items: T) -> None:
        """Return once the items' group is done."""
        ticket = _Ticket(items)
        with self._lock:
            self._queue.append(ticket)
            leads, self._busy = not self._busy, True
        if not leads:
            self._wait(ticket)
        if not ticket.settled:
            self._lead()
        if ticket.problem is not None:
            raise ticket.problem

    def _wait(self, ticket: _Ticket[T]) -> None:
        try:
            ticket.woken.wait()
        except BaseException:
            # Its rows may be written all the same; but if its turn has come, others wait for it.
            with self._lock:
                if ticket in self._queue:
                    self._queue.remove(ticket)
                    if ticket.woken.is_set():
                        self._hand_on()
            raise

    def _lead(self) -> None:
        with self._lock:
            group = tuple(self._queue)
            self._queue.clear()
        problem: Exception | None = StorageError("the thread that wrote for this one was stopped")
        try:
            self.commit([item for ticket in group for item in ticket.items])
            problem = None
        except (HomeostatError, OSError, pa.ArrowException) as error:
            problem = error
        finally:
            for ticket in group:
                ticket.settled, ticket.problem = True, problem
                ticket.woken.set()
            with self._lock:
                self._hand_on()

    def _hand_on(self) -> None:
        if self._queue:
            self._queue[0].woken.set()
        else:
            self._busy = False
