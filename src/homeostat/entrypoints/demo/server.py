"""Control plane and gateway of the demo, on one loopback port, and a client for them."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
import uvicorn
from starlette.applications import Starlette

from homeostat.domain.errors import HomeostatError, UserError

HOST = "127.0.0.1"
START_SECONDS = 20.0
ANSWER_SECONDS = 60.0
KEEP_ALIVE = 600  # a training in between takes longer than the default


def listen(port: int) -> socket.socket:
    """Bind a loopback port; 0 takes a free one.

    Raises
    ------
    UserError
        If the port is in use.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise UserError(f"port {port} is in use ({error}); choose another with --port") from error
    bound.listen(128)
    return bound


@dataclass
class Server:
    """An ASGI application in a thread of this process."""

    app: Starlette
    sock: socket.socket
    _server: uvicorn.Server = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            lifespan="on",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self.sock]}, daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self.sock.getsockname()[1]
        return port

    def start(self) -> None:
        """Start and wait until it answers; raises HomeostatError if it does not."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS  # noqa: TID251 - waits for a real thread
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:  # noqa: TID251
                raise HomeostatError(f"the server on port {self.port} did not start")
            self._thread.join(0.01)

    def join(self) -> None:
        """Wait until somebody stops it (Ctrl-C)."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Finish open requests and stop."""
        self._server.should_exit = True
        self._thread.join(10.0)


class Client:
    """Speaks JSON with the demo's server over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Post and return the answer; raises HomeostatError unless it is a success."""
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, content, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise HomeostatError(f"{path} answered {answer.status}: {text[:300]!r}")
        found = orjson.loads(text)
        if not isinstance(found, dict):
            raise HomeostatError(f"{path} answered something else than an object")
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
