"""The control plane as a process of its own, as a user runs it.

It may run on another Python than the tests: HOMEOSTAT_SERVER_PYTHON names its interpreter.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

from homeostat_client import Client

Make = Callable[..., Client]

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("HOMEOSTAT_SERVER_PYTHON", sys.executable)
SIDE = Path(__file__).with_name("server_side.py")
CONFIG = """\
server: {{port: {port}, max_request_mb: 0.25}}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {{amount: numeric, country: categorical}}
    outcomes: [lost]
    labels: {{maturity: 1d}}
"""


def environment(*dropped: str) -> dict[str, str]:
    """Return the environment without what starts with `dropped`: covering a server takes long."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HOMEOSTAT_", *dropped))}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "client/src")))}


def until(true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait; only what never happens fails."""
    for _ in range(int(seconds * 50)):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {seconds} s: {what}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class Reader:
    """Reads prediction logs, in one process for all tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [PYTHON, str(SIDE), "reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment("COVERAGE"),
        )

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        found: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        self._process.communicate(timeout=60)


class Server:
    """``homeostat serve`` on a folder; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        self.folder, self.port, self._reader = folder, free_port(), reader
        self.url = f"http://127.0.0.1:{self.port}"
        text = CONFIG.format(port=self.port)
        (folder / "homeostat.yaml").write_text(text)
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        with self._log.open("wb") as log:
            command = [PYTHON, str(SIDE), "serve"]
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=environment("COVERAGE"),
            )
        until(self._is_up, "the server starts")
        return self

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return bool(re.search("startup complete", self._log.read_text()))

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def rows(self, ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return the predictions it has, each with its label; only those of these ids, if given."""
        found = self._reader.rows(self.folder)
        wanted = None if ids is None else set(ids)
        return [row for row in found if wanted is None or row["prediction_id"] in wanted]

    def command(self, *arguments: str) -> str:
        """Run another command of `homeostat` in its folder and return what it prints."""
        command = [PYTHON, str(SIDE), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            check=True,
            env=environment("COVERAGE"),
            text=True,
        )
        return done.stdout


def run_python(code: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program of a client in a process of its own, on the Python of the tests."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=check,
        env=environment(),
        timeout=120,
    )
