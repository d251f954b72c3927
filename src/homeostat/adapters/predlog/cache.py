"""Columns of row groups that were read lately, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from homeostat.domain.columns import Floats

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
