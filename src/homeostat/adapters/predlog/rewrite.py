"""Writing a file of the log again, with fewer columns or rows."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.place import Source

BUFFER = 2**16
"""Bytes of a column that are read from a disk at a time."""


def groups(
    store: FileStore,
    file: FileEntry,
    names: Sequence[str] | None = None,
    source: Source | None = None,
) -> Iterator[pa.Table]:
    """Yield a file's rows, a row group at a time; checksums of its pages are compared.

    They are read from `source`, if a copy of the file is at hand.

    Raises
    ------
    StorageError
        If the file is damaged or gone.
    """
    with opened(store, file, source) as found:
        for number in range(found.num_row_groups):
            yield found.read_row_group(number, None if names is None else list(names))


def batches(store: FileStore, file: FileEntry, rows: int) -> Iterator[pa.Table]:
    """Yield a file's rows, so many at a time, of which no more is in memory; raises as `groups`."""
    with opened(store, file) as found:
        for number in range(found.num_row_groups):
            left = found.metadata.row_group(number).num_rows
            # Without threads: this goes on beside what somebody waits for.
            for batch in found.iter_batches(rows, row_groups=[number], use_threads=False):
                left -= len(batch)
                yield pa.Table.from_batches([batch])
            if left:  # checksums leave the heads of pages out
                raise pa.ArrowInvalid("rows are missing: the head of a page is damaged")


@contextlib.contextmanager
def opened(
    store: FileStore, file: FileEntry, source: Source | None = None
) -> Iterator[pq.ParquetFile]:
    """Open a file, or a copy of it, whose pages' checksums are compared; raises as `groups`."""
    if source is None:
        store.spans(file)  # which compares the footer
    try:
        where = source or store.place.open(file.path)
        away = not isinstance(where, Path)
        with pq.ParquetFile(
            where,
            page_checksum_verification=True,
            pre_buffer=away,
            buffer_size=0 if away else BUFFER,
        ) as found:
            yield found
    except (OSError, pa.ArrowException) as error:
        raise store.unreadable(file, error) from error


def without_rows(
    store: FileStore, file: FileEntry, wrong: Callable[[pa.Table], NDArray[np.bool_]]
) -> FileEntry | None:
    """Write a file without some of its rows; return the new one, None if no row is left.

    Parameters
    ----------
    store : FileStore
    file : FileEntry
    wrong : callable
        Says of each row of a table whether it is left out.

    Raises
    ------
    OSError, StorageError
        If the disk failed, or the file is damaged.
    """
    kept = (table.filter(pa.array(~wrong(table))) for table in groups(store, file))
    return write_again(store, file, kept)


def write_again(store: FileStore, file: FileEntry, pieces: Iterator[pa.Table]) -> FileEntry | None:
    """Write a file that takes the place of another, None if no row is left; raises OSError."""
    filled = (table for table in pieces if len(table))
    first = next(filled, None)
    if first is None:
        return None
    name = secrets.token_hex(8)
    return store.write(file.kind, file.model, file.day, name, chain([first], filled))
