"""The keys of a columnar file's rows, in a file beside it.

A header (``<4sIQQ4I``: magic ``HSK2``, CRC-32 of the rest of the header, number of rows, words of
the sieve, CRC-32 of each of the four parts that follow), the sieve (words of 64 bits, see
`sieve`), and then for all rows by ascending (key, detail): the keys and the details (64 bits each)
and where each row stands in its columnar file (32 bits). It is made from that file alone and can
be made anew. Files of older releases have no sieve: ``<4sIQ``, magic ``HSK1``, CRC-32 of the rest,
number of rows, and the other three parts.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.keys import Keys
from homeostat.adapters.predlog.sieve import put_in, words_for

MAGIC, OLD_MAGIC = b"HSK2", b"HSK1"
HEADER, OLD_HEADER = struct.Struct("<4sIQQ4I"), struct.Struct("<4sIQ")
SUFFIX = ".keys"
ROW_BYTES = 20
WIDTHS = 8, 8, 8, 4
"""Bytes of a word of the sieve, a key, a detail and a place."""
PIECE = 2**20


class KeyWriter:
    """Writes a key file of so many rows, a block at a time, in order; see `write_keys`."""

    def __init__(self, file: BinaryIO, rows: int) -> None:
        self._file, self._rows = file, rows
        self._sieve: Hashes = np.zeros(words_for(rows), np.uint64)
        self._ends = list(_starts(HEADER.size, len(self._sieve), rows))
        self._checksums = [0] * len(WIDTHS)

    def add(self, block: Keys) -> None:
        """Add keys that follow those so far; raises OSError."""
        put_in(self._sieve, block.keys)
        for number, part in enumerate((block.keys, block.details, block.rows), start=1):
            self._put(number, np.ascontiguousarray(part).data)

    def end(self) -> None:
        """Write what is known of all keys only; raises OSError."""
        self._put(0, self._sieve.data)
        rest = HEADER.pack(b"", 0, self._rows, len(self._sieve), *self._checksums)[8:]
        self._file.seek(0)
        self._file.write(MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest)

    def _put(self, number: int, data: memoryview) -> None:
        self._checksums[number] = zlib.crc32(data, self._checksums[number])
        self._file.seek(self._ends[number])
        self._ends[number] += self._file.write(data)


def write_keys(path: Path, blocks: Iterator[Keys] | Sequence[Keys], rows: int) -> None:
    """Write a key file of so many rows in blocks, in order, without syncing it; raises OSError."""
    with path.open("wb") as file:
        writer = KeyWriter(file, rows)
        for block in blocks:
            writer.add(block)
        writer.end()


def key_bytes(keys: Keys) -> int:
    """Return the bytes of keys in a key file, without its header."""
    return ROW_BYTES * len(keys) + (0 if keys.sieve is None else keys.sieve.nbytes)


def read_keys(path: Path, rows: int, *, check: bool = False) -> Keys:
    """Map the key file of so many rows; with `check` its checksums are compared.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no whole key file.
    """
    with path.open("rb") as file:
        found = _layout(file)
        if found.rows != rows:
            raise ValueError(f"is of {found.rows:,} rows, not of {rows:,}")
        if check:
            found.check(file)
        return found.mapped(file)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the parts of a key file begin, and the last one ends; and checksums of stretches."""

    rows: int
    edges: tuple[int, ...]
    checked: tuple[tuple[int, int, int], ...]

    def check(self, file: BinaryIO) -> None:
        """Compare checksums, reading a piece at a time: what is mapped counts as memory."""
        for start, end, expected in self.checked:
            file.seek(start)
            checksum, left = 0, end - start
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise ValueError("is cut short")
                checksum, left = zlib.crc32(piece, checksum), left - len(piece)
            if checksum != expected:
                raise ValueError("has another checksum than when it was written")

    def mapped(self, file: BinaryIO) -> Keys:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        words, at, details, places, end = self.edges
        sieve = np.frombuffer(mapped, np.uint64, (at - words) // WIDTHS[0], words)
        first = -(-at // mmap.PAGESIZE) * mmap.PAGESIZE

        def let_go() -> None:
            if first < end:
                mapped.madvise(mmap.MADV_DONTNEED, first)

        return Keys(
            np.frombuffer(mapped, np.uint64, self.rows, at),
            np.frombuffer(mapped, np.uint64, self.rows, details),
            np.frombuffer(mapped, np.uint32, self.rows, places),
            sieve if len(sieve) else None,
            let_go,
        )


def _layout(file: BinaryIO) -> _Layout:
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEADER.size)
    if len(head) < OLD_HEADER.size:
        raise ValueError("is cut short")
    if head.startswith(OLD_MAGIC):
        _, checksum, rows = OLD_HEADER.unpack_from(head)
        edges = tuple(_starts(OLD_HEADER.size, 0, rows))
        stretches, checksums = [(edges[0], edges[-1])], [checksum]
    elif head.startswith(MAGIC) and len(head) == HEADER.size:
        _, checksum, rows, words, *checksums = HEADER.unpack(head)
        if zlib.crc32(head[8:]) != checksum:
            raise ValueError("has a damaged header")
        edges = tuple(_starts(HEADER.size, words, rows))
        stretches = list(pairwise(edges))
    else:
        raise ValueError("is no whole key file")
    if size != edges[-1]:
        raise ValueError("is no whole key file")
    checked = tuple((*ends, told) for ends, told in zip(stretches, checksums, strict=True))
    return _Layout(rows, edges, checked)


def _starts(header: int, words: int, rows: int) -> Iterator[int]:
    """Return where the sieve, the keys, the details and the places begin, and the file ends."""
    sizes = (width * count for width, count in zip(WIDTHS, (words, *[rows] * 3), strict=True))
    return accumulate(sizes, initial=header)
