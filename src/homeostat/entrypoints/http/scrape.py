"""``GET /metrics``: figures for Prometheus and whatever speaks its formats."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homeostat.domain.clock import Clock
from homeostat.entrypoints.exposition import (
    CLASSIC,
    OPENMETRICS,
    Family,
    render,
    wants_openmetrics,
)
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.problem import endpoint

FRESH = 5.0
"""Seconds for which figures are given again without a look at the records."""
EFFORT = 10.0
"""Times as long as reading took they stay fresh, if that is longer: a tenth of a core at most."""


class Figures(Protocol):
    """What can be scraped."""

    def families(self) -> Sequence[Family]:
        """Return all figures as they are now."""
        ...


@dataclass
class _Kept:
    """Figures that are read once for all who ask at about the same time."""

    figures: Figures
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _read: tuple[float, Sequence[Family]] | None = field(default=None, init=False)

    def families(self) -> Sequence[Family]:
        with self._lock:
            began = self.clock.monotonic()
            if self._read is None or began >= self._read[0]:
                found = self.figures.families()
                spent = self.clock.monotonic() - began
                self._read = (began + max(FRESH, EFFORT * spent), found)
            return self._read[1]


def scrape(figures: Figures, clock: Clock, tokens: Tokens) -> Route:
    """Return the route.

    It needs a token of scope ``read``, or a caller on this machine while there are none.

    Parameters
    ----------
    figures : Figures
        Asked in a worker thread, at most every `FRESH` seconds, and more seldom if that takes long.
    clock : Clock
    tokens : Tokens
    """
    kept, gate = _Kept(figures, clock), Gate(tokens)

    async def metrics(request: Request) -> Response:
        await gate.admit(request, Scope.READ)
        families = await run_in_threadpool(kept.families)
        openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        kind = OPENMETRICS if openmetrics else CLASSIC
        text = render(families, openmetrics=openmetrics)
        return Response(text, headers={"content-type": kind, "vary": "Accept"})

    return Route("/metrics", endpoint(metrics), methods=["GET"])
