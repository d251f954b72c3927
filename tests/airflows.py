"""An Airflow that refuses what Airflow 3.3's OpenAPI of version 2 refuses, on the loopback address.

Written from the published OpenAPI; it was not compared with a server that runs.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]+")  # core.allowed_run_id_pattern
POST_KEYS = {
    "dag_run_id", "data_interval_start", "data_interval_end", "logical_date", "run_after", "conf",
    "note", "partition_key",
}  # fmt: skip
MUTABLE = {"queued", "success", "failed"}
USER = {"username": "homeostat", "password": "correct horse"}


@dataclass
class FakeAirflow:
    """Its runs by DAG and id, and how the next requests are treated.

    ``moods`` of the next requests: a status code, or ``drop``.
    """

    port: int = 0
    dags: set[str] = field(default_factory=lambda: {"train"})
    runs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    moods: list[int | str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {"given"})

    def mood(self) -> int | str:
        return self.moods.pop(0) if self.moods else 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(  # noqa: PLR0911 - one for each refusal
        self, method: str, target: str, token: str, data: bytes
    ) -> tuple[int, Any]:
        parts = urlsplit(target)
        self.asked.append(f"{method} {parts.path}")
        if (method, parts.path) == ("POST", "/auth/token"):
            if json.loads(data) != USER:
                return 401, {"detail": "Invalid credentials"}
            made = f"token-{len(self.tokens)}"
            self.tokens.add(made)
            return 201, {"access_token": made}
        if token.removeprefix("Bearer ") not in self.tokens:
            return 401, {"detail": "Not authenticated"}
        found = re.fullmatch(r"/api/v2/dags/([^/]+)/dagRuns(?:/([^/]+))?", parts.path)
        if found is None:
            return 404, {"detail": "Not Found"}
        dag, run = unquote(found[1]), unquote(found[2] or "")
        body: Any = json.loads(data) if data else None
        if method == "POST" and not run:
            return self._trigger(dag, body)
        if (dag, run) not in self.runs:
            return 404, {
                "detail": f"The DagRun with dag_id: `{dag}` and run_id: `{run}` was not found"
            }
        if method == "PATCH":
            mask = parse_qs(parts.query).get("update_mask", [])
            if (
                set(body) - {"state", "note"}
                or body.get("state") not in MUTABLE
                or mask != ["state"]
            ):
                return 422, {"detail": "invalid patch"}
            self.runs[dag, run]["state"] = body["state"]
        elif method != "GET":
            return 405, {"detail": "Method Not Allowed"}
        return 200, self.runs[dag, run]

    def _trigger(self, dag: str, body: Any) -> tuple[int, Any]:
        if (
            "logical_date" not in body
            or set(body) - POST_KEYS
            or not isinstance(body["conf"], dict)
        ):
            return 422, {"detail": "invalid body"}
        if dag not in self.dags:
            return 404, {"detail": f"DAG with dag_id: '{dag}' not found"}
        run = body["dag_run_id"]
        if not RUN_ID.fullmatch(run) or len(run) > 250:
            return 400, {"detail": f"The run_id provided '{run}' does not match"}
        if (dag, run) in self.runs:
            return 409, {"detail": {"reason": "Unique constraint violation"}}
        self.runs[dag, run] = {
            "dag_id": dag, "dag_run_id": run, "state": "queued", "conf": body["conf"],
        }  # fmt: skip
        return 200, self.runs[dag, run]


@contextmanager
def airflow() -> Iterator[FakeAirflow]:
    """Serve one."""
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            mood = fake.mood()
            if isinstance(mood, str):
                self.close_connection = True
                return
            said: Any = "no JSON"
            if mood > 0:
                status = mood
            else:
                token = self.headers.get("Authorization", "")
                status, said = fake.take(self.command, self.path, token, data)
            text = said if isinstance(said, str) else json.dumps(said)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
