"""How long requests wait for the event loop: what tells first that there are too many."""

from __future__ import annotations

import asyncio
import math

TICK = 0.01


class Lag:
    """Measures how late the event loop is, by a timer that should fire a hundred times a second.

    While the loop works through the requests that have come in, the timer is overdue by what the
    next of them has waited already.
    """

    def __init__(self) -> None:
        self._due = math.inf
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to measure the running loop."""
        self._loop = asyncio.get_running_loop()
        self._tick()

    def stop(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._due = None, math.inf

    @property
    def seconds(self) -> float:
        """How late the loop is at this moment; 0 before `start`."""
        return max(self._loop.time() - self._due, 0.0) if self._loop is not None else 0.0

    def _tick(self) -> None:
        assert self._loop is not None  # only `start` begins
        self._due = self._loop.time() + TICK
        self._handle = self._loop.call_at(self._due, self._tick)
