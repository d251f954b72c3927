"""Rows of several files by time, of which a few batches are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.heap import give_back
from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.order import in_order
from homeostat.adapters.predlog.parquet import ROW_GROUP, TIME_FIELD, FileStore, align
from homeostat.adapters.predlog.rewrite import batches
from homeostat.domain.columns import micros

BATCH = 2**12
"""Rows of a file that are read at a time."""
LAST = 2**63 - 1


class _Source:
    """A file that is read in order of time.

    ``bound`` is a time that no row lies before that is not read yet.
    """

    def __init__(self, store: FileStore, file: FileEntry, schema: pa.Schema) -> None:
        self.bound = file.first
        self._time, self._schema = TIME_FIELD[file.kind], schema
        self._left = batches(store, file, BATCH)
        self._held = schema.empty_table()
        self._times: NDArray[np.int64] = np.empty(0, np.int64)

    @property
    def empty(self) -> bool:
        return self.bound == LAST and not len(self._held)

    def read(self) -> None:
        """Read the next batch."""
        batch = next(self._left, None)
        if batch is None:
            self.bound = LAST
            return
        part = align(batch.replace_schema_metadata(self._schema.metadata), self._schema)
        self._held = pa.concat_tables([self._held, part])
        self._times = np.concatenate([self._times, micros(part, self._time)])
        self.bound = int(self._times[-1])

    def before(self, time: int) -> pa.Table:
        """Take the rows before a time; all of them if it is `LAST`."""
        rows = len(self._times) if time == LAST else int(np.searchsorted(self._times, time))
        taken, self._held = self._held.slice(0, rows), self._held.slice(rows)
        self._times = self._times[rows:]
        return taken


def merged(store: FileStore, files: Sequence[FileEntry]) -> Iterator[pa.Table]:
    """Yield the rows of files of one schema by time, a row group at a time.

    Raises
    ------
    StorageError
        If a file is damaged or gone.
    """
    return _groups(_by_time(store, files))


def _by_time(store: FileStore, files: Sequence[FileEntry]) -> Iterator[pa.Table]:
    schema = store.schema(files[0])
    sources = [_Source(store, file, schema) for file in files]
    while sources:
        behind = min(sources, key=lambda source: source.bound)
        edge = behind.bound
        # What is before the edge is all there: rows of one time are never apart.
        found = [part for source in sources if len(part := source.before(edge))]
        if found:
            yield in_order(pa.concat_tables(found), files[0].kind)
        if edge < LAST:
            behind.read()
        sources = [source for source in sources if not source.empty]


def _groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    held, rows = list[pa.Table](), 0
    for piece in pieces:
        held.append(piece)
        rows += len(piece)
        while rows >= ROW_GROUP:
            table = pa.concat_tables(held)
            yield table.slice(0, ROW_GROUP)
            held, rows = [table.slice(ROW_GROUP)], rows - ROW_GROUP
            del table
            give_back()
    if rows:
        yield pa.concat_tables(held)
