"""How long requests wait for the event loop: what tells first that there are too many."""

from __future__ import annotations

import asyncio
import math


class Lag:
    """Measures how long the event loop has been at work on the requests that came in together.

    A round of the loop begins, as far as this is concerned, with the first request that is noted,
    and lasts until the loop comes to what was put in line meanwhile. A loop without requests is not
    woken.
    """

    def __init__(self) -> None:
        self._began = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to measure the running loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Measure no more."""
        self._loop, self._began = None, math.inf

    @property
    def seconds(self) -> float:
        """How late the loop is at this moment; 0 while it works on no request."""
        loop = self._loop
        return max(loop.time() - self._began, 0.0) if loop is not None else 0.0

    def note(self) -> float:
        """Note, in the loop, that a request is worked on; return the seconds that it has waited."""
        loop = self._loop
        if loop is None:
            return 0.0
        now = loop.time()
        if self._began > now:
            self._began = now
            loop.call_soon(self._end)
        return now - self._began

    def _end(self) -> None:
        self._began = math.inf
