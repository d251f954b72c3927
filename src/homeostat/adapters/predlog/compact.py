"""Merging small files of a day into few large ones, a bounded piece at a time."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence

from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.merging import merged
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.state import RECENT, UNKNOWN

FAN = 8
"""Files of about one size that are worth merging."""
LARGEST = 4_000_000
"""Rows of a file that is not merged any more."""


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
