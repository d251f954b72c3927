"""Kafka topics of predictions, labels and outcomes."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Flag, Name, Port, Variable, nearest, wrong

OURS = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "security.protocol",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "auto.offset.reset",
    }
)
SECRET = re.compile(r"^sasl\.|password|secret|pem$|jaas|token", re.IGNORECASE)


class RowKind(StrEnum):
    """What the rows of a topic are."""

    PREDICTIONS = "predictions"
    LABELS = "labels"
    OUTCOMES = "outcomes"


class Topic(Part):
    """One topic, and what its messages are."""

    topic: str = Field(min_length=1, max_length=249)
    """The topic's name."""
    model: Name
    """The model whose rows these are."""
    rows: RowKind
    """predictions, labels or outcomes."""
    format: Literal["json", "arrow"] = "json"
    """Of messages without a content-type header. json: a row, several lines of one row each, a list
    of rows, or what the HTTP API takes; arrow: an IPC stream."""


class Sasl(Part):
    """A user name and a password for the brokers, both from the environment."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""
    username_env: Variable
    """Environment variable that holds the user name."""
    password_env: Variable
    """Environment variable that holds the password."""


class Kafka(Part):
    """Topics that homeostat consume reads into the prediction log."""

    brokers: tuple[str, ...] = Field(min_length=1)
    """Some of the brokers, as host:port."""
    group: str = Field(default="homeostat", min_length=1)
    """Consumer group; processes of one group share the partitions."""
    topics: tuple[Topic, ...] = Field(min_length=1)
    """What is read."""
    tls: Flag = False
    """Encrypt the connections."""
    ca: str = ""
    """File with the authorities to trust (PEM), relative to this file; default: the system's."""
    sasl: Sasl | None = None
    """Credentials, if the brokers ask for them."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a group begins that has read nothing yet."""
    host: str = "127.0.0.1"
    """Address of health and metrics; others than loopback need a token."""
    port: Port = 8422
    """TCP port of health and metrics."""
    options: dict[str, Annotated[str | int | float | bool, Field(union_mode="smart")]] = Field(
        default_factory=dict
    )
    """Further settings of librdkafka, such as client.rack; no secrets."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for number, broker in enumerate(self.brokers):
            if not re.fullmatch(r"[^\s,/@]+:\d{1,5}", broker):
                raise wrong("is not host:port", "write it like kafka-1:9092", "brokers", number)
        seen: dict[str, int] = {}
        for number, topic in enumerate(self.topics):
            if topic.topic in seen:
                problem = f"{topic.topic!r} stands at topics.{seen[topic.topic]}, too"
                remedy = "give rows of each kind and model a topic of their own"
                raise wrong(problem, remedy, "topics", number, "topic")
            seen[topic.topic] = number
        for name in self.options:
            if name in OURS:
                remedy = "use the settings of kafka itself"
                raise wrong("is not free to be chosen here", remedy, "options", name)
            if SECRET.search(name):
                remedy = "name environment variables in kafka.sasl"
                raise wrong("may hold a secret", remedy, "options", name)
        if self.ca and not self.tls:
            raise wrong("needs tls: true", "add it, or remove ca", "ca")
        return self


def check_topics(kafka: Kafka | None, models: Collection[str]) -> None:
    """Raise PydanticCustomError if a topic is of a model that is not there."""
    for number, topic in enumerate(kafka.topics if kafka else ()):
        if topic.model not in models:
            problem, remedy = f"no model is named {topic.model!r}", nearest(topic.model, models)
            raise wrong(problem, remedy, "kafka", "topics", number, "model")
