"""Kill -9 amid everything: nothing acknowledged is lost, nothing counts twice.

`benchmarks/log_faults.py` kills more often.
"""

from __future__ import annotations

import signal
import ssl
import threading
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from faults.survival import kill_writers
from homeostat.adapters.clock import SystemClock
from homeostat.domain.columns import texts
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings import load
from integration.live_site import CONFIG, Service, until

ROWS = 5
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each request reads all authorities


def test_killed_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    found = list(kill_writers(tmp_path, lives=5, seed=20240101))
    assert [problems for _, problems in found] == [[]] * 5, found
    assert found[-1][0] > 100


class Sender:
    """A client that sends each batch until it hears an answer, always with the batch's own key."""

    def __init__(self, number: int) -> None:
        self.number, self.url, self.sent, self.retries = number, "", 0, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.start = SystemClock().now() - timedelta(hours=2)

    def _run(self) -> None:
        while not self.stop.is_set():
            ids = [f"{self.number}-{self.sent}-{i}" for i in range(ROWS)]
            at = (self.start + timedelta(seconds=self.sent)).isoformat()
            row = {"timestamp": at, "version": "1", "score": 0.5, "amount": 1.0}
            rows = [{"prediction_id": name, **row} for name in ids]
            labels = [{"prediction_id": name, "label": 1.0, "arrival": at} for name in ids]
            self._post("labels", {"labels": labels})
            self._post("predictions", {"predictions": rows})
            self.sent += 1

    def _post(self, field: str, body: dict[str, object]) -> None:
        key = {"Idempotency-Key": f"{field} {self.number} {self.sent}"}
        while True:
            try:
                place = f"{self.url}/api/v1/models/fraud/{field}"
                answer = httpx.post(place, json=body, headers=key, timeout=20, verify=PLAIN)
            except httpx.TransportError:
                self.retries += 1
                threading.Event().wait(0.05)
                continue
            assert answer.status_code == 200, answer.text
            return


def _have_sent(senders: list[Sender], batches: int) -> bool:
    return sum(sender.sent for sender in senders) >= batches


def test_clients_of_a_killed_server_send_again(tmp_path: Path) -> None:
    config = CONFIG.partition("    retraining:")[0]
    (tmp_path / "homeostat.yaml").write_text(config)
    rng = np.random.default_rng(3)
    senders = [Sender(number) for number in range(4)]
    server = Service(tmp_path, "serve")
    try:
        for life in range(3):
            for sender in senders:
                sender.url = str(server.http.base_url)
                if not life:
                    sender.thread.start()
            before = sum(sender.sent for sender in senders)
            wanted = before + int(rng.integers(5, 20))
            until(partial(_have_sent, senders, wanted), 60, "rows")
            if life < 2:
                assert server.send(signal.SIGKILL) == -signal.SIGKILL
                server = Service(tmp_path, "serve")
    finally:
        for sender in senders:
            sender.stop.set()
        for sender in senders:
            sender.thread.join(60)
        server.send(signal.SIGTERM)
    assert sum(sender.retries for sender in senders) > 0
    settings, clock = load(tmp_path / "homeostat.yaml"), SystemClock()
    spec, deployment = settings.model("fraud").spec(), open_deployment(settings, clock)
    log = deployment.log
    window = Window(senders[0].start - timedelta(hours=1), clock.now())
    table = log.labelled(spec, window, clock.now(), ["prediction_id"])
    stored = Counter(texts(table, "prediction_id"))
    sent = {
        f"{s.number}-{batch}-{i}" for s in senders for batch in range(s.sent) for i in range(ROWS)
    }
    assert stored == Counter(sent)
    assert table.column("label").null_count == 0
    deployment.close()
