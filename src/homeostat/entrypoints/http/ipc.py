"""How much memory an Arrow IPC stream takes, found before it is taken.

A message is FlatBuffers metadata (``Message.fbs`` of the Arrow format) and a body of buffers. Only
the metadata, and the first eight bytes of compressed buffers, are looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

HEADER, DICTIONARY, BATCH = 2, 2, 3
DATA, NODES, BUFFERS, COMPRESSION = 1, 1, 2, 3
PLAIN = -1
"""Length that a buffer gives which is not compressed after all."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a stream says of itself.

    Attributes
    ----------
    rows : int
    values : int
        Of all columns, those within others included.
    bytes : int
        Of all buffers, decompressed.
    """

    rows: int
    values: int
    bytes: int


def stream_size(body: bytes) -> Size:
    """Return the size of a stream that has been decompressed, without decompressing it.

    Raises
    ------
    pa.ArrowInvalid, OSError
        If it is no stream.

    Examples
    --------
    >>> table, sink = pa.table({"x": [0] * 10_000}), pa.BufferOutputStream()
    >>> zstd = pa.ipc.IpcWriteOptions(compression="zstd")
    >>> with pa.ipc.new_stream(sink, table.schema, options=zstd) as writer:
    ...     writer.write_table(table)
    >>> body = sink.getvalue().to_pybytes()
    >>> size = stream_size(body)
    >>> size.rows, size.bytes, len(body) < 1000
    (10000, 80000, True)
    """
    rows = values = held = 0
    for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
        try:
            found = _message_size(memoryview(message.metadata), message.body)
        except (struct.error, ValueError, OverflowError) as error:
            raise pa.ArrowInvalid(f"its metadata is damaged: {error}") from error
        rows += found.rows
        values += found.values
        held += found.bytes
    return Size(rows, values, held)


def _message_size(metadata: memoryview, body: pa.Buffer | None) -> Size:
    message = _Table(metadata, _offset(metadata, 0))
    kind = message.byte(1)
    if kind not in {DICTIONARY, BATCH}:
        return Size(0, 0, 0)
    header = message.table(HEADER)
    batch = header if kind == BATCH else header.table(DATA)
    rows = batch.long(0) if kind == BATCH else 0
    values = batch.pairs(NODES)[:, 0]
    buffers = batch.pairs(BUFFERS)
    if (values < 0).any() or (buffers < 0).any() or rows < 0:
        raise ValueError("a length is negative")
    sizes = buffers[:, 1]
    if body is not None and batch.has(COMPRESSION):
        sizes = np.array([_plain_size(memoryview(body), *pair) for pair in buffers.tolist()])
    # Lengths are any 64-bit numbers here: Python's do not overflow.
    return Size(rows, sum(values.tolist()), sum(sizes.tolist()))


def _plain_size(body: memoryview, offset: int, size: int) -> int:
    if size < 8:
        return size
    (told,) = struct.unpack_from("<q", body, offset)
    if told < PLAIN:
        raise ValueError("a length is negative")
    return size - 8 if told == PLAIN else int(told)


@dataclass(frozen=True, slots=True)
class _Table:
    """A FlatBuffers table: at its start lies how far before it its list of fields is."""

    data: memoryview
    start: int

    def _field(self, number: int) -> int:
        """Return where a field lies, 0 if it is not there."""
        (back,) = struct.unpack_from("<i", self.data, self.start)
        fields = self.start - back
        (size,) = struct.unpack_from("<H", self.data, fields)
        place = 4 + 2 * number
        if place + 2 > size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, fields + place)
        return self.start + int(offset) if offset else 0

    def has(self, number: int) -> bool:
        return self._field(number) != 0

    def byte(self, number: int) -> int:
        place = self._field(number)
        return self.data[place] if place else 0

    def long(self, number: int) -> int:
        place = self._field(number)
        return int(struct.unpack_from("<q", self.data, place)[0]) if place else 0

    def table(self, number: int) -> _Table:
        place = self._field(number)
        if not place:
            raise ValueError("a part is missing")
        return _Table(self.data, _offset(self.data, place))

    def pairs(self, number: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Return a vector of structs of two 64-bit numbers, shape (n, 2)."""
        place = self._field(number)
        if not place:
            return np.empty((0, 2), np.int64)
        at = _offset(self.data, place)
        (count,) = struct.unpack_from("<I", self.data, at)
        return np.frombuffer(self.data, "<i8", 2 * count, at + 4).reshape(count, 2)


def _offset(data: memoryview, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])
