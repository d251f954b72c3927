"""Where a job over many rows runs: the port that Spark, Dask and this process implement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import pyarrow as pa

from homeostat.adapters.datasets.dataset import open_dataset, open_one
from homeostat.adapters.profilers.parts import Cell, Part, add, decode, encode
from homeostat.adapters.profilers.worker import Work, worked
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind

if TYPE_CHECKING:  # files need no database
    from homeostat.adapters.predlog.shares import LoggedRows

Found: TypeAlias = "dict[Cell, Part]"
Packed: TypeAlias = "list[tuple[Cell, bytes]]"
"""Parts as they travel."""


class Engine(Protocol):
    """Runs work on rows where they are; what comes back does not depend on which engine it is."""

    def files(self, location: str, columns: Mapping[str, ColumnKind], work: Work) -> Found:
        """Work on columns of files.

        Parameters
        ----------
        location : str
            A file, a folder with all below it, or an address of either.
        columns : mapping of str to ColumnKind
            The columns that the work reads, and as what.
        work : Work

        Raises
        ------
        NotFoundError
            If there is nothing at the location.
        DataError
            If a column is absent, or rows cannot be used.
        UserError
            If the engine is not installed or fails.
        """
        ...

    def logged(self, rows: LoggedRows, work: Work) -> Found:
        """Work on rows of a prediction log; raises as `files`, and StorageError."""
        ...


class Piece(Protocol):
    """Rows that one task reads; it can be sent to another process."""

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows."""
        ...


@dataclass(frozen=True, slots=True)
class FilePiece:
    """One of the files at a location, in columns of the types that all have together."""

    location: str
    number: int
    schema: pa.Schema

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, some at a time."""
        yield from open_one(self.location, self.number, self.schema).batches()


@dataclass(frozen=True, slots=True)
class Task:
    """What becomes of one piece."""

    work: Work

    def __call__(self, piece: Piece) -> Packed:
        """Return the piece's parts."""
        try:
            return merged([_packed(held) for held in worked(piece.tables(), self.work)])
        except ValueError as error:
            raise DataError(str(error)) from error


def merged(several: Sequence[Packed]) -> Packed:
    """Return one part for each cell among those of several tasks."""
    if len(several) == 1:
        return several[0]
    found: Found = {}
    for packed in several:
        for cell, data in packed:
            part = decode(data)
            found[cell] = add(found[cell], part) if cell in found else part
    return _packed(found)


def _packed(found: Found) -> Packed:
    return [(cell, encode(found[cell])) for cell in sorted(found)]


Spread: TypeAlias = "Callable[[Task, Sequence[Piece]], Packed]"
"""Calls the task on each piece and merges what comes back."""


def in_turn(task: Task, pieces: Sequence[Piece]) -> Packed:
    """Spread nothing: one piece after another, in this process."""
    found: Packed = []
    for piece in pieces:
        found = merged([found, task(piece)])
    return found


@dataclass(frozen=True, slots=True)
class Pool:
    """An engine whose tasks read whole files: of this process, or of what `spread` spreads over."""

    spread: Spread = in_turn

    def files(self, location: str, columns: Mapping[str, ColumnKind], work: Work) -> Found:
        """Work on columns of files; see `Engine`."""
        whole = open_dataset(location)
        absent = [name for name in columns if name not in whole.names]
        if absent:
            raise DataError(f"{location} has no column {absent[0]!r}; check the names")
        schema = pa.schema([whole.schema.field(name) for name in columns])
        return self._run([FilePiece(location, n, schema) for n in range(whole.files)], work)

    def logged(self, rows: LoggedRows, work: Work) -> Found:
        """Work on rows of a prediction log; see `Engine`."""
        return self._run(list(rows.shares()), work)

    def _run(self, pieces: Sequence[Piece], work: Work) -> Found:
        packed = self.spread(Task(work), pieces) if pieces else []
        return {cell: decode(data) for cell, data in packed}
