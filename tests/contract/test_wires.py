"""The suites of routers, notifiers and trainers on the real adapters."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.notifiers.console import ConsoleNotifier
from homeostat.adapters.notifiers.webhook import WebhookNotifier
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.routes import RecordsRoutes
from homeostat.adapters.trainers.local import LocalTrainer
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Notifier, Routes, Trainer
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import NOTIFIER_CHECKS, ROUTES_CHECKS, TRAINER_CHECKS
from homeostat.simulation.conformance.log import NOW, SPEC, predictions

Delivered = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[DatabaseRecords]:
    made = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    yield made
    made.close()


@pytest.fixture
def hook() -> Iterator[tuple[str, Delivered]]:
    got: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((sent["incident"], sent["action"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", lambda: got
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("check", ROUTES_CHECKS)
def test_router_on_records(check: Callable[[Routes], None], records: DatabaseRecords) -> None:
    check(RecordsRoutes(records))


def test_a_route_is_seen_by_another_process_and_written_once(records: DatabaseRecords) -> None:
    for check in ROUTES_CHECKS:
        check(RecordsRoutes(records))
    stamp = records.database.stamp()
    other = DatabaseRecords(str(records.database.url), SimulatedClock(NOW))
    router = RecordsRoutes(other)
    route = router.current("fraud")
    assert route is not None
    router.publish(route)
    assert records.database.stamp() == stamp, "what is there already is not written again"
    other.close()


@pytest.mark.parametrize("check", NOTIFIER_CHECKS)
def test_console(check: Callable[[Notifier, Delivered], None]) -> None:
    stream = io.StringIO()

    def delivered() -> list[tuple[str, str]]:
        heads = [line.split() for line in stream.getvalue().splitlines() if line[0] != " "]
        return [(words[4], words[3]) for words in heads]

    check(ConsoleNotifier(stream), delivered)


@pytest.mark.parametrize("check", NOTIFIER_CHECKS)
def test_webhook(check: Callable[[Notifier, Delivered], None], hook: tuple[str, Delivered]) -> None:
    check(WebhookNotifier(hook[0], SimulatedClock(NOW), "secret"), hook[1])


@pytest.mark.parametrize("check", TRAINER_CHECKS)
def test_local_trainer(
    check: Callable[[Trainer, ModelSpec, pa.Table], None], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(
        "def train(rows, spec, out):\n    (out / 'model.json').write_text('{}')\n"
    )
    trainer = LocalTrainer(
        tmp_path / "runs",
        f"{tmp_path}/train.py:train",
        SimulatedClock(NOW),
        timedelta(minutes=2),
        wait=True,
    )
    spec = ModelSpec("fraud", SPEC.task, SPEC.schema, SPEC.labels)
    check(trainer, spec, predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2))))
