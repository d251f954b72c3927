"""A server that speaks S3, and a relay before it that fails as asked."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from pyarrow import fs

from homeostat.adapters.predlog.stores import Storage

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
NUMBERS = count()
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Fault(Enum):
    """What happens to a request."""

    SLOW_DOWN = auto()
    """It is refused: too many."""
    RESET = auto()
    """The connection breaks in the middle of the answer."""
    TRUNCATED = auto()
    """The answer ends in the middle."""
    HANG = auto()
    """Nobody answers."""
    UNANSWERED = auto()
    """It is done, and the connection breaks before the answer."""
    FLIPPED = auto()
    """A bit of the answer's body is another."""


Rule = Callable[[str, str], Fault | None]
"""Says of a method and a path what happens."""


def well(_method: str, _path: str) -> None:
    """Nothing happens."""


@dataclass
class Server:
    """A server that speaks S3, in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def begin(cls) -> Server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        pause = threading.Event()
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                pause.wait(0.05)
            else:
                return cls(process, port)
        raise RuntimeError("the S3 server does not start")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()

    def storage(self, bucket: str = "", *, port: int = 0, timeout: float = 10.0) -> Storage:
        """Return a place in a bucket; without a name, in a new one."""
        bucket = bucket or self.bucket()
        endpoint = f"http://127.0.0.1:{port or self.port}"
        return Storage(f"s3://{bucket}/some/logs", endpoint, "us-east-1", timeout, attempts=2)

    def bucket(self) -> str:
        """Make a bucket."""
        name = f"bucket-{next(NUMBERS)}"
        self.client().create_dir(name)
        return name

    def client(self) -> fs.FileSystem:
        """Return a client that sees what is there."""
        return fs.S3FileSystem(
            endpoint_override=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            allow_bucket_creation=True,
        )

    def uploads(self, bucket: str) -> int:
        """Return how many uploads in parts of a bucket are under way, or were left behind."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", f"/{bucket}?uploads")
        found = connection.getresponse().read()
        connection.close()
        return found.count(b"<UploadId>")

    def paths(self, bucket: str) -> list[str]:
        """Return the names of a bucket's objects."""
        found = self.client().get_file_info(fs.FileSelector(bucket, recursive=True))
        return sorted(one.path for one in found if one.type == fs.FileType.File)


@dataclass
class Relay:
    """Hands requests on to a server, but for those that a rule lets fail."""

    upstream: int
    rule: Rule = well
    seen: list[tuple[str, str]] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = True
                with suppress(OSError):
                    self.raw_requestline = self.rfile.readline(65537)
                    if self.raw_requestline and self.parse_request():
                        relay.pass_on(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def failing(self, fault: Fault, method: str, part: str, times: int = 10**9) -> None:
        """Let so many requests with a part in their path fail from now on."""
        left = iter(range(times))

        def rule(asked: str, path: str) -> Fault | None:
            if asked == method and part in path and next(left, None) is not None:
                return fault
            return None

        self.rule = rule

    def pass_on(self, asked: BaseHTTPRequestHandler) -> None:
        body = _body(asked)
        fault = self.rule(asked.command, asked.path)
        self.seen.append((asked.command, asked.path))
        if fault is Fault.HANG:
            self._ended.wait()
            _break(asked)
            return
        if fault is Fault.SLOW_DOWN:
            _answer(asked, 503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.upstream)
        headers = {k: v for k, v in asked.headers.items() if k.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        upstream.request(asked.command, asked.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if fault is Fault.UNANSWERED:
            _break(asked)
            return
        if fault is Fault.FLIPPED:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        _answer(asked, answer.status, answer.getheaders(), content, fault)


def _body(asked: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in asked.headers.get("Transfer-Encoding", ""):
        return asked.rfile.read(int(asked.headers.get("Content-Length", 0)))
    found = b""
    while size := int(asked.rfile.readline().split(b";")[0], 16):
        found += asked.rfile.read(size)
        asked.rfile.readline()
    while asked.rfile.readline().strip():
        pass
    return found


def _answer(
    asked: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    content: bytes,
    fault: Fault | None = None,
) -> None:
    asked.send_response_only(status)
    length = next((v for k, v in headers if k.lower() == "content-length"), str(len(content)))
    for name, value in headers:
        if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
            asked.send_header(name, value)
    asked.send_header("Content-Length", length)
    asked.end_headers()
    if fault in {Fault.RESET, Fault.TRUNCATED}:
        asked.wfile.write(content[: len(content) // 2])
        asked.wfile.flush()
        if fault is Fault.RESET:
            _break(asked)
        asked.close_connection = True
        return
    asked.wfile.write(content)


def _break(asked: BaseHTTPRequestHandler) -> None:
    linger = struct.pack("ii", 1, 0)
    asked.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    asked.connection.close()
    asked.close_connection = True
