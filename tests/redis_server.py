"""A Redis server of the test session's own: reached by a socket, kept nowhere, gone with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

REMEDY = "no Redis found: apt-get install redis-server"
PATIENCE = 30.0


@dataclass
class RedisServer:
    """A server that can be stopped and begun again; what it held is then lost."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{self.folder}/redis.sock"

    def begin(self) -> None:
        """Start it and wait until it answers."""
        socket = self.folder / "redis.sock"
        command = ("redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "")
        self.process = subprocess.Popen(
            (*command, "--dir", str(self.folder)), stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE  # noqa: TID251 - a process takes real time
        while not self._answers():
            assert self.process.poll() is None, "redis-server ended"
            assert time.monotonic() < until, "redis-server does not answer"  # noqa: TID251
            time.sleep(0.02)  # noqa: TID251

    def _answers(self) -> bool:
        import redis

        client = redis.Redis.from_url(self.url)
        try:
            return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False
        finally:
            client.close()

    def hang(self) -> None:
        """Stop it without closing a connection."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End its pause."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.end()
        shutil.rmtree(self.folder)


def begin_or_tell() -> RedisServer:
    """Start a server; without its program the test says so, and with CI=true fails."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail(REMEDY, pytrace=False)
        pytest.skip(REMEDY)
    server = RedisServer(Path(tempfile.mkdtemp(prefix="homeostat-redis-")))
    server.begin()
    return server
