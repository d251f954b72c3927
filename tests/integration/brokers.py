"""Brokers for tests: those of librdkafka, which speak the real protocol on a real port.

They live in the process of the test and are reached from any other. They can be taken down and
brought up, which their Python wrapper does not offer: the library itself is asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

PRODUCER = 0
TEXT = 512


@cache
def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    for name, result, arguments in (
        ("conf_new", pointer, []),
        (
            "conf_set",
            number,
            [pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
        ),
        ("new", pointer, [number, pointer, ctypes.c_char_p, ctypes.c_size_t]),
        ("destroy", None, [pointer]),
        ("mock_cluster_new", pointer, [pointer, number]),
        ("mock_cluster_destroy", None, [pointer]),
        ("mock_cluster_bootstraps", ctypes.c_char_p, [pointer]),
        ("mock_topic_create", number, [pointer, ctypes.c_char_p, number, number]),
        ("mock_broker_set_down", number, [pointer, number]),
        ("mock_broker_set_up", number, [pointer, number]),
        ("mock_group_initial_rebalance_delay_ms", None, [pointer, number]),
    ):
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class Brokers:
    """A cluster of one broker.

    Attributes
    ----------
    address : str
        host:port.
    """

    def __init__(self) -> None:
        library = _library()
        said = ctypes.create_string_buffer(TEXT)
        conf = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(conf, b"log_level", b"2", said, TEXT)
        self._handle = library.rd_kafka_new(PRODUCER, conf, said, TEXT)
        assert self._handle, said.value
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 50)
        self.address = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self._producer = Producer({"bootstrap.servers": self.address, "log_level": 2})

    def topic(self, name: str, partitions: int = 1) -> None:
        assert not _library().rd_kafka_mock_topic_create(
            self._cluster, name.encode(), partitions, 1
        )

    def send(
        self,
        topic: str,
        *values: bytes | None,
        partition: int = 0,
        headers: Mapping[str, str] | None = None,
        at: int = 0,
    ) -> None:
        """Send messages, which are there on return; `at` is in milliseconds since 1970."""
        pairs: list[tuple[str, str | bytes | None]] = [
            (name, text) for name, text in (headers or {}).items()
        ]
        for value in values:
            self._producer.produce(topic, value, partition=partition, headers=pairs, timestamp=at)
        assert self._producer.flush(20) == 0

    def committed(self, group: str, topic: str, partitions: int = 1) -> list[int]:
        """Return the group's offsets; below zero where it has none."""
        asked = [TopicPartition(topic, number) for number in range(partitions)]
        reader = Consumer({"bootstrap.servers": self.address, "group.id": group, "log_level": 2})
        try:
            return [found.offset for found in reader.committed(asked, timeout=10)]
        finally:
            reader.close()

    def ends(self, topic: str, partitions: int = 1) -> list[int]:
        """Return the offsets that the next messages will have."""
        reader = Consumer({"bootstrap.servers": self.address, "group.id": "ends", "log_level": 2})
        try:
            return [
                reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
                for number in range(partitions)
            ]
        finally:
            reader.close()

    def go_away(self) -> None:
        _library().rd_kafka_mock_broker_set_down(self._cluster, 1)

    def come_back(self) -> None:
        _library().rd_kafka_mock_broker_set_up(self._cluster, 1)

    def close(self) -> None:
        self._producer.purge()
        self._producer.flush(1)
        _library().rd_kafka_mock_cluster_destroy(self._cluster)
        _library().rd_kafka_destroy(self._handle)
