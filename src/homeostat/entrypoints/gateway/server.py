"""The gateway's HTTP server: uvicorn, but it stops without losing an answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.gateway.connection import Connection

logger = logging.getLogger(__name__)

THRESHOLDS = (10_000, 20, 50)  # of Python's garbage collector, which has 700, 10 and 10
TURN = 0.0005  # seconds that a thread keeps Python while others wait for it; Python's are 0.005
QUIET = 0.3  # seconds for what was sent before a connection could learn that the server stops
STEP = 0.05
AT_ONCE = 256
"""Connections that are accepted at one turn of the event loop."""


@dataclass(frozen=True, slots=True)
class Stop:
    """How to stop on SIGTERM.

    Attributes
    ----------
    notice : float
        Seconds in which it answers on, but is not ready; on Ctrl-C there are none.
    grace : float
        Seconds that requests under way then have to finish.
    """

    notice: float = 3.0
    grace: float = 20.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path

    def load(self, context: ssl.SSLContext) -> None:
        """Have new connections of a context use what is in the files now; raises ConfigError."""
        with self._told():
            # First elsewhere: half a change would leave a certificate beside another one's key.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
            context.load_cert_chain(self.certificate, self.key)

    def read(self) -> tuple[bytes, bytes]:
        """Return key and certificate as they are in the files now; raises ConfigError."""
        with self._told():
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
            return self.key.read_bytes(), self.certificate.read_bytes()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ssl.SSLError) as error:
            said = error.strerror or str(error)
            problem = f"{self.certificate} and {self.key} cannot be used: {said}"
            raise ConfigError(problem, "give a certificate and its key as PEM files") from error


@contextlib.contextmanager
def tuned() -> Iterator[None]:
    """Have Python serve: collect garbage seldom, and let threads take turns quickly.

    Answers hold no cycles: nearly all of them are gone without any collection. Looking through
    modules and models for garbage costs more than answering. And while the log is written in
    another thread, an answer must not wait for that thread's turn to end.
    """
    thresholds, turn = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(turn)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class Server(uvicorn.Server):
    """Serves on sockets that are given to it, until SIGTERM or Ctrl-C.

    On SIGTERM `on_stop` is called, so that health checks fail, and answers tell kept-alive
    connections to close. After the notice the connections that wait to be accepted are accepted,
    then no more; what has been sent on any connection is read and answered, and requests under
    way are finished, before connections are closed. On SIGHUP the certificate is read again.

    Parameters
    ----------
    application : ASGIApp
    stop : Stop
    certificate : Certificate, optional
    on_stop : callable

    Attributes
    ----------
    renewals : list of callable
        Are called, too, when the certificate is read again; they raise ConfigError.
    beginnings, endings : list of callable
        Are called, too, once connections are taken, and when it is told to stop.
    """

    def __init__(
        self,
        application: ASGIApp,
        stop: Stop,
        certificate: Certificate | None = None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                http=Connection,
                proxy_headers=False,
                ws="none",
                timeout_graceful_shutdown=max(round(stop.grace), 1),
            )
        )
        self._stop, self._certificate, self._on_stop = stop, certificate, on_stop
        self._hasty = False
        self._lent: dict[int, tuple[asyncio.Server, socket.socket]] = {}
        self._watched: dict[socket.socket, socket.socket] = {}
        self._connecting: set[asyncio.Task[object]] = set()
        self.renewals: list[Callable[[], None]] = []
        self.beginnings: list[Callable[[], None]] = []
        self.endings: list[Callable[[], None]] = []

    def serve_on(self, bound: Sequence[socket.socket]) -> None:
        """Serve until told to stop; raises ConfigError if the certificate cannot be used."""
        self.config.load()
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._certificate.load(context)
            self.config.ssl = context
        # Also without a certificate: otherwise the signal ends the process at once.
        signal.signal(signal.SIGHUP, lambda *_: self.renew())
        # Once it has stopped, uvicorn raises the signal again for whoever had it before, and that
        # would end the process with its parts still open. So it gets it back itself.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        with tuned():
            self.run(sockets=list(bound))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at a second Ctrl-C at once."""
        self._hasty = self._hasty or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    def renew(self) -> None:
        """Use the certificate that is in the files now; if it is bad, the old one."""
        if self._certificate is None or self.config.ssl is None:
            return
        try:
            self._certificate.load(self.config.ssl)
            for renewal in self.renewals:
                renewal()
        except ConfigError as error:
            logger.error("certificate not renewed, the old one stays: %s", error)  # noqa: TRY400
        else:
            logger.info("certificate renewed")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and tell."""
        await super().startup(sockets)
        if not self.started:
            return
        for bound in sockets or []:
            self._watch(bound)
        for beginning in self.beginnings:
            beginning()

    def _watch(self, bound: socket.socket) -> None:
        # libuv accepts one connection a turn: when turns are long, new callers would wait for ever.
        self._watched[bound] = copy = bound.dup()
        copy.setblocking(False)
        asyncio.get_running_loop().add_reader(copy, self._accept, copy)

    def _unwatch(self, bound: socket.socket) -> None:
        copy = self._watched.pop(bound)
        asyncio.get_running_loop().remove_reader(copy)
        copy.close()

    def _accept(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            connection = _accepted(bound)
            if connection is None:
                return
            connecting: asyncio.Task[object] = loop.create_task(
                loop.connect_accepted_socket(self._protocol, connection, ssl=self.config.ssl)
            )
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connected)

    def _connected(self, connecting: asyncio.Task[object]) -> None:
        self._connecting.discard(connecting)
        if not connecting.cancelled():
            connecting.exception()  # of a TLS handshake: the caller is told, nobody else need be

    async def stand_in(self, number: int, bound: socket.socket) -> None:
        """Take the connections of another server's socket, too, until told to stand down."""
        if self.should_exit:
            bound.close()
            return
        bound.setblocking(False)
        lent = await asyncio.get_running_loop().create_server(
            self._protocol, sock=bound, ssl=self.config.ssl, backlog=self.config.backlog
        )
        self._lent[number] = lent, bound
        self.servers.append(lent)
        self._watch(bound)

    async def stand_down(self, number: int) -> None:
        """Leave the connections of the socket of that number to the other server again."""
        if number in self._lent and not self.should_exit:
            lent, bound = self._lent.pop(number)
            self.servers.remove(lent)
            self._unwatch(bound)
            lent.close()
            bound.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop without losing what was asked already."""
        for ending in (self._on_stop, *self.endings):
            ending()
        self.server_state.default_headers = [
            *self.server_state.default_headers,
            (b"connection", b"close"),
        ]
        await self._wait(self._stop.notice, lambda: self._hasty)
        for bound in list(self._watched):
            self._unwatch(bound)
        await self._accept_last([*(sockets or []), *(bound for _, bound in self._lent.values())])
        await self._wait(QUIET, lambda: self.force_exit or not self.server_state.connections)
        await self._wait(self._stop.grace, lambda: self.force_exit or not self._half_read())
        await super().shutdown()

    async def _accept_last(self, sockets: list[socket.socket]) -> None:
        """Stop listening; connections that the system has accepted for us are taken first."""
        loop = asyncio.get_running_loop()
        # Copies keep the queues of the system alive while the event loop gives its own up.
        copies = [bound.dup() for bound in sockets]
        for server in self.servers:
            server.close()
        for bound in sockets:
            bound.close()
        await asyncio.sleep(0)
        for copy in copies:
            copy.setblocking(False)
            taken: list[socket.socket] = []
            while (connection := _accepted(copy)) is not None:
                taken.append(connection)
            copy.close()
            for connection in taken:
                await loop.connect_accepted_socket(self._protocol, connection, ssl=self.config.ssl)

    def _protocol(self) -> HttpToolsProtocol:
        return Connection(self.config, self.server_state, self.lifespan.state)

    def _half_read(self) -> bool:
        """Whether the head of a request has begun to come in and is not complete."""
        return any(
            isinstance(connection, HttpToolsProtocol) and _half_read(connection)
            for connection in self.server_state.connections
        )

    @staticmethod
    async def _wait(seconds: float, done: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not done() and loop.time() < until:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(STEP)


def _half_read(connection: HttpToolsProtocol) -> bool:
    # Neither of them is there at first, whatever uvicorn's annotations say.
    scope, cycle = vars(connection).get("scope"), vars(connection).get("cycle")
    return scope is not None and (cycle is None or cycle.scope is not scope)


def _accepted(bound: socket.socket) -> socket.socket | None:
    try:
        connection, _ = bound.accept()
    except OSError:  # nobody waits, or whoever did has gone
        return None
    connection.setblocking(False)
    return connection
