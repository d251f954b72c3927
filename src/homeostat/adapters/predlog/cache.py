"""Columns of row groups that were read lately, and other things of files, in bounded room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

import pyarrow as pa

from homeostat.adapters.predlog.layout import Span
from homeostat.domain.columns import Floats

T = TypeVar("T")

Columns: TypeAlias = dict[tuple[int, str], Floats]
"""Columns by row group and name."""


@dataclass
class ColumnCache:
    """Gives up what was not asked for the longest; safe to use from several threads.

    Parameters
    ----------
    most : int
        Bytes.
    """

    most: int
    _columns: OrderedDict[tuple[str, int, str], Floats] = field(
        default_factory=OrderedDict, init=False
    )
    _bytes: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def held(self, path: str, names: Sequence[str], groups: Sequence[int]) -> Columns:
        """Return what is here of these columns and row groups of a file."""
        found: Columns = {}
        with self._lock:
            for group in groups:
                for name in names:
                    column = self._columns.get((path, group, name))
                    if column is not None:
                        self._columns.move_to_end((path, group, name))
                        found[group, name] = column
        return found

    def remember(self, path: str, columns: Mapping[tuple[int, str], Floats]) -> None:
        """Keep columns of a file, unless they take more room than there is."""
        if sum(column.nbytes for column in columns.values()) > self.most:
            return
        with self._lock:
            for (group, name), column in columns.items():
                if (path, group, name) not in self._columns:
                    self._columns[path, group, name] = column
                    self._bytes += column.nbytes
            while self._bytes > self.most and self._columns:
                _, oldest = self._columns.popitem(last=False)
                self._bytes -= oldest.nbytes

    def forget(self, path: str) -> None:
        """Let go of a file's columns."""
        with self._lock:
            for key in [key for key in self._columns if key[0] == path]:
                self._bytes -= self._columns.pop(key).nbytes

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._columns.clear()
            self._bytes = 0


@dataclass
class SizedCache(Generic[T]):
    """Things of files by path; beyond a bound, what was not asked for the longest goes.

    Parameters
    ----------
    most : int or None
        Bytes; None: all are kept.
    size : callable
        Returns the bytes of one.
    """

    most: int | None
    size: Callable[[T], int]
    _held: OrderedDict[str, T] = field(default_factory=OrderedDict, init=False)
    _bytes: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def get(self, path: str) -> T | None:
        """Return what is here of a file."""
        if self.most is None:
            return self._held.get(path)
        with self._lock:
            found = self._held.get(path)
            if found is not None:
                self._held.move_to_end(path)
            return found

    def put(self, path: str, thing: T) -> None:
        """Keep something of a file."""
        self.forget(path)
        with self._lock:
            self._held[path] = thing
            self._bytes += self.size(thing)
            while self.most is not None and self._bytes > self.most and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                self._bytes -= self.size(oldest)

    def forget(self, path: str) -> None:
        """Let go of what is here of a file."""
        with self._lock:
            found = self._held.pop(path, None)
            if found is not None:
                self._bytes -= self.size(found)


def by_group(table: pa.Table, spans: Sequence[Span], groups: Sequence[int]) -> Columns:
    """Return the columns of row groups that were read at once."""
    found: Columns = {}
    at = 0
    for group in groups:
        for name in table.column_names:
            found[group, name] = table.column(name).slice(at, spans[group].rows)
        at += spans[group].rows
    return found


def assembled(found: Columns, names: Sequence[str], groups: Sequence[int]) -> pa.Table:
    """Return a table of columns that were read in several pieces."""
    chunks = {name: [c for g in groups for c in found[g, name].chunks] for name in names}
    return pa.table({name: pa.chunked_array(parts) for name, parts in chunks.items()})
