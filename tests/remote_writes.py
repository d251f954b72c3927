"""A server that takes remote write and refuses what the protocol forbids."""

from __future__ import annotations

import math
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

STALE = 0x7FF0000000000002
WANTED = {
    "content-type": "application/x-protobuf",
    "content-encoding": "snappy",
    "x-prometheus-remote-write-version": "0.1.0",
}
Series = dict[tuple[tuple[str, str], ...], list[tuple[int, float | None]]]


def _message() -> Any:
    """Return prometheus.WriteRequest as its own .proto has it (remote.proto and types.proto)."""
    field_of = descriptor_pb2.FieldDescriptorProto
    text, number, whole, part = (
        field_of.TYPE_STRING, field_of.TYPE_DOUBLE, field_of.TYPE_INT64, field_of.TYPE_MESSAGE,
    )  # fmt: skip
    shapes = {
        "Label": (("name", 1, text, ""), ("value", 2, text, "")),
        "Sample": (("value", 1, number, ""), ("timestamp", 2, whole, "")),
        "TimeSeries": (("labels", 1, part, "Label"), ("samples", 2, part, "Sample")),
        "WriteRequest": (("timeseries", 1, part, "TimeSeries"),),
    }
    file = descriptor_pb2.FileDescriptorProto(
        name="remote.proto", package="prometheus", syntax="proto3"
    )
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for label, place, kind, of in fields:
            many = field_of.LABEL_REPEATED if of else field_of.LABEL_OPTIONAL
            named = f".prometheus.{of}" if of else None
            message.field.add(name=label, number=place, type=kind, label=many, type_name=named)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


MESSAGE = _message()


@dataclass
class WriteServer:
    """Takes samples.

    Attributes
    ----------
    moods : list of int or str
        What the very next requests get: a status, ``drop`` (the connection) or ``later`` (429 with
        a Retry-After of 7 s).
    took : Series
        What it holds; None for a value says that the series has ended.
    faults : list of str
        What was wrong with requests, which got a 400.
    sizes : list of int
        Samples of each request that was taken.
    """

    moods: list[int | str] = field(default_factory=list)
    took: Series = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                mood = outer.moods.pop(0) if outer.moods else 204
                if mood == "drop":
                    self.close_connection = True
                    return
                fault = ""
                if mood == 204:
                    fault = outer.take({k.lower(): v for k, v in self.headers.items()}, body)
                    outer.faults += [fault] if fault else []
                self.send_response(400 if fault else 429 if mood == "later" else int(mood))
                if mood == "later":
                    self.send_header("Retry-After", "7")
                self.end_headers()
                self.wfile.write(fault.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/v1/write"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: dict[str, str], body: bytes) -> str:
        """Keep the samples; return what is wrong with them."""
        wrong = [key for key, value in WANTED.items() if headers.get(key) != value]
        if wrong:
            return f"headers: {wrong}"
        self.tokens.append(headers.get("authorization", ""))
        request = MESSAGE.FromString(_unpacked(body))
        for series in request.timeseries:
            labels = tuple((label.name, label.value) for label in series.labels)
            names = [name for name, _ in labels]
            if names != sorted(set(names)) or "__name__" not in names:
                return f"labels are not sorted, not unique or without a name: {labels}"
            if not all(name and value for name, value in labels):
                return f"an empty label: {labels}"
            held = self.took.setdefault(labels, [])
            for sample in series.samples:
                if held and held[-1][0] >= sample.timestamp:
                    return f"out of order: {labels}"
                held.append((sample.timestamp, _value(sample.value)))
        self.sizes.append(len(request.timeseries))
        return ""


def _value(value: float) -> float | None:
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return None if math.isnan(value) and bits == STALE else value


def _unpacked(body: bytes) -> bytes:
    """Return a snappy block unpacked; its size stands at its beginning as a varint."""
    size = shift = 0
    for byte in body:
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    unpacked: bytes = pa.decompress(body, size, codec="snappy", asbytes=True)
    return unpacked
