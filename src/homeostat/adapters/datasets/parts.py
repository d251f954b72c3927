"""What the files of a data set have in common: columns, and rows in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

from homeostat.adapters.datasets.places import Place
from homeostat.domain.errors import DataError
from homeostat.profiles.numbers import PIECE

Column: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"

CHUNK_ROWS = PIECE - 1
"""Most rows of a chunk."""
CHUNK_BYTES = 16 << 20
"""About the most bytes of a chunk, where that can be told beforehand."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some columns of consecutive rows of a file, from row `start` to before row `end`."""

    start: int
    end: int
    table: pa.Table


@dataclass(frozen=True, slots=True)
class Job:
    """Work that can be done beside other work: chunks to read, all of the same columns.

    Attributes
    ----------
    read : callable
        Reads them, one at a time.
    share : float
        Of the file's bytes, about.
    """

    read: Callable[[], Iterator[Chunk]]
    share: float


class MixedTypesError(DataError):
    """A value does not fit the type that its column had so far."""


class Part(Protocol):
    """One file of a data set."""

    @property
    def place(self) -> Place:
        """Where it lies."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        ...

    @property
    def rows(self) -> int | None:
        """How many rows it has; None if only reading it all could tell."""
        ...

    @property
    def guessed(self) -> bool:
        """Whether the types of the columns are a guess from what was read first."""
        ...

    def as_text(self) -> Part:
        """Return the same file with text columns, if their types are a guess."""
        ...

    def jobs(self, columns: Sequence[str]) -> Iterator[Job]:
        """Divide the reading of columns up; each row is in exactly one job for each column.

        Raises
        ------
        MixedTypesError
            If a value does not fit the type that its column had so far.
        DataError
            If the file cannot be read.
        """
        ...

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Read front to back, at most `rows` rows at a time; errors as `jobs`."""
        ...


def slices(table: pa.Table, start: int, share: float) -> Iterator[Job]:
    """Divide a table that is in memory already into jobs."""
    width = max(1, CHUNK_ROWS // max(1, table.num_rows))
    names = table.column_names
    groups = max(1, -(-len(names) // width))
    for first in range(0, max(1, len(names)), width):
        some = table.select(names[first : first + width])
        yield Job(_reading(some, start), share / groups)


def _reading(table: pa.Table, start: int) -> Callable[[], Iterator[Chunk]]:
    def read() -> Iterator[Chunk]:
        for at in range(0, max(1, table.num_rows), CHUNK_ROWS):
            end = min(at + CHUNK_ROWS, table.num_rows)
            yield Chunk(start + at, start + end, table.slice(at, CHUNK_ROWS))

    return read
