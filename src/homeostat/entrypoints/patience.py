"""HTTP connections that must get on: senders that dribble a request hold nothing for long.

uvicorn ends connections that idle after an answer, but waits for ever for the first byte, for the
rest of the headers and for the rest of a body.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 64 * 1024
CLOSE = b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout" + CLOSE
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large" + CLOSE


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection on which a request does not get on.

    Headers have to be complete within `seconds`, also those of a connection's first request that
    does not come at all, and may take 64 KiB. A body has to bring `rate` bytes a second on average
    over each such span. Requests that arrive in one piece cost nothing but a few comparisons.
    """

    seconds = 10.0
    rate = 8192.0

    _timer: asyncio.TimerHandle | None = None
    _incomplete = True
    _in_body = False
    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; wait while a request is incomplete."""
        super().data_received(data)
        if not self._incomplete and not self.cycle.response_complete:
            if self._timer is not None:
                self._stop()
            return
        self._received += len(data)
        if self.transport.is_closing():
            return
        if not self._in_body and self._received > LARGEST_HEAD:
            self._end(TOO_LONG)
        elif self._timer is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        super().on_message_begin()
        self._incomplete, self._in_body, self._received = True, False, 0

    def on_headers_complete(self) -> None:
        """Note that only its body may be missing."""
        super().on_headers_complete()
        self._in_body, self._received = True, 0

    def on_message_complete(self) -> None:
        """Note that all of it is there."""
        super().on_message_complete()
        self._incomplete = self._in_body = False

    def _wait(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(self.seconds, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        # Where nothing is read, it is we who are slow.
        if self._in_body and (self.flow.read_paused or self._received >= self.rate * self.seconds):
            self._wait()
            return
        answered = self._in_body and self.cycle.response_started
        begun = self._incomplete and self.headers is not None
        self._end(TOO_SLOW if begun and not answered else b"")

    def _end(self, last_words: bytes) -> None:
        self._stop()
        if last_words:
            self.transport.write(last_words)
        self.transport.close()


def patient(seconds: float, rate: float) -> type[PatientProtocol]:
    """Return the protocol with other limits."""
    made = type("Patient", (PatientProtocol,), {"seconds": seconds, "rate": rate})
    return cast("type[PatientProtocol]", made)
