"""The landing format: a segment is a run of frames, each an Arrow IPC stream with a checksum.

A frame is a header (``<4sBHII``: magic ``HSF1``, kind, bytes of the model's name, bytes of the
payload, CRC-32 of name and payload), the model's name in UTF-8, and the payload. A frame that is
cut short, or whose checksum is wrong, was never acknowledged: reading stops before it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pyarrow as pa

MAGIC = b"HSF1"
HEADER = struct.Struct("<4sBHII")


class Kind(IntEnum):
    """What a frame's rows are."""

    PREDICTIONS = 1
    LABELS = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One append. ``end`` is the offset in its segment of the byte after it."""

    kind: Kind
    model: str
    rows: pa.Table
    end: int


def pack(kind: Kind, model: str, rows: pa.Table) -> bytes:
    """Return the bytes of a frame."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    body = model.encode() + sink.getvalue().to_pybytes()
    name = len(model.encode())
    return HEADER.pack(MAGIC, kind, name, len(body) - name, zlib.crc32(body)) + body


def scan(path: Path, start: int, stop: int | None = None) -> Iterator[Frame]:
    """Yield the whole frames of a segment from offset `start` on, up to `stop`; raises OSError."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read() if stop is None else file.read(max(stop - start, 0))
    at = 0
    while len(data) - at >= HEADER.size:
        magic, kind, name, payload, checksum = HEADER.unpack_from(data, at)
        begin = at + HEADER.size
        at = begin + name + payload
        body = data[begin:at]
        if magic != MAGIC or len(body) < name + payload or zlib.crc32(body) != checksum:
            return
        with pa.ipc.open_stream(pa.py_buffer(body[name:])) as reader:
            rows = reader.read_all()
        yield Frame(Kind(kind), body[:name].decode(), rows, start + at)
