"""A deployment whose topics a test reads in its own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_log, open_records
from homeostat.entrypoints.consume import Consumer, open_consumer
from homeostat.entrypoints.settings import Settings, load
from integration.brokers import Brokers

CONFIG = """\
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {{amount: numeric}}
    outcomes: [lost]
    labels: {{maturity: 1d}}
kafka:
  brokers: ["{address}"]
  port: 0
  options: {{heartbeat.interval.ms: 100, session.timeout.ms: 1000, log_level: 2,
    reconnect.backoff.max.ms: 500}}
  topics:
    - {{topic: predictions, model: fraud, rows: predictions}}
    - {{topic: labels, model: fraud, rows: labels}}
    - {{topic: outcomes, model: fraud, rows: outcomes}}
    - {{topic: tables, model: fraud, rows: predictions, format: arrow}}
"""
T0 = datetime(2024, 1, 1, tzinfo=UTC)
EVER = Window(T0, T0 + timedelta(days=9000))


class Deployed:
    """A deployment of which this process reads the topics."""

    def __init__(self, folder: Path, brokers: Brokers, group: str) -> None:
        self.folder, self.group = folder, group
        # Each test has topics of its own: the brokers are shared.
        text = CONFIG.format(address=brokers.address)
        for name in ("predictions", "labels", "outcomes", "tables"):
            text = text.replace(f"topic: {name},", f"topic: {group}-{name},")
        text = text.replace("  port: 0\n", f"  port: 0\n  group: {group}\n")
        (folder / "homeostat.yaml").write_text(text)
        self.settings: Settings = load(folder / "homeostat.yaml")
        self.clock = SystemClock()

    @contextmanager
    def log(self, most_landed: int = 2**30) -> Iterator[FilePredictionLog]:
        records = open_records(self.settings, self.clock)
        log = open_log(self.settings, records)
        log._landing.most_landed = most_landed
        try:
            yield log
        finally:
            log.close()
            records.close()

    def consumer(self, log: FilePredictionLog) -> Consumer:
        assert self.settings.kafka is not None
        return open_consumer(self.settings, self.settings.kafka, log, self.clock)

    def ids(self) -> list[str]:
        with self.log() as log:
            rows = log.rows(self.settings.model().spec(), EVER)
        return [str(name) for name in rows.column("prediction_id").to_pylist()]


def row(name: str, **more: object) -> bytes:
    moment = (T0 + timedelta(hours=1)).isoformat()
    whole = {
        "prediction_id": name,
        "timestamp": moment,
        "version": "1",
        "score": 0.7,
        "amount": 1.5,
    }
    return orjson.dumps(whole | more)


@contextmanager
def running(*consumers: Consumer) -> Iterator[None]:
    threads = [threading.Thread(target=consumer.run) for consumer in consumers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for consumer, thread in zip(consumers, threads, strict=True):
            consumer.stop()
            thread.join(30)
            assert not thread.is_alive()
