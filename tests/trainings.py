"""What tests of trainers share: a request, rows, and a service behind one address that trains."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa

from homeostat.domain.effect import StartTraining
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.ports import Trainer, Training
from homeostat.simulation.conformance.log import NOW, SPEC, predictions

ROWS = predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2)))
FRAUD = ModelSpec("fraud", SPEC.task, SPEC.schema, SPEC.labels)


def request(run_id: str = "run") -> StartTraining:
    return StartTraining(run_id, "fraud", "1", Window(NOW - timedelta(days=1), NOW), NOW)


def ended(trainer: Trainer, run_id: str = "run") -> Training:
    for _ in range(1200):
        found = trainer.poll("fraud", run_id)
        if found.done:
            return found
        Event().wait(0.05)
    raise AssertionError("the run did not end")


@dataclass
class Service:
    """Trains at once when its state is asked for, and notes what it is asked.

    Attributes
    ----------
    answers : list
        To the next requests: a status, or a body; then it behaves.
    """

    port: int = 0
    answers: list[Any] = field(default_factory=list)
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/train"

    @property
    def actions(self) -> list[tuple[str, str]]:
        bodies = [json.loads(body) for _, body in self.asked]
        return [(body["action"], body["run_id"]) for body in bodies]

    def answer(self, headers: dict[str, str], data: bytes) -> tuple[int, Any]:
        self.asked.append((headers, data))
        if self.answers:
            planned = self.answers.pop(0)
            return (planned, "") if isinstance(planned, int) else (200, planned)
        body = json.loads(data)
        run = body["run_id"]
        if body["action"] == "start":
            self.runs.setdefault(run, body["folder"])
            return 202, {}
        if body["action"] == "cancel":
            self.runs[run] = ""
            return 204, ""
        if not self.runs.get(run):
            return 200, {"state": "failed", "problem": "cancelled"}
        work(Path(self.runs[run]))
        return 200, {"state": "success", "progress": 1}


def work(folder: Path) -> None:
    (folder / "artifact").mkdir(exist_ok=True)
    (folder / "artifact" / "model.json").write_text("{}")
    (folder / "result.json").write_text('{"metrics": {"auc": 0.75}}')


@contextmanager
def training_service() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            status, said = service.answer(dict(self.headers), data)
            content = json.dumps(said).encode() if said != "" else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
