"""A connection that sends an answer in one piece.

uvicorn hands the head of an answer and its body to the system one by one: two system calls and two
packets, which cost more than most models do.
"""

from __future__ import annotations

import asyncio
from typing import cast

from homeostat.entrypoints.patience import PatientProtocol

HEAD, INTERIM = b"HTTP/1.1 ", b"HTTP/1.1 1"


class OnePiece:
    """Stands for a transport: what begins an answer waits for what follows, or for its end."""

    __slots__ = ("_held", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._held = transport, b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send bytes, or keep them if they are the head of an answer."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif data.startswith(HEAD) and not data.startswith(INTERIM):
            self._held = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what was kept."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Send what was kept, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


class Connection(PatientProtocol):
    """The gateway's connections: patient, and with each answer in one piece."""

    _piece: OnePiece

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        self._piece = OnePiece(transport)
        super().connection_made(cast("asyncio.Transport", self._piece))

    def on_response_complete(self) -> None:
        """Send an answer that has no body."""
        self._piece.flush()
        super().on_response_complete()
