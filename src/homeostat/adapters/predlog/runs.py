"""Keys of a file that is being written, in order, of which only a block is in memory at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.keys import Keys, in_key_order

BLOCK = 2**18
"""About as many keys are held and sorted at a time."""
PARTS = 256
"""Ranges of the keys, by their first bits: hashes are spread evenly over them."""
FIRST_BITS = np.uint64(56)
RECORD = np.dtype([("key", "<u8"), ("detail", "<u8"), ("row", "<u4")])


@dataclass
class Runs:
    """Takes the keys of rows as they come, and gives them in order.

    What is more than a block is written to a file, by ranges of the keys, and read a few ranges at
    a time. It is gone once it is closed; who dies before leaves a ``.tmp`` to be swept.

    Parameters
    ----------
    path : Path
        Where that file goes.
    """

    path: Path
    rows: int = 0
    _held: list[NDArray[np.void]] = field(default_factory=list, init=False)
    _waiting: int = field(default=0, init=False)
    _file: BinaryIO | None = field(default=None, init=False)
    _starts: list[NDArray[np.int64]] = field(default_factory=list, init=False)

    def add(self, keys: Hashes, details: Hashes) -> None:
        """Add the rows that follow those so far; raises OSError."""
        made = np.empty(len(keys), RECORD)
        made["key"], made["detail"] = keys, details
        made["row"] = np.arange(self.rows, self.rows + len(keys), dtype=np.uint32)
        self.rows += len(keys)
        self._waiting += len(keys)
        self._held.append(made)
        if self._waiting > BLOCK:
            self._spill()

    def blocks(self) -> Iterator[Keys]:
        """Yield all keys by ascending (key, detail); raises OSError."""
        if self._file is None:
            yield _sorted(self._held)
            return
        if self._held:
            self._spill()
        rows = np.sum([np.diff(starts) for starts in self._starts], axis=0)
        first = taken = 0
        for part in range(PARTS):
            if taken and taken + rows[part] > BLOCK:
                yield _sorted([self._read(starts, first, part) for starts in self._starts])
                first, taken = part, 0
            taken += int(rows[part])
        yield _sorted([self._read(starts, first, PARTS) for starts in self._starts])

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()
            self.path.unlink(missing_ok=True)

    def _spill(self) -> None:
        if self._file is None:
            self._file = self.path.open("w+b")
        held = np.concatenate(self._held)
        self._held, self._waiting = [], 0
        parts = (held["key"] >> FIRST_BITS).astype(np.uint8)
        counts = np.bincount(parts, minlength=PARTS)
        at = self._file.seek(0, 2) // RECORD.itemsize
        self._starts.append(at + np.concatenate([[0], np.cumsum(counts)]))
        self._file.write(held[np.argsort(parts, kind="stable")].data)

    def _read(self, starts: NDArray[np.int64], first: int, last: int) -> NDArray[np.void]:
        assert self._file is not None
        self._file.seek(int(starts[first]) * RECORD.itemsize)
        count = int(starts[last] - starts[first])
        return np.frombuffer(self._file.read(count * RECORD.itemsize), RECORD)


def _sorted(held: list[NDArray[np.void]]) -> Keys:
    keys, details, rows = (
        np.concatenate([part[name] for part in held]) for name in ("key", "detail", "row")
    )
    return in_key_order(keys, details, rows)


@contextlib.contextmanager
def runs_in(path: Path) -> Iterator[Runs]:
    """Give runs whose file is deleted in the end."""
    made = Runs(path)
    try:
        yield made
    finally:
        made.close()
