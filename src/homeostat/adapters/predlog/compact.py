"""Merging small files of a day into few large ones, a bounded piece at a time."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.layout import Span
from homeostat.adapters.predlog.parquet import (
    ROW_GROUP,
    TIME_FIELD,
    FileStore,
    align,
    in_order,
)
from homeostat.adapters.predlog.state import RECENT, UNKNOWN
from homeostat.domain.columns import micros

FAN = 8
"""Files of about one size that are worth merging."""
LARGEST = 4_000_000
"""Rows of a file that is not merged any more."""
SLICE = ROW_GROUP
"""About as many rows are held in memory at a time, twice while they are put in order."""


def choose(
    files: Mapping[str, Sequence[FileEntry]], *, closed: str, eager: bool = False
) -> list[list[FileEntry]]:
    """Return the files to be merged with each other.

    Parameters
    ----------
    files : mapping of str to FileEntries
        The files of one kind and model by day.
    closed : str
        Days before this one grow no more, as a rule.
    eager : bool
        Merge whatever can be merged.

    Examples
    --------
    >>> from homeostat.adapters.predlog.frames import Kind
    >>> def file(rows: int) -> FileEntry:
    ...     return FileEntry(Kind.PREDICTIONS, "m", "2024-01-01", f"{rows}", rows, 1, 0, 0)
    >>> today = {"2024-01-01": [file(rows) for rows in (900_000, 1, 2, 3)]}
    >>> choose(today, closed="2024-01-01")
    []
    >>> [file.rows for file in choose(today, closed="2024-01-02")[0]]
    [1, 2, 3]
    """
    chosen: list[list[FileEntry]] = []
    for day, found in files.items():
        if day in {RECENT, UNKNOWN}:
            continue
        small = sorted((f for f in found if f.rows < LARGEST), key=lambda file: file.rows)
        least = 2 if eager or day < closed else FAN
        rest = small if eager else _alike(small, least)
        while len(group := _bounded(rest)) >= least:
            chosen.append(group)
            rest = rest[len(group) :]
    return chosen


def _bounded(files: Sequence[FileEntry]) -> list[FileEntry]:
    """Return the first files, two at least: the keys of a new file are sorted in memory."""
    group: list[FileEntry] = []
    total = 0
    for file in files:
        total += file.rows
        if len(group) >= 2 and total > LARGEST:
            break
        group.append(file)
    return group


def _alike(files: Sequence[FileEntry], least: int) -> list[FileEntry]:
    """Return the smallest files, as long as each is not far larger than those before together.

    So a row is written again a logarithmic number of times, also if few rows come late.
    """
    group: list[FileEntry] = []
    total = 0
    for file in files:
        if len(group) >= least and file.rows > FAN * total:
            break
        group.append(file)
        total += file.rows
    return group


def compact(store: FileStore, group: Sequence[FileEntry]) -> Change:
    """Write files of a day into few; return what to register.

    Files whose columns differ stay apart: a column may have changed its meaning with its type.

    Raises
    ------
    OSError, StorageError
        If the disk failed, or a file is damaged: none of the group is touched.
    """
    by_schema: dict[bytes, list[FileEntry]] = defaultdict(list)
    for file in group:
        by_schema[store.schema(file).serialize().to_pybytes()].append(file)
    added: list[FileEntry] = []
    removed: list[FileEntry] = []
    for files in by_schema.values():
        if len(files) > 1:
            first = files[0]
            pieces = merged(store, files)
            name = secrets.token_hex(8)
            added.append(store.write(first.kind, first.model, first.day, name, pieces))
            removed += files
    return Change(added, removed)


def merged(store: FileStore, files: Sequence[FileEntry]) -> Iterator[pa.Table]:
    """Yield the rows of files of one schema by time, some at a time."""
    kind, schema = files[0].kind, store.schema(files[0])
    for start, end in slices([span for file in files for span in store.spans(file)]):
        found = [schema.empty_table()]
        for file in files:
            if file.first < end and file.last >= start:
                # What is read of a row group and lies outside is let go of before the next.
                part = store.read(file, None, start, end, cache=False)
                found.append(align(within(part, TIME_FIELD[kind], start, end), schema))
                del part
        table = pa.concat_tables(found).combine_chunks()
        found.clear()
        if len(table):
            yield in_order(table, kind)


def slices(spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Yield stretches of time that cover all spans, with about `SLICE` rows or one span each.

    Examples
    --------
    >>> list(slices([Span(0, 9, SLICE), Span(5, 20, SLICE), Span(30, 40, 10)]))
    [(0, 10), (10, 21), (21, 41)]
    """
    order = sorted(spans, key=lambda span: span.last)
    start, rows = min(span.first for span in spans), 0
    for span in order:
        rows += span.rows
        if rows >= SLICE and span.last >= start:
            yield start, span.last + 1
            start, rows = span.last + 1, 0
    end = int(np.max([span.last for span in spans])) + 1
    if start < end:
        yield start, end


def within(table: pa.Table, name: str, start: int, end: int) -> pa.Table:
    """Return the rows whose time is in [start, end) microseconds."""
    times = micros(table, name)
    inside = (times >= start) & (times < end)
    return table if inside.all() else table.filter(pa.array(inside))
