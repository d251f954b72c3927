"""Rows of a window as they come from several files and landed tables, and their common order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import SORT, FileStore, align
from homeostat.domain.columns import micros

STRETCH = 4096
"""Rows that follow each other from which they are not copied."""
ORDER = [name for name, _ in SORT[Kind.PREDICTIONS]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one file or landed table that lie in a window.

    Attributes
    ----------
    source : FileEntry or pyarrow.Table
    table : pyarrow.Table
        The columns that were asked for, with the timestamp.
    rows : ndarray of int
        Where each row stands in the source, ascending.
    """

    source: FileEntry | pa.Table
    table: pa.Table
    rows: NDArray[np.intp]


def find(
    source: FileEntry | pa.Table,
    table: pa.Table,
    start: int,
    end: int,
    schema: pa.Schema,
    rows: NDArray[np.intp],
) -> Part:
    """Return the rows of `table` whose timestamp is in [start, end), in columns of `schema`."""
    times = micros(table, "timestamp")
    inside = (times >= start) & (times < end)
    if not inside.all():
        table, rows = table.filter(pa.array(inside)), rows[inside]
    return Part(source, align(table, schema), rows)


def in_turn(store: FileStore, parts: Sequence[Part]) -> NDArray[np.intp]:
    """Return the places of all parts' rows by timestamp, prediction_id and version.

    A file's rows are in this order; so the ids are read only where rows of several files, or
    landed ones, are of one microsecond.

    Raises
    ------
    StorageError
        If a file is damaged or gone.
    """
    times = np.concatenate([micros(part.table, "timestamp") for part in parts])
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    same = np.diff(ordered) == 0
    if same.any():
        owners = np.concatenate([_owners(number, part) for number, part in enumerate(parts)])
        unclear = same & (np.diff(owners[order]) != 0)
        if unclear.any():
            tied = np.isin(ordered, ordered[1:][unclear])
            rows = np.sort(order[tied])
            first, last = int(ordered[tied][0]), int(ordered[tied][-1])
            names = pa.concat_tables(_identities(store, parts, rows, first, last + 1))
            order[tied] = rows[np.asarray(pc.sort_indices(names, SORT[Kind.PREDICTIONS]))]
    return order


def taken(table: pa.Table, order: NDArray[np.intp]) -> pa.Table:
    """Return rows in the order given; long stretches that follow each other are not copied.

    Examples
    --------
    >>> taken(pa.table({"n": [3, 4, 5]}), np.array([1, 2, 0])).column("n").to_pylist()
    [4, 5, 3]
    """
    ends = np.append(np.flatnonzero(np.diff(order) != 1) + 1, len(order))
    begins = np.append(0, ends[:-1])
    long = ends - begins >= STRETCH
    pieces: list[pa.Table] = []
    at = 0
    for begin, end in zip(begins[long].tolist(), ends[long].tolist(), strict=True):
        if at < begin:
            pieces.append(_copied(table, order[at:begin]))
        pieces.append(table.slice(order[begin], end - begin))
        at = end
    return pa.concat_tables([*pieces, _copied(table, order[at:])])


def _copied(table: pa.Table, order: NDArray[np.intp]) -> pa.Table:
    if not order.size:
        return table.slice(0, 0)
    first, last = int(order.min()), int(order.max())
    # Taking from chunks is slow.
    return table.slice(first, last + 1 - first).combine_chunks().take(order - first)


def _owners(number: int, part: Part) -> NDArray[np.intp]:
    """Return a number for each row: rows of one number are in order already."""
    if isinstance(part.source, FileEntry):
        return np.full(len(part.rows), number)
    # Landed rows are in no order.
    return -1 - np.arange(len(part.rows))


def _identities(
    store: FileStore, parts: Sequence[Part], rows: NDArray[np.intp], start: int, end: int
) -> list[pa.Table]:
    """Return the fields of `ORDER` of rows of all parts, whose times are in [start, end)."""
    found: list[pa.Table] = []
    at = 0
    for part in parts:
        mine = rows[(rows >= at) & (rows < at + len(part.rows))] - at
        at += len(part.rows)
        if not mine.size:
            continue
        wanted = part.rows[mine]
        if isinstance(part.source, FileEntry):
            table = store.read(part.source, ORDER, start, end)
            wanted = np.searchsorted(store.places(part.source, start, end), wanted)
        else:
            table = part.source
        found.append(table.select(ORDER).take(wanted))
    return found
