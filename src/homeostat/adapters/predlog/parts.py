"""Rows of a window as they come from several files and landed tables, and their common order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.order import SORT
from homeostat.adapters.predlog.parquet import FileStore, align
from homeostat.domain.columns import micros

Places: TypeAlias = "list[NDArray[np.intp]]"

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
        The columns that were asked for, with the timestamp unless the source is a file whose times
        lie apart from those of all other parts.
    rows : ndarray of int
        Where each row stands in the source, ascending.
    first, last : int
        Bounds of the rows' times, in microseconds.
    """

    source: FileEntry | pa.Table
    table: pa.Table
    rows: NDArray[np.intp]
    first: int
    last: int


def find(
    source: FileEntry | pa.Table,
    table: pa.Table,
    start: int,
    end: int,
    schema: pa.Schema,
    rows: NDArray[np.intp],
) -> Part | None:
    """Return the rows of `table` whose timestamp is in [start, end), in columns of `schema`."""
    times = micros(table, "timestamp")
    inside = (times >= start) & (times < end)
    if not inside.all():
        table, rows, times = table.filter(pa.array(inside)), rows[inside], times[inside]
    if not times.size:
        return None
    return Part(source, align(table, schema), rows, int(times.min()), int(times.max()))


def apart(files: Sequence[FileEntry], start: int, end: int) -> list[FileEntry]:
    """Return the files that lie in [start, end) and share no time with other ones.

    Where their rows belong is known without their times.
    """
    found = list[FileEntry]()
    last, ordered = start - 1, sorted(files, key=attrgetter("first"))
    for number, file in enumerate(ordered):
        following = ordered[number + 1].first if number + 1 < len(ordered) else end
        if last < file.first and file.last < min(following, end):
            found.append(file)
        last = max(last, file.last)
    return found


def put_in_order(store: FileStore, parts: Sequence[Part]) -> tuple[list[pa.Table], Places]:
    """Return the rows of all parts by timestamp, prediction_id and version.

    Parameters
    ----------
    store : FileStore
    parts : sequence of Part
        By their first times.

    Returns
    -------
    tables : list of pyarrow.Table
        In order.
    places : list of ndarray of int
        For some parts at a time, in turn: which place each of their rows has in the tables.

    Raises
    ------
    StorageError
        If a file is damaged or gone.
    """
    tables, places, at = list[pa.Table](), list[NDArray[np.intp]](), 0
    for group in _overlapping(parts):
        table = pa.concat_tables([part.table for part in group])
        place = np.arange(at, at + len(table))
        if len(group) > 1 or not isinstance(group[0].source, FileEntry):
            order = in_turn(store, group)
            table = taken(table, order)
            place[order] = np.arange(at, at + len(table))
        tables.append(table)
        places.append(place)
        at += len(table)
    return tables, places


def _overlapping(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield parts together that have times in common."""
    group: list[Part] = []
    last = 0
    for part in parts:
        if group and part.first > last:
            yield group
            group = []
        last = max(last, part.last) if group else part.last
        group.append(part)
    if group:
        yield group


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
