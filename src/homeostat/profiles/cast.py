"""Columns read as the kind that they are compared as, whatever type they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from homeostat.domain.columns import float_array
from homeostat.domain.model import ColumnKind

Chunks: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"
Texts: TypeAlias = "pa.ChunkedArray[pa.StringScalar]"

BOOLEAN_WORDS = {
    "true": True, "yes": True, "y": True, "t": True, "1": True, "on": True, "1.0": True,
    "false": False, "no": False, "n": False, "f": False, "0": False, "off": False, "0.0": False,
}  # fmt: skip
NUMBER = r"^\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|NaN|inf|Infinity)\s*$"
MOST_UNREADABLE = 0.5
"""Share of a column's values that cannot be read as its kind, from which its type has changed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column of a table was read.

    Attributes
    ----------
    type : str
        Its Arrow type; empty if it came from a stored profile.
    known : int
        Values that are not null.
    unreadable : int
        Values that are not of the kind: counted as missing.
    error : str
        Why it cannot be read at all; empty if it can.
    """

    type: str = ""
    known: int = 0
    unreadable: int = 0
    error: str = ""

    def add(self, other: Reading) -> Reading:
        """Return the reading of the rows of both."""
        return Reading(
            self.type or other.type,
            self.known + other.known,
            self.unreadable + other.unreadable,
            self.error or other.error,
        )

    @property
    def problem(self) -> str:
        """Why the column cannot be compared as its kind; empty if it can."""
        if not self.error and self.unreadable > MOST_UNREADABLE * self.known:
            share = self.unreadable / self.known
            return f"{share:.0%} of its values ({self.type}) cannot be read so"
        return self.error


Readings: TypeAlias = Mapping[str, Reading]


def read_columns(
    table: pa.Table, kinds: Mapping[str, ColumnKind]
) -> tuple[pa.Table, dict[str, Reading]]:
    """Read the named columns of a table as their kinds.

    Parameters
    ----------
    table : pyarrow.Table
        Columns that it lacks are left out.
    kinds : mapping of str to ColumnKind

    Returns
    -------
    table : pyarrow.Table
        float64, bool and string columns; what cannot be read at all is left out.
    readings : dict of str to Reading
        How each column that the table has was read.

    Examples
    --------
    >>> rows = pa.table({"x": ["1.5", "?", None]})
    >>> table, readings = read_columns(rows, {"x": ColumnKind.NUMERIC})
    >>> table["x"].to_pylist(), readings["x"].unreadable
    ([1.5, None, None], 1)
    """
    columns: dict[str, Chunks] = {}
    readings: dict[str, Reading] = {}
    columns_of = dict(zip(table.column_names, table.columns, strict=True))
    for name, kind in kinds.items():
        if name not in columns_of:
            continue
        column = columns_of[name]
        known = len(column) - column.null_count
        try:
            read = read_as(column, kind)
        except pa.ArrowException:
            error = f"{column.type} values cannot be read so"
            readings[name] = Reading(str(column.type), known, error=error)
            continue
        unreadable = read.null_count - column.null_count
        readings[name] = Reading(str(column.type), known, unreadable)
        columns[name] = read
    if not columns:
        return table.select([]), readings
    return pa.table(columns), readings


def read_as(column: Chunks, kind: ColumnKind) -> Chunks:
    """Return a column as float64, bool or string; what is not of the kind becomes null.

    Raises
    ------
    pyarrow.ArrowException
        If the type can never be read as the kind, such as lists as numbers.
    """
    column = plain(column)
    if kind is ColumnKind.NUMERIC:
        return _floats(column)
    if kind is ColumnKind.BOOLEAN:
        return _booleans(column)
    if pt.is_nested(column.type):
        raise pa.ArrowNotImplementedError(f"{column.type} is no category")
    if pt.is_floating(column.type) and _are_whole(column):
        # A whole-number column with a gap comes as floats from pandas: the same codes.
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def plain(column: Chunks) -> Chunks:
    """Return the column with dictionaries, views and large types made ordinary.

    Examples
    --------
    >>> str(plain(pa.chunked_array([["a", "b"]]).dictionary_encode()).type)
    'string'
    """
    kind = value_type(column.type)
    if pt.is_large_string(kind) or pt.is_string_view(kind):
        kind = pa.string()
    return column if kind == column.type else column.cast(kind)


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, dictionaries seen through."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def as_numbers(column: Chunks) -> NDArray[np.float64]:
    """Return the values that can be read as numbers, nulls dropped, as float64."""
    return float_array(read_as(column, ColumnKind.NUMERIC).drop_null())


def family(kind: str) -> str:
    """Return what an Arrow type is to people: number, text, boolean, time or other.

    Examples
    --------
    >>> [family(name) for name in ("int64", "large_string", "timestamp[us, tz=UTC]")]
    ['number', 'text', 'time']
    """
    if kind.startswith("dictionary<values="):
        kind = kind.removeprefix("dictionary<values=").partition(",")[0]
    starts = {
        "number": ("int", "uint", "float", "double", "half", "decimal"),
        "text": ("string", "large_string", "string_view"),
        "boolean": ("bool",),
        "time": ("timestamp", "date", "time", "duration"),
    }
    return next((name for name, begins in starts.items() if kind.startswith(begins)), "other")


def _floats(column: Chunks) -> Chunks:
    kind = column.type
    if pt.is_string(kind):
        texts = cast("Texts", column)
        fits = pc.match_substring_regex(texts, NUMBER)
        trimmed = pc.utf8_trim_whitespace(texts)
        column = cast("Chunks", pc.if_else(fits, trimmed, pa.scalar(None, pa.string())))
    if pt.is_temporal(kind):
        column = column.cast({32: pa.int32(), 64: pa.int64()}[kind.bit_width])
    return column.cast(pa.float64(), safe=False)


def _booleans(column: Chunks) -> Chunks:
    if pt.is_boolean(column.type):
        return column
    if pt.is_string(column.type):
        keys = pc.utf8_lower(pc.utf8_trim_whitespace(cast("Texts", column)))
    else:
        keys = cast("Texts", _floats(column).cast(pa.string()))
    words, meanings = (pa.array(list(items)) for items in zip(*BOOLEAN_WORDS.items(), strict=True))
    return pc.take(pa.chunked_array([meanings]), pc.index_in(keys, words))


def _are_whole(column: Chunks) -> bool:
    values = float_array(column.drop_null())
    exact = (values == np.floor(values)) & (np.abs(values) < 2.0**53)
    return bool(exact.all())
