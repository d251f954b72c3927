"""Columns of two tables as arrays that mean the same on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"
Rows: TypeAlias = "NDArray[np.bool_] | NDArray[np.intp]"
_Chunks: TypeAlias = "pa.ChunkedArray[Any]"

FEW = 12  # distinct whole numbers up to which they may be codes
MANY = 0.5  # share of distinct texts from which a column names its rows


class Kind(StrEnum):
    """How a column is read."""

    NUMBER = "number"
    TEXT = "text"
    TIME = "time"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One column of one table.

    Attributes
    ----------
    kind : Kind
    type_name : str
        As stored.
    numbers : ndarray of float64, shape (n,)
        Numbers, or times in seconds since 1970; NaN is missing. Of a text column: NaN throughout.
    codes : ndarray of int64, shape (n,)
        Places in `words` of a text column, -1 for missing; of others -1 throughout.
    words : tuple of str
        Shared by both tables.
    """

    kind: Kind
    type_name: str
    numbers: Floats
    codes: Codes
    words: tuple[str, ...] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Rows without a value."""
        return self.codes < 0 if self.kind is Kind.TEXT else np.isnan(self.numbers)

    @property
    def is_code(self) -> bool:
        """Whether values stand for categories: texts that recur, or a few whole numbers."""
        if self.kind is Kind.TEXT:
            words = self.codes[self.codes >= 0]
            return np.unique(words).size <= max(FEW, MANY * words.size)
        if self.kind is not Kind.NUMBER:
            return False
        there = self.numbers[np.isfinite(self.numbers)]
        distinct = np.unique(there)
        return bool(0 < distinct.size <= FEW) and bool(np.all(distinct == np.round(distinct)))

    def take(self, rows: Rows) -> Values:
        """Return some rows."""
        return replace(self, numbers=self.numbers[rows], codes=self.codes[rows])


Columns: TypeAlias = Mapping[str, Values]


def read_pair(before: pa.Table, now: pa.Table) -> tuple[dict[str, Values], dict[str, Values]]:
    """Read the columns of two tables.

    Examples
    --------
    >>> before, now = pa.table({"shop": ["b", "a"]}), pa.table({"shop": ["a", "c"], "x": [1, 2]})
    >>> one, two = read_pair(before, now)
    >>> one["shop"].words, one["shop"].codes.tolist(), two["shop"].codes.tolist()
    (('b', 'a', 'c'), [0, 1], [1, 2])
    >>> two["x"].kind, list(one)
    (<Kind.NUMBER: 'number'>, ['shop'])
    """
    one = {name: _read(before[name]) for name in before.column_names}
    two = {name: _read(now[name]) for name in now.column_names}
    for name, values in one.items():
        if name not in two:
            continue
        other = two[name]
        if Kind.TEXT in {values.kind, other.kind} and _textual(values) and _textual(other):
            one[name], two[name] = _shared(before[name], now[name])
        elif values.kind is Kind.TEXT:
            one[name], _ = _shared(before[name], before[name])
        elif other.kind is Kind.TEXT:
            two[name], _ = _shared(now[name], now[name])
    for name in two.keys() - one.keys():
        if two[name].kind is Kind.TEXT:
            two[name], _ = _shared(now[name], now[name])
    for name in one.keys() - two.keys():
        if one[name].kind is Kind.TEXT:
            one[name], _ = _shared(before[name], before[name])
    return one, two


def _textual(values: Values) -> bool:
    return values.kind in {Kind.TEXT, Kind.EMPTY}


def _read(column: _Chunks) -> Values:
    """Read numbers and times; texts get their codes once both tables are known."""
    kind, name, rows = _kind(column), str(column.type), len(column)
    if kind is Kind.NUMBER:
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
    elif kind is Kind.TIME:
        micros = column.cast(pa.timestamp("us")).cast(pa.int64())
        numbers = pc.divide(micros.cast(pa.float64(), safe=False), 1e6).to_numpy()
    else:
        numbers = np.full(rows, np.nan)
    return Values(kind, name, numbers.astype(np.float64), np.full(rows, -1, dtype=np.int64))


def _kind(column: _Chunks) -> Kind:
    if column.null_count == len(column):
        return Kind.EMPTY
    types = pa.types
    if types.is_integer(column.type) or types.is_floating(column.type):
        return Kind.NUMBER
    if types.is_decimal(column.type):
        return Kind.NUMBER
    if types.is_timestamp(column.type) or types.is_date(column.type):
        return Kind.TIME
    return Kind.TEXT


def _shared(before: _Chunks, now: _Chunks) -> tuple[Values, Values]:
    one, two = _texts(before), _texts(now)
    encoded = pa.concat_arrays([one, two]).dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    words = tuple(str(word) for word in encoded.dictionary.to_pylist())
    sides = ((before, codes[: len(one)]), (now, codes[len(one) :]))
    found = [
        Values(Kind.TEXT, str(column.type), np.full(part.size, np.nan), part, words)
        for column, part in sides
    ]
    return found[0], found[1]


def _texts(column: _Chunks) -> pa.Array[Any]:
    try:
        return column.cast(pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.array(texts, pa.string())
