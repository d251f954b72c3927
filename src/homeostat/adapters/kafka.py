"""Messages of Kafka topics, as one member of a consumer group."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import orjson

from homeostat.domain.errors import ConfigError, HomeostatError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition
    from confluent_kafka import Message as Received

logger = logging.getLogger(__name__)

AT_ONCE = 500
MOST_MESSAGES = 10_000
MOST_BYTES = 16 * 2**20
LOOK_SECONDS = 5.0
STATISTICS_MS = 2000
# What goes wrong is told by `Feed`, once; the client itself would write a line a try.
USUAL = {"queued.max.messages.kbytes": 16 * 1024, "client.id": "homeostat", "log_level": 2}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Part: TypeAlias = "tuple[str, int]"
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``at`` is when it was sent, if it says so; ``value`` is None for a tombstone."""

    topic: str
    partition: int
    offset: int
    at: datetime | None
    value: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def part(self) -> Part:
        """Where it stands."""
        return self.topic, self.partition

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"topic {self.topic}, partition {self.partition}, offset {self.offset}"


class Feed:
    """Reads topics. A message counts as read once its offset is committed, by `done`.

    `problem` and `lag` may be asked from other threads; all else is for one.

    Parameters
    ----------
    client : mapping of str to object
        Settings of librdkafka: brokers, group, credentials.
    topics : sequence of str

    Attributes
    ----------
    problem : str
        What is wrong with the brokers now; empty if nothing is.
    lag : dict of (str, int) to int
        Messages of each of this member's partitions that are not committed yet, where known.
    failed_commits : int
        Commits that failed.

    Raises
    ------
    ConfigError
        If the client does not know a setting, or not this value of it.
    """

    def __init__(self, client: Mapping[str, object], topics: Sequence[str]) -> None:
        import confluent_kafka  # noqa: PLC0415 - an extra

        self._library = confluent_kafka
        self.problem, self._fatal, self.failed_commits = "", "", 0
        self.lag: dict[Part, int] = {}
        self._committed: dict[Part, int] = {}
        self._owed: dict[Part, int] = {}
        self._said: set[int] = set()
        self._resting = False
        self._skips = client.get("auto.offset.reset") == "latest"
        ours = {
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "statistics.interval.ms": STATISTICS_MS,
            "error_cb": self._failed,
            "stats_cb": self._told,
        }
        try:
            self._consumer: Consumer = confluent_kafka.Consumer(
                {**USUAL, **client, **ours}, logger=logger
            )
        except (confluent_kafka.KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"the Kafka client says: {error}", field="kafka") from error
        self._consumer.subscribe(
            list(topics), on_assign=self._given, on_revoke=self._taken, on_lost=self._taken
        )

    @property
    def parts(self) -> frozenset[Part]:
        """The partitions that this member reads now."""
        return frozenset(self._committed)

    def take(self, seconds: float) -> list[Message]:
        """Return what has come, waiting at most so long; at most `MOST_MESSAGES`.

        Must be called at least every ``max.poll.interval.ms``, also while resting.

        Raises
        ------
        HomeostatError
            If the client cannot go on, for example because another one has taken its identity.
        """
        found: list[Message] = []
        size, wait = 0, seconds
        while len(found) < MOST_MESSAGES and size < MOST_BYTES:
            got = self._consumer.consume(AT_ONCE, wait)
            for received in got:
                error = received.error()
                if error is None:
                    found.append(_message(received))
                    size += len(found[-1].value or b"")
                else:
                    self._failed(error)
            if len(got) < AT_ONCE:
                break
            wait = 0.0
        if self._fatal:
            raise HomeostatError(f"the Kafka client cannot go on: {self._fatal}")
        if found:
            self._well()
        self._look()
        return self.mine(found)

    def mine(self, messages: Iterable[Message]) -> list[Message]:
        """Return the messages of partitions that this member still reads."""
        return [message for message in messages if message.part in self._committed]

    def done(self, messages: Sequence[Message]) -> None:
        """Commit: these messages, and those before them, are not read again by the group.

        What cannot be committed is tried again at the next call, also at one without messages.
        """
        for message in messages:
            if message.part in self._committed:
                end = self._owed.get(message.part, 0)
                self._owed[message.part] = max(end, message.offset + 1)
        if not self._owed:
            return
        partition = self._library.TopicPartition
        wanted = [partition(*part, end) for part, end in self._owed.items()]
        try:
            answered = self._consumer.commit(offsets=wanted, asynchronous=False)
            problems = [one.error for one in answered if one.error is not None]
        except self._library.KafkaException as error:
            problems = [error.args[0]]
        if problems:
            self.failed_commits += 1
            self._failed(problems[0])
            return
        self._well()
        self._committed.update(self._owed)
        self._owed.clear()
        self._look()

    def rest(self) -> None:
        """Take nothing more until `resume`; `take` must still be called."""
        if not self._resting:
            self._resting = True
            self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        """Take messages again."""
        if self._resting:
            self._resting = False
            self._consumer.resume(self._consumer.assignment())

    def close(self) -> None:
        """Leave the group at once, so that others read this member's partitions."""
        self._consumer.close()

    def _given(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            known = consumer.committed(partitions, timeout=LOOK_SECONDS)
            ends = {(one.topic, one.partition): one.offset for one in known}
        except self._library.KafkaException as error:
            logger.warning("the committed offsets cannot be read: %s", error)
            ends = {}
        for one in partitions:
            part = one.topic, one.partition
            self._committed[part] = max(ends.get(part, -1), -1)
        consumer.assign(partitions)
        if self._resting:
            consumer.pause(partitions)
        self._well()
        logger.info("reads %s", _listed(self._committed))

    def _taken(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            for known in (self._committed, self._owed, self.lag):
                known.pop((one.topic, one.partition), None)
        consumer.unassign()
        logger.info("no longer reads %s", _listed((p.topic, p.partition) for p in partitions))

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error.str()
        self.problem = error.str()
        if error.code() not in self._said:
            self._said.add(error.code())
            logger.warning("Kafka: %s", self.problem)

    def _well(self) -> None:
        if self.problem:
            self.problem = ""
            self._said.clear()
            logger.info("Kafka is well again")

    def _told(self, statistics: str) -> None:
        brokers = orjson.loads(statistics)["brokers"].values()
        if any(broker["state"] == "UP" and broker["nodeid"] >= 0 for broker in brokers):
            self._well()

    def _look(self) -> None:
        """Bring `lag` up to date, as far as the last answers of the brokers tell."""
        for part, end in self._committed.items():
            where = self._library.TopicPartition(*part)
            low, high = self._consumer.get_watermark_offsets(where, cached=True)
            if high >= 0 and (end >= 0 or not self._skips):
                self.lag[part] = max(high - max(end, low), 0)


def _message(received: Received) -> Message:
    kind, milliseconds = received.timestamp()
    at = EPOCH + timedelta(milliseconds=milliseconds) if kind and milliseconds > 0 else None
    headers: dict[str, str] = {}
    pairs = received.headers() or ()
    for name, value in pairs.items() if isinstance(pairs, dict) else pairs:
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        headers[name.lower()] = text or ""
    topic, partition, offset = received.topic(), received.partition(), received.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Message(topic, partition, offset, at, received.value(), headers)


def _listed(parts: Iterable[Part]) -> str:
    return ", ".join(f"{topic}/{partition}" for topic, partition in sorted(parts)) or "nothing"
