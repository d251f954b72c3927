"""How fast topics become durable rows, and whether a consumer that is killed loses or doubles any.

    PYTHONPATH=src:tests python benchmarks/kafka_consume.py [--rows 100000] [--kills 20]

The brokers are librdkafka's own, in this process; they speak the real protocol and take next to no
time. First one consumer, in this process too, reads messages of one row in JSON with 40 columns,
then Arrow streams of 1,000 rows; rows a second of this process's time, which includes the brokers'
and the client's threads. Then `homeostat consume` runs as a process of its own, which is killed
(SIGKILL) at random moments, while messages of all kinds come in; at the end each row must be in the
log once.
"""

# ruff: noqa: TID251 - real processes take real time
from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa

from homeostat.adapters.clock import SystemClock
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_log, open_records
from homeostat.entrypoints.consume import open_consumer
from homeostat.entrypoints.settings import load
from integration.brokers import Brokers

NUMBERS, TEXTS = 30, 10
PARTITIONS = 40
"""The brokers keep 5 MB of a partition."""
T0 = datetime(2024, 1, 1, tzinfo=UTC)
MAIN = "import sys; from homeostat.entrypoints.cli import main; main(sys.argv[1:])"
CONFIG = """\
models:
  - name: fraud
    task: binary
    features: {{{features}}}
    outcomes: [lost]
    labels: {{maturity: 1d}}
kafka:
  brokers: ["{address}"]
  port: 0
  options: {{heartbeat.interval.ms: 100, session.timeout.ms: 3000}}
  topics:
    - {{topic: predictions, model: fraud, rows: predictions}}
    - {{topic: tables, model: fraud, rows: predictions, format: arrow}}
    - {{topic: labels, model: fraud, rows: labels}}
    - {{topic: outcomes, model: fraud, rows: outcomes}}
"""
TOPICS = ("predictions", "tables", "labels", "outcomes")


def row(number: int) -> dict[str, object]:
    """Return a prediction of 40 features."""
    rng = random.Random(number)
    row: dict[str, object] = {"prediction_id": f"id-{number}", "version": "1"}
    row |= {"timestamp": (T0 + timedelta(seconds=number)).isoformat(), "score": rng.random()}
    row |= {f"n{i}": rng.gauss(0, 100) for i in range(NUMBERS)}
    return row | {f"c{i}": f"value {rng.randrange(20)}" for i in range(TEXTS)}


def deploy(folder: Path, brokers: Brokers) -> Path:
    """Write a configuration; return its path."""
    features = [f"n{i}: numeric" for i in range(NUMBERS)]
    features += [f"c{i}: categorical" for i in range(TEXTS)]
    config = folder / "homeostat.yaml"
    config.write_text(CONFIG.format(features=", ".join(features), address=brokers.address))
    return config


def speed(kind: str, rows: int) -> None:
    """Read so many rows, and say how fast."""
    brokers = Brokers()
    for topic in TOPICS:
        brokers.topic(topic, PARTITIONS)
    with tempfile.TemporaryDirectory() as name:
        settings, clock = load(deploy(Path(name), brokers)), SystemClock()
        some = [row(number) for number in range(rows)]
        messages = rows
        if kind == "predictions":
            for part in range(PARTITIONS):
                brokers.send(kind, *map(orjson.dumps, some[part::PARTITIONS]), partition=part)
        else:
            streams = [stream(some[at : at + 1000]) for at in range(0, rows, 1000)]
            messages = len(streams)
            for part in range(PARTITIONS):
                brokers.send(kind, *streams[part::PARTITIONS], partition=part)
        size = sum(len(orjson.dumps(one)) for one in some)
        records = open_records(settings, clock)
        log = open_log(settings, records)
        assert settings.kafka is not None
        consumer = open_consumer(settings, settings.kafka, log, clock)
        while not consumer.feed.parts:
            consumer.step()
        began, spent = time.perf_counter(), time.process_time()
        while consumer.counts.messages[kind] < messages or any(consumer.feed.lag.values()):
            consumer.step()
        took, spent = time.perf_counter() - began, time.process_time() - spent
        assert consumer.counts.rows[kind, "accepted"] == rows
        consumer.feed.close()
        log.close()
        records.close()
        print(
            f"{kind}: {rows:,} rows, {size / rows:,.0f} bytes of JSON a row: {rows / took:,.0f} "
            f"rows/s, {rows / spent:,.0f} rows a second of CPU"
        )
    brokers.close()


def stream(rows: list[dict[str, object]]) -> bytes:
    """Return rows as an Arrow IPC stream."""
    table = pa.Table.from_pylist(rows)
    times = [datetime.fromisoformat(str(one["timestamp"])) for one in rows]
    table = table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array(times))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def kills(count: int, seed: int) -> None:
    """Kill consumers while rows come in; each row must be there once."""
    rng, brokers = random.Random(seed), Brokers()
    for topic in TOPICS:
        brokers.topic(topic, PARTITIONS)
    ended = threading.Event()
    sent = 0

    def produce() -> None:
        nonlocal sent
        while not ended.is_set():
            some = [row(number) for number in range(sent, sent + 100)]
            ids = [str(one["prediction_id"]) for one in some]
            part = sent // 100 % PARTITIONS
            brokers.send("predictions", *map(orjson.dumps, some[:50]), partition=part)
            brokers.send("tables", stream(some[50:]), partition=part)
            told = [orjson.dumps({"prediction_id": one, "label": 1}) for one in ids]
            brokers.send("labels", *told, b"poison", partition=part)
            money = [
                orjson.dumps({"prediction_id": one, "outcome": "lost", "value": 2}) for one in ids
            ]
            brokers.send("outcomes", *money, partition=part)
            sent += 100
            time.sleep(0.05)

    with tempfile.TemporaryDirectory() as name:
        config = deploy(Path(name), brokers)
        producer = threading.Thread(target=produce)
        producer.start()
        for _ in range(count):
            process = start(config)
            time.sleep(rng.uniform(1.5, 6.0))
            process.kill()
            process.wait()
        ended.set()
        producer.join()
        process = start(config)
        _until(lambda: _drained(brokers), "all committed")
        process.terminate()
        assert process.wait(60) == 0
        settings, clock = load(config), SystemClock()
        records = open_records(settings, clock)
        log = open_log(settings, records)
        spec = settings.model().spec()
        window = Window(T0, clock.now())
        found = log.labelled(spec, window, clock.now(), ["prediction_id", "lost"])
        ids = [str(one) for one in found.column("prediction_id").to_pylist()]
        status, refused = log.status(), log.quarantined(limit=100_000)
        log.close()
        records.close()
    lost = sent - len(set(ids))
    print(
        f"{count} kills, {sent:,} predictions sent: {lost} lost, {len(ids) - len(set(ids))} twice; "
        f"{status.labels:,} labels and outcomes of {2 * sent:,}, without one: "
        f"{found.column('label').null_count + found.column('lost').null_count}; "
        f"{len(refused)} of {sent // 100} unreadable messages in quarantine"
    )
    brokers.close()


def start(config: Path) -> subprocess.Popen[bytes]:
    """Start ``homeostat consume``."""
    command = [sys.executable, "-c", MAIN, "consume", "-c", str(config)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)


def _drained(brokers: Brokers) -> bool:
    return all(
        max(end, 0) == there
        for topic in TOPICS
        for end, there in zip(
            brokers.committed("homeostat", topic, PARTITIONS),
            brokers.ends(topic, PARTITIONS),
            strict=True,
        )
    )


def _until(true: Callable[[], object], what: str) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError(f"did not happen: {what}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.rows:
        speed("predictions", given.rows)
        speed("tables", given.rows)
    if given.kills:
        kills(given.kills, given.seed)


if __name__ == "__main__":
    main()
