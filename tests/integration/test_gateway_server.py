"""How the server stops, and its certificate: real sockets, real handshakes."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from starlette.types import Receive, Scope, Send

from certificates import write_certificate
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.gateway.server import Certificate, Server, Stop
from integration.live_site import until

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n"


async def plane(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with nothing."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@contextmanager
def serving(server: Server, bound: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    # Signals belong to the main thread; here the server runs in another one, and is told directly.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    thread = threading.Thread(target=server.serve_on, args=([bound],))
    port: int = bound.getsockname()[1]
    thread.start()
    until(lambda: server.started)
    yield port
    if not server.should_exit:
        server.handle_exit(signal.SIGINT, None)
    thread.join(30)
    assert not thread.is_alive()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def answer(client: socket.socket) -> bytes:
    with client.makefile("rb") as reader:
        return reader.read()


def test_trap_sigterm_drop_what_was_sent_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    server = Server(plane, Stop(notice=0.3, grace=10), on_stop=lambda: told.append(True))
    with serving(server, listening(), monkeypatch) as port:
        address = ("127.0.0.1", port)
        with (
            socket.create_connection(address) as kept,
            socket.create_connection(address) as half,
            socket.create_connection(address) as idle,
        ):
            kept.sendall(HEAD + b"\r\n")
            assert b" 204 " in kept.recv(1000)
            half.sendall(HEAD)
            until(lambda: len(server.server_state.connections) == 3)
            server.handle_exit(signal.SIGTERM, None)
            until(lambda: told)
            kept.sendall(HEAD + b"\r\n")
            said = answer(kept)
            assert b" 204 " in said
            assert b"connection: close" in said, "kept-alive callers are told"
            until(lambda: not server.servers[0].is_serving())
            half.sendall(b"\r\n")
            assert b" 204 " in answer(half)
            assert answer(idle) == b""


def test_all_who_wait_are_accepted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each would wait for a turn of its own, and turns are long when there is much to do."""
    met: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    server: Server

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            begun.set()
            go_on.wait(30)  # in the event loop
            met.append(len(server.server_state.connections))
        await plane(scope, receive, send)

    server = Server(slow, Stop(notice=0, grace=5))
    with serving(server, listening(), monkeypatch) as port, ExitStack() as stack:
        address = ("127.0.0.1", port)
        first = stack.enter_context(socket.create_connection(address))
        first.sendall(HEAD + b"\r\n")
        assert begun.wait(30)
        others = [stack.enter_context(socket.create_connection(address)) for _ in range(60)]
        for other in others:
            other.sendall(HEAD + b"\r\n")
        go_on.set()
        assert all(b" 204 " in client.recv(1000) for client in (first, *others))
    assert met[:2] == [1, 61], "when the second is answered all are there"


def test_connections_that_nobody_has_accepted_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound = listening()
    server = Server(plane, Stop(notice=0, grace=5))
    waiting: list[socket.socket] = []

    def connect() -> None:
        for _ in range(20):  # in the event loop's own thread: it cannot accept meanwhile
            client = socket.create_connection(address)
            client.sendall(HEAD + b"\r\n")
            waiting.append(client)

    server = Server(plane, Stop(notice=0, grace=5), on_stop=connect)
    with serving(server, bound, monkeypatch) as port:
        address = ("127.0.0.1", port)
        server.handle_exit(signal.SIGTERM, None)
    assert [b" 204 " in answer(client) for client in waiting] == [True] * 20
    for client in waiting:
        client.close()


def shown(port: int) -> str:
    """Return the name in the certificate that a new connection is shown, after a request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain) as client,
    ):
        client.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert b" 204 " in client.recv(1000)
        content = client.getpeercert(binary_form=True)
    assert content is not None
    (attribute,) = x509.load_der_x509_certificate(content).subject
    return str(attribute.value)


def test_a_certificate_is_renewed_while_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(plane, Stop(), write_certificate(tmp_path, "first"))
    with serving(server, listening(), monkeypatch) as port:
        assert shown(port) == "first"
        files = write_certificate(tmp_path, "second")
        server.renew()
        assert shown(port) == "second"
        files.key.write_text("nonsense")
        server.renew()
        assert shown(port) == "second"
    assert "certificate not renewed, the old one stays" in caplog.text


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    files = Certificate(tmp_path / "none.crt", tmp_path / "none.key")
    with pytest.raises(ConfigError, match="No such file"):
        Server(plane, Stop(), files).serve_on([])
    Server(plane, Stop()).renew()
