"""Writing a file of the log again, with fewer columns or rows."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.place import Source


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
    if source is None:
        store.spans(file)  # which compares the footer
    try:
        opened = pq.ParquetFile(
            source or store.place.open(file.path), page_checksum_verification=True
        )
        with opened:
            for number in range(opened.num_row_groups):
                yield opened.read_row_group(number, None if names is None else list(names))
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
