"""Group commit: what waits together is written together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pyarrow as pa

from homeostat.domain.errors import HomeostatError, StorageError

T = TypeVar("T")


@dataclass(eq=False)
class _Ticket(Generic[T]):
    item: T
    settled: bool = False
    problem: Exception | None = None


@dataclass
class GroupCommit(Generic[T]):
    """Lets one of several waiting threads do the work of all.

    Parameters
    ----------
    commit : callable
        Does the work of a group, in the order of arrival; only one call at a time. What it raises
        is raised in every thread of the group.
    """

    commit: Callable[[list[T]], None]
    _turn: threading.Condition = field(default_factory=threading.Condition, init=False)
    _queue: list[_Ticket[T]] = field(default_factory=list, init=False)
    _busy: bool = field(default=False, init=False)

    def submit(self, item: T) -> None:
        """Return once the item's group is done."""
        ticket = _Ticket(item)
        with self._turn:
            self._queue.append(ticket)
            while self._busy and not ticket.settled:
                self._turn.wait()
            if not ticket.settled:
                self._busy = True
                group, self._queue = self._queue, []
        if not ticket.settled:
            self._lead(group)
        if ticket.problem is not None:
            raise ticket.problem

    def _lead(self, group: list[_Ticket[T]]) -> None:
        problem: Exception | None = StorageError("the thread that wrote for this one was stopped")
        try:
            self.commit([ticket.item for ticket in group])
            problem = None
        except (HomeostatError, OSError, pa.ArrowException) as error:
            problem = error
        finally:
            with self._turn:
                for ticket in group:
                    ticket.settled, ticket.problem = True, problem
                self._busy = False
                self._turn.notify_all()
