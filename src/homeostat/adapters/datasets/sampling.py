"""A sample of rows that is the same for every column, file format and way of reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.datasets.parts import Column

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio
_SLACK = 64  # multiples of it spread so evenly that a share is missed by far less
_PRUNE = 4


@dataclass(frozen=True, slots=True)
class Picked:
    """Rows of a column that may be in the sample, with their ranks."""

    ranks: NDArray[np.uint64]
    values: Column


def ranks(start: int, rows: int) -> NDArray[np.uint64]:
    """Return the ranks of rows; a sample of k rows holds the k smallest of all.

    A rank is the row's number times the golden ratio, modulo one (Fibonacci hashing, Knuth 1998,
    "The art of computer programming", vol. 3, section 6.4). Small ranks are spread evenly over
    the rows, in step with no period that data may have.

    Examples
    --------
    >>> import numpy as np
    >>> sorted(np.argsort(ranks(0, 100))[:5].tolist())
    [0, 13, 34, 68, 89]
    """
    numbers = np.arange(start, start + rows, dtype=np.uint64)
    numbers *= np.uint64(_GOLDEN)
    return numbers


def pick(start: int, rows: int, size: int, total: int | None) -> NDArray[np.int64]:
    """Return which rows of a chunk may be in a sample of `size` of all `total` rows.

    Parameters
    ----------
    start, rows : int
        Number of the chunk's first row among all rows, and how many it has.
    size : int
        Above 0.
    total : int or None
        None if it is not known.

    Returns
    -------
    ndarray of int64
        Counted from `start`, ascending; at most `size`.

    Examples
    --------
    >>> pick(0, 100, size=5, total=None).tolist()
    [0, 13, 34, 68, 89]
    """
    found = ranks(start, rows)
    places = np.arange(rows)
    if total is not None and total > size + _SLACK:
        places = np.flatnonzero(found <= np.uint64((size + _SLACK) * 2**64 // total))
    return places[smallest(found[places], size)]


def smallest(found: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """Return where the `size` smallest ranks are, ascending."""
    if found.size <= size:
        return np.arange(found.size)
    return np.sort(np.argpartition(found, size - 1)[:size])


def take(column: Column, places: NDArray[np.int64]) -> Column:
    """Return rows by their numbers."""
    if column.type == pa.string_view():
        column = column.cast(pa.string())  # views cannot be taken from
    # Made from memory, because `pa.array` would import pandas.
    buffers = [None, pa.py_buffer(places.tobytes())]
    return column.take(pa.Array.from_buffers(pa.int64(), places.size, buffers))


class Sample:
    """Collects what was picked from the chunks of one column."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._picked: list[Picked] = []
        self._rows = 0

    def add(self, picked: Picked) -> None:
        """Take in what was picked from a chunk, or from other files."""
        self._picked.append(picked)
        self._rows += picked.ranks.size
        if self._rows > _PRUNE * self._size:
            kept = self.picked()
            self._picked, self._rows = [kept], kept.ranks.size

    def picked(self) -> Picked:
        """Return the sampled rows, in the order that they were added in."""
        found = np.concatenate([picked.ranks for picked in self._picked])
        places = smallest(found, self._size)
        return Picked(found[places], take(_joined([p.values for p in self._picked]), places))


def _joined(columns: Sequence[Column]) -> Column:
    """Return columns end to end; as text if they are of several types."""
    if any(column.type != columns[0].type for column in columns):
        columns = [column.cast(pa.string()) for column in columns]
    return pa.concat_tables([pa.table([column], names=[""]) for column in columns]).column(0)
