"""Figures to whatever takes Prometheus' remote write, protocol 1.0.

References
----------
https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import pyarrow as pa

from homeostat.adapters.notifiers.http import Poster
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DeliveryError

Labels: TypeAlias = "tuple[tuple[str, str], ...]"

AGAIN = frozenset({429})
"""The only refusal below 500 that the protocol lets a sender repeat."""
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
TOGETHER = 2000
"""Samples in a request."""
MOST_BYTES = 32 * 2**20
"""Requests, as they are sent, that wait at most; the oldest go first."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_PATIENCE = 3600.0
"""Seconds for which ``Retry-After`` is obeyed at most."""
MILLISECOND = timedelta(milliseconds=1)
STALE = bytes.fromhex("020000000000f07f")
"""The value, little-endian, that says that a series has ended."""


def write_request(series: Sequence[tuple[Labels, float | None]], milliseconds: int) -> bytes:
    """Return the protobuf message ``prometheus.WriteRequest`` of one sample a series.

    Parameters
    ----------
    series : sequence of (labels, number)
        Labels with ``__name__``, sorted by name and none of them empty. None for a number says that
        the series has ended.
    milliseconds : int
        When, since 1970; not before.

    Examples
    --------
    >>> write_request([((("__name__", "up"),), 1.0)], 5).hex()
    '0a1d0a0e0a085f5f6e616d655f5f12027570120b09000000000000f03f1005'
    """
    return _message(((labelled(labels), number) for labels, number in series), milliseconds)


def _message(series: Iterable[tuple[bytes, float | None]], milliseconds: int) -> bytes:
    stamp = b"\x10" + _varint(milliseconds)
    head = b"\x12" + _varint(9 + len(stamp)) + b"\x09"  # of a sample: its length is always the same
    pieces: list[bytes] = []
    for labels, number in series:
        value = STALE if number is None else struct.pack("<d", number)
        length = _varint(len(labels) + len(head) + 8 + len(stamp))
        pieces += (b"\x0a", length, labels, head, value, stamp)
    return b"".join(pieces)


def labelled(labels: Labels) -> bytes:
    """Return labels as they stand in a message."""
    pairs = (_part(1, _text(name)) + _part(2, _text(value)) for name, value in labels)
    return b"".join(_part(1, pair) for pair in pairs)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _part(number: int, body: bytes) -> bytes:
    """Return a field of protobuf that has a length (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    told = bytearray()
    while number > 127:
        told.append(number & 127 | 128)
        number >>= 7
    told.append(number)
    return bytes(told)


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    samples: int


@dataclass
class RemoteWrite:
    """Sends samples in the order in which they were offered, from one thread.

    What is not taken waits: a server that is away, fails or asks for patience is tried again after
    pauses that double up to a minute, or as long as it says. What it refuses is dropped, since the
    protocol forbids sending it again, and so are the oldest requests when too many wait.

    Parameters
    ----------
    poster : Poster
        Its ``again`` should be `AGAIN`.
    clock : Clock
    token : str
        Bearer token; empty: none is sent.
    most_bytes : int
        Size of the requests that may wait.

    Attributes
    ----------
    counts : Counter
        Samples by what became of them: ``sent``, ``refused`` or ``dropped``; the number of
        ``retries``.
    waiting, size : int
        Samples that wait, and the bytes of their requests.
    """

    poster: Poster
    clock: Clock
    token: str = field(default="", repr=False)
    most_bytes: int = MOST_BYTES
    counts: Counter[str] = field(
        default_factory=lambda: Counter(sent=0, refused=0, dropped=0, retries=0), init=False
    )
    waiting: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    _requests: deque[_Request] = field(default_factory=deque, init=False, repr=False)
    _known: dict[Labels, bytes] = field(default_factory=dict, init=False, repr=False)
    _pause: float = field(default=FIRST_PAUSE, init=False)
    _next: float = field(default=0.0, init=False)

    def offer(self, figures: Mapping[Labels, float], at: datetime) -> None:
        """Take one sample of every series; those that were offered before and are not now end."""
        known = self._known
        self._known = {key: known.get(key) or labelled(key) for key in figures}
        every: list[tuple[bytes, float | None]] = [
            *zip(self._known.values(), figures.values(), strict=True),
            *((told, None) for key, told in known.items() if key not in figures),
        ]
        milliseconds = round(at.timestamp() * 1000)
        for begin in range(0, len(every), TOGETHER):
            some = every[begin : begin + TOGETHER]
            body = pa.Codec("snappy").compress(_message(some, milliseconds), asbytes=True)
            self._requests.append(_Request(body, len(some)))
            self.waiting += len(some)
            self.size += len(body)
        while self.size > self.most_bytes:
            self._pop("dropped")

    def send(self) -> tuple[float | None, str]:
        """Send what waits.

        Returns
        -------
        seconds : float or None
            After which to try again; None if nothing waits.
        problem : str
            What went wrong last; empty if nothing did.
        """
        problem = ""
        while self._requests:
            left = self._next - self.clock.monotonic()
            if left > 0:
                return left, problem
            try:
                self.poster.post(self._requests[0].body, self._headers())
            except DeliveryError as error:
                problem = str(error)
                if error.retry:
                    self._later(error.after)
                else:
                    self._pop("refused")
                continue
            self._pause = FIRST_PAUSE
            self._pop("sent")
        return None, problem

    def _headers(self) -> dict[str, str]:
        return HEADERS | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def _later(self, after: timedelta | None) -> None:
        self.counts["retries"] += 1
        asked = 0.0 if after is None else after.total_seconds()
        self._next = self.clock.monotonic() + max(self._pause, min(asked, MOST_PATIENCE))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _pop(self, fate: str) -> None:
        request = self._requests.popleft()
        self.waiting -= request.samples
        self.size -= len(request.body)
        self.counts[fate] += request.samples
