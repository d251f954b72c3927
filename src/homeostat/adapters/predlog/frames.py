"""The landing format: a segment is a run of frames, each an Arrow IPC stream with a checksum.

A frame is a header (``<4sBHII``: magic ``HSF1``, kind, bytes of the model's name, bytes of the
payload, CRC-32 of name and payload), the model's name in UTF-8, and the payload. A last frame that
is cut short was never acknowledged. Any other bytes that are no frame are damage, and acknowledged
rows may be among them: reading goes on at the next whole frame.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pyarrow as pa

MAGIC = b"HSF1"
HEADER = struct.Struct("<4sBHII")
SEEN = 4 * 2**20
"""Bytes of a segment that are read before those before them are let go of."""
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"

logger = logging.getLogger(__name__)


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


def pack(kind: Kind, model: str, rows: pa.Table) -> bytearray:
    """Return the bytes of a frame."""
    counter, name = pa.MockOutputStream(), model.encode()
    _write(counter, rows)
    start = HEADER.size + len(name)
    frame = bytearray(start + counter.size())
    frame[HEADER.size : start] = name
    # Written where it belongs: the rows are copied once.
    _write(pa.FixedSizeBufferWriter(pa.py_buffer(memoryview(frame)[start:])), rows)
    checksum = zlib.crc32(memoryview(frame)[HEADER.size :])
    HEADER.pack_into(frame, 0, MAGIC, kind, len(name), counter.size(), checksum)
    return frame


def _write(sink: pa.NativeFile, rows: pa.Table) -> None:
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)


def scan(path: Path, start: int, stop: int | None = None) -> Iterator[Frame]:
    """Yield the whole frames of a segment from offset `start` on, up to `stop`; raises OSError.

    Damaged bytes before a whole frame are skipped with a warning.
    """
    if stop is not None and stop <= start:
        return
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= start:
            return
        # Mapped, not read: rows of frames that nobody looks at cost no memory.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = memoryview(mapped)[start:stop]
    last = seen = 0
    for at, end in _spans(data):
        if at - seen >= SEEN:
            # Nor do those that were looked at: they come back from the file if they are again.
            mapped.madvise(mmap.MADV_DONTNEED, 0, start + at)
            seen = at
        if at > last:
            message = "segment %s is damaged: bytes %d to %d are skipped, rows may be lost"
            logger.warning(message, path, start + last, start + at)
        last = end
        _, kind, name, _, _ = HEADER.unpack_from(data, at)
        body = data[at + HEADER.size : end]
        with pa.ipc.open_stream(pa.py_buffer(body[name:])) as reader:
            rows = reader.read_all()
        yield Frame(Kind(kind), bytes(body[:name]).decode(), rows, start + end)
    mapped.madvise(mmap.MADV_DONTNEED)


def damaged_at(path: Path) -> int | None:
    """Return where the first damage of a finished segment begins, if any; raises OSError.

    A last frame of which bytes are missing is what a crash leaves behind, not damage.
    """
    data = memoryview(path.read_bytes())
    last = 0
    for at, end in _spans(data):
        if at > last:
            return last
        last = end
    return None if _torn(data[last:]) else last


def _spans(data: memoryview) -> Iterator[tuple[int, int]]:
    """Yield where each whole frame begins and ends."""
    at = 0
    while at >= 0:
        end = _end(data, at)
        if end is None:
            at = _next(data, at + 1)
        else:
            yield at, end
            at = end


def _next(data: memoryview, at: int) -> int:
    """Return where the next frame may begin, or -1."""
    found = bytes(data[at:]).find(MAGIC)
    return found if found < 0 else at + found


def _end(data: memoryview, at: int) -> int | None:
    """Return the end of the frame that begins at an offset; None if no whole frame does."""
    if len(data) - at < HEADER.size:
        return None
    magic, kind, name, payload, checksum = HEADER.unpack_from(data, at)
    begin = at + HEADER.size
    end = begin + name + payload
    if magic != MAGIC or kind not in tuple(Kind) or end > len(data):
        return None
    return end if zlib.crc32(data[begin:end]) == checksum else None


def _torn(tail: memoryview) -> bool:
    """Whether what follows the last whole frame is nothing or the beginning of a frame."""
    rest = bytes(tail)
    if len(rest) < HEADER.size:
        return rest[: len(MAGIC)] == MAGIC[: len(rest)]
    magic, kind, name, payload, _ = HEADER.unpack_from(rest)
    short = HEADER.size + name + payload > len(rest)
    # A frame that is too short but has its end is a whole one whose length is wrong.
    return magic == MAGIC and kind in tuple(Kind) and short and not rest.endswith(END_OF_STREAM)
