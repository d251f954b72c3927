"""From topics into the log: stored first, committed then; nothing is lost or counted twice."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from homeostat.adapters.kafka import Feed, Message
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError, HomeostatError, OverloadError, StorageError
from homeostat.entrypoints.exposition import line
from homeostat.entrypoints.messages import USUAL, Parsed, Reader, Table
from homeostat.entrypoints.release import Release
from homeostat.entrypoints.settings.deployment import Settings, secret
from homeostat.entrypoints.settings.kafka import Kafka

logger = logging.getLogger(__name__)

WAIT = 0.2
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0


def client_settings(
    settings: Settings, kafka: Kafka, environ: Mapping[str, str]
) -> dict[str, object]:
    """Return how librdkafka reaches the brokers, secrets included.

    Raises
    ------
    ConfigError
        If an environment variable is not set.
    """
    protocol = ("SASL_" if kafka.sasl else "") + ("SSL" if kafka.tls else "PLAINTEXT")
    found: dict[str, object] = {
        **kafka.options,
        "bootstrap.servers": ",".join(kafka.brokers),
        "group.id": kafka.group,
        "security.protocol": protocol,
        "auto.offset.reset": kafka.start,
    }
    if kafka.ca:
        found["ssl.ca.location"] = str((settings.folder / kafka.ca).resolve())
    if kafka.sasl is not None:
        found["sasl.mechanism"] = kafka.sasl.mechanism
        for key, variable in (
            ("username", kafka.sasl.username_env),
            ("password", kafka.sasl.password_env),
        ):
            field_name = f"kafka.sasl.{key}_env"
            found[f"sasl.{key}"] = secret(environ, variable, field_name, settings.file)
    return found


def readers(settings: Settings, kafka: Kafka) -> dict[str, Reader]:
    """Return what reads the messages of each topic."""
    limit = int(settings.server.max_request_mb * 2**20)
    return {
        topic.topic: Reader(
            settings.model(topic.model).spec(), topic.rows.value, USUAL[topic.format], limit
        )
        for topic in kafka.topics
    }


@dataclass
class Counts:
    """What became of messages and rows, by topic.

    ``rows`` by topic and fate: accepted, duplicate, refused. A batch that is tried again because
    the log could not take all of it counts as often as it was stored.
    """

    messages: Counter[str] = field(default_factory=Counter)
    poisoned: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    retries: int = 0


@dataclass
class Consumer:
    """Stores what a feed brings and commits it once it is durable.

    While the log takes nothing, the partitions rest, what is held is tried again, and nothing is
    committed. Only the thread that calls `step` or `run` may use the feed.

    Parameters
    ----------
    feed : Feed
    log : FilePredictionLog
    readers : mapping of str to Reader
        By topic.
    clock : Clock

    Attributes
    ----------
    counts : Counts
    problem : str
        Why the log takes nothing; empty if it does.
    fault : HomeostatError or None
        What ended `run`, other than `stop`.
    """

    feed: Feed
    log: FilePredictionLog
    readers: Mapping[str, Reader]
    clock: Clock
    counts: Counts = field(default_factory=Counts)
    problem: str = ""
    fault: HomeostatError | None = None
    _release: Release = field(init=False)
    _held: list[Message] = field(default_factory=list, init=False)
    _failures: int = field(default=0, init=False)
    _retry_at: float = field(default=0.0, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._release = Release(self.log, self.clock)

    def run(self) -> None:
        """Step until `stop`, then leave the group; what is held and not stored is read again."""
        try:
            while not self._stop.is_set():
                self.step()
        except HomeostatError as error:
            self.fault = error
        finally:
            self.feed.close()

    def stop(self) -> None:
        """Have `run` finish the step under way and return."""
        self._stop.set()

    def step(self, wait: float = WAIT) -> None:
        """Take what comes within `wait` seconds, store and commit it.

        Raises
        ------
        HomeostatError
            If the feed cannot go on.
        """
        self._release.step()
        found = self.feed.take(wait)
        for message in found:
            self.counts.messages[message.topic] += 1
        self._held = [*self.feed.mine(self._held), *found]
        if self._held and self.clock.monotonic() < self._retry_at:
            return
        try:
            if self.log.full.is_set():
                self.log.roll(self.clock.now())
            self._store(self._held)
        except (OverloadError, StorageError) as error:
            self._step_back(str(error))
            return
        self.feed.done(self._held)
        self._held, self._failures, self._retry_at = [], 0, 0.0
        if self.problem:
            self.problem = ""
            logger.info("the log takes rows again")
        self.feed.resume()

    def _step_back(self, problem: str) -> None:
        self.feed.rest()
        self._failures += 1
        self.counts.retries += 1
        delay = min(FIRST_RETRY * 2 ** (self._failures - 1), LONGEST_RETRY)
        self._retry_at = self.clock.monotonic() + delay
        if problem != self.problem:
            self.problem = problem
            logger.error("%s; tried again, and nothing is lost", problem)

    def _store(self, messages: Sequence[Message]) -> None:
        by_topic: dict[str, list[Message]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        for topic, mine in by_topic.items():
            self._store_topic(topic, mine)

    def _store_topic(self, topic: str, messages: Sequence[Message]) -> None:
        """Store messages; one that brings a fault of ours to light does not hold up the others."""
        try:
            parsed = self.readers[topic].read(messages, self.clock.now())
            self._append(topic, parsed)
        except HomeostatError:
            raise
        except Exception as error:
            if len(messages) > 1:
                middle = len(messages) // 2
                self._store_topic(topic, messages[:middle])
                self._store_topic(topic, messages[middle:])
                return
            logger.exception("a fault in Homeostat; the message is set aside")
            poisoned = Parsed()
            poisoned.poison(messages[0], f"a fault in Homeostat: {type(error).__name__}")
            self._append(topic, poisoned)

    def _append(self, topic: str, parsed: Parsed) -> None:
        spec, name = self.readers[topic].spec, self.readers[topic].field
        append = self.log.append if name == "predictions" else self.log.append_labels
        accepted = duplicates = refused = 0
        for table in parsed.tables:
            try:
                receipt = append(spec, table.rows)
            except DataError as error:
                _poison(parsed, table, str(error))
                continue
            accepted += receipt.accepted
            duplicates += receipt.duplicates
            refused += len(receipt.rejected)
        if parsed.refused:
            kind = "predictions" if name == "predictions" else "labels"
            self.log.refuse(spec, kind, parsed.refused)
        refused += len(parsed.refused) - parsed.poisoned
        for fate, rows in (
            ("accepted", accepted),
            ("duplicate", duplicates),
            ("refused", refused),
        ):
            self.counts.rows[topic, fate] += rows
        self.counts.poisoned[topic] += parsed.poisoned
        self.counts.empty[topic] += parsed.empty

    def text(self) -> str:
        """Return the figures in the Prometheus text format."""
        counts = self.counts
        lines: list[str] = []
        for name, counter in (
            ("homeostat_kafka_messages_total", counts.messages),
            ("homeostat_kafka_poison_messages_total", counts.poisoned),
            ("homeostat_kafka_empty_messages_total", counts.empty),
        ):
            lines.append(f"# TYPE {name} counter")
            lines += [line(name, ("topic",), (topic,), counter[topic]) for topic in self.readers]
        lines.append("# TYPE homeostat_kafka_rows_total counter")
        for (topic, fate), number in sorted(counts.rows.items()):
            pair = (topic, fate)
            lines.append(line("homeostat_kafka_rows_total", ("topic", "fate"), pair, number))
        lines.append("# TYPE homeostat_kafka_lag gauge")
        for (topic, partition), lag in sorted(self.feed.lag.copy().items()):
            place = (topic, str(partition))
            lines.append(line("homeostat_kafka_lag", ("topic", "partition"), place, lag))
        for name, kind, number in (
            ("homeostat_kafka_failed_commits_total", "counter", self.feed.failed_commits),
            ("homeostat_kafka_retries_total", "counter", counts.retries),
            ("homeostat_kafka_resting", "gauge", int(bool(self.problem))),
            ("homeostat_kafka_partitions", "gauge", len(self.feed.parts)),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {number}"]
        return "\n".join(lines) + "\n"

    @property
    def ready(self) -> bool:
        """Whether brokers answer and the log takes rows."""
        return not (self.problem or self.feed.problem or self.fault or self._stop.is_set())


def _poison(parsed: Parsed, table: Table, reason: str) -> None:
    for message in table.messages:
        parsed.poison(message, reason)


def watch(consumer: Consumer) -> Starlette:
    """Return an application with ``/health/live``, ``/health/ready`` and ``/metrics``."""

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": consumer.ready}, 200 if consumer.ready else 503)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(consumer.text(), media_type="text/plain; version=0.0.4")

    routes = {"/health/live": live, "/health/ready": ready, "/metrics": metrics}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in routes.items()])


def open_consumer(
    settings: Settings, kafka: Kafka, log: FilePredictionLog, clock: Clock
) -> Consumer:
    """Return a consumer that has joined its group; raises ConfigError."""
    feed = Feed(client_settings(settings, kafka, os.environ), [t.topic for t in kafka.topics])
    return Consumer(feed, log, readers(settings, kafka), clock)
