"""Prometheus and Alertmanager from the system, with a receiver in place of PagerDuty and Slack."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

REMEDY = "not found: apt-get install prometheus prometheus-alertmanager (make scraper)"


def program(name: str) -> str:
    """Return the path of a program; without it the test says so, and with CI=true fails."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} {REMEDY}", pytrace=False)
    pytest.skip(f"{name} {REMEDY}")


def run(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end."""
    path = program(command[0])
    return subprocess.run(
        [path, *command[1:]], input=given, capture_output=True, text=True, check=False
    )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@dataclass
class Pager:
    """Takes what Alertmanager sends, by path."""

    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                pager.received.append((self.path, json.loads(body)))
                self.send_response(202 if self.path == "/pagerduty" else 200)
                self.end_headers()
                self.wfile.write(b'{"status": "success"}')

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def at(self, path: str) -> list[dict[str, Any]]:
        """Return the bodies that came to a path."""
        return [body for where, body in list(self.received) if where == path]

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Daemon:
    """A server of the system's own, in a folder of its own."""

    command: tuple[str, ...]
    port: int
    folder: Path

    def __post_init__(self) -> None:
        with (self.folder / f"{Path(self.command[0]).name}.log").open("w") as told:
            self._process = subprocess.Popen(self.command, stdout=told, stderr=told)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def ready(self) -> bool:
        """Whether it answers."""
        assert self._process.poll() is None, f"{self.command[0]} ended; see {self.folder}"
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Stop it."""
        self.http.close()
        self._process.terminate()
        self._process.wait(30)


def prometheus(folder: Path) -> Daemon:
    """Begin a Prometheus on the configuration in a folder."""
    port = free_port()
    command = (
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--web.enable-remote-write-receiver",
        "--log.level=warn",
    )
    return Daemon(command, port, folder)


def alertmanager(folder: Path, port: int) -> Daemon:
    """Begin an Alertmanager on the configuration in a folder."""
    command = (
        program("prometheus-alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    )
    return Daemon(command, port, folder)


def until(true: Callable[[], object], what: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait until something is true; else say what is missing."""
    for _ in range(int(seconds * 4)):
        if true():
            return
        threading.Event().wait(0.25)
    raise AssertionError(f"did not happen within {seconds} s: {what()}")
