"""CloudEvents of KServe and MLServer: a request and a response that belong together by their id."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec
from homeostat.entrypoints.http.problem import ProblemError
from homeostat.entrypoints.payloads import Body, Row, join, parse_body

CHALLENGER = "canary"
MOST_BYTES = 64 * 2**20
LONGEST = 300.0
SENT = "send binary-mode CloudEvents with ce-id, ce-type and, of the request, ce-time"

Side: TypeAlias = str


@dataclass(frozen=True, slots=True)
class Event:
    """One half of a call. ``side`` is ``request`` or ``response``."""

    key: str
    side: Side
    time: str
    endpoint: str
    body: bytes


def read_event(headers: Mapping[str, str], body: bytes) -> Event:
    """Return the event in a request in binary mode.

    Raises
    ------
    ProblemError
        If a header is missing, or it is neither a request nor a response.
    """
    key = headers.get("ce-id", "")
    kind = headers.get("ce-type", "")
    side = kind.rpartition(".")[2]
    if not key or side not in {"request", "response"}:
        said = "there is no ce-id" if not key else f"ce-type {kind!r} is no inference event"
        raise ProblemError(422, said, SENT, "ce-id" if not key else "ce-type")
    return Event(key, side, headers.get("ce-time", ""), headers.get("ce-endpoint", ""), body)


def _body(half: Event) -> Body:
    try:
        return parse_body(half.body)
    except DataError as error:
        raise DataError(f"the {half.side} {error}") from None


@dataclass
class Pairs:
    """Halves of calls that wait for their other half.

    Their bytes and their age are bounded: a response that never comes, as of a call that failed,
    costs nothing for ever. What waits ends with the process; the server has answered by then.

    Parameters
    ----------
    clock : Clock
    most_bytes : int
        Beyond it the oldest halves are given up.
    """

    clock: Clock
    most_bytes: int = MOST_BYTES
    given_up: int = 0
    _held: int = field(default=0, init=False)
    _waiting: OrderedDict[tuple[str, str], tuple[float, Event]] = field(
        default_factory=OrderedDict, init=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def rows(self, spec: ModelSpec, event: Event, now: str) -> list[Row] | None:
        """Return the records of a call once both halves are there.

        Parameters
        ----------
        spec : ModelSpec
        event : Event
        now : str
            Time of a call that names none, ISO 8601.

        Raises
        ------
        DataError
            If they cannot be read, or do not belong together.
        """
        other = self._meet(spec.name, event)
        if other is None:
            return None
        request, response = (event, other) if event.side == "request" else (other, event)
        asked, answered = _body(request), _body(response)
        rows = join(spec, asked, answered, event.key, request.time or response.time or now)
        role = "challenger" if CHALLENGER in {request.endpoint, response.endpoint} else "champion"
        return [row | {"role": role} for row in rows]

    def _meet(self, model: str, event: Event) -> Event | None:
        place, moment = (model, event.key), self.clock.monotonic()
        with self._lock:
            found = self._waiting.pop(place, None)
            if found is not None:
                self._held -= len(found[1].body)
                if found[1].side != event.side:
                    return found[1]
            self._waiting[place] = (moment, event)
            self._held += len(event.body)
            while self._waiting:
                since, oldest = next(iter(self._waiting.values()))
                if self._held <= self.most_bytes and moment - since <= LONGEST:
                    break
                self._waiting.popitem(last=False)
                self._held -= len(oldest.body)
                self.given_up += 1
        return None
