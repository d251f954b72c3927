"""Servers as bad as real ones: they refuse, hang, drip and talk nonsense, over real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from typing import Any, Callable

Reply = Callable[[dict[str, str], bytes], bytes]


def answer(status: int, body: object = "", **headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def receipt(body: bytes) -> bytes:
    """Return the answer of a server that takes everything."""
    (rows,) = json.loads(body).values()
    return answer(200, {"accepted": len(rows), "duplicates": 0, "rejected": []})


class Peer:
    """Answers each request with what `reply` makes of its headers and body."""

    def __init__(self, reply: Reply, context: ssl.SSLContext | None = None) -> None:
        self._reply, self._context = reply, context
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        for found in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
            found.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            while file.readline():
                headers = dict(self._header(line) for line in iter(file.readline, b"\r\n"))
                body = file.read(int(headers.get("content-length", "0")))
                self.requests.append((headers, body))
                connection.sendall(self._reply(headers, body))

    @staticmethod
    def _header(line: bytes) -> tuple[str, str]:
        name, _, value = line.decode("latin-1").strip().partition(":")
        return name.lower(), value.strip()

    def rows(self, kind: str = "predictions") -> list[dict[str, Any]]:
        """Return all rows received."""
        bodies = [json.loads(body) for _, body in list(self.requests)]
        return [row for body in bodies for row in body.get(kind, [])]
