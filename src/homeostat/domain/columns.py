"""Columns of prediction and label tables as plain Python and NumPy values."""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"


def texts(table: pa.Table, name: str) -> list[str]:
    """Return a string column that has no nulls."""
    return cast("list[str]", table.column(name).to_pylist())


def floats(table: pa.Table, name: str) -> list[float]:
    """Return a float column that has no nulls."""
    return cast("list[float]", table.column(name).to_pylist())


def float_array(column: Floats) -> NDArray[np.float64]:
    """Return float64 values as they lie in memory, NaN for null.

    Arrow's own `to_numpy` would load pandas.

    Examples
    --------
    >>> float_array(pa.chunked_array([[1.5, None], [2.5]])).tolist()
    [1.5, nan, 2.5]
    """
    parts: list[NDArray[np.float64]] = [np.empty(0)]
    for chunk in column.chunks:
        start, size = chunk.offset, len(chunk)
        present, data = chunk.buffers()
        values = np.frombuffer(memoryview(data or b""), np.float64, size if data else 0, start * 8)
        if chunk.null_count:
            bits = np.frombuffer(memoryview(present or b""), np.uint8)
            bits = np.unpackbits(bits[start >> 3 : (start + size + 7) >> 3], bitorder="little")
            values = np.where(bits[start & 7 :][:size], values, np.nan)
        parts.append(values)
    return parts[1] if len(parts) == 2 else np.concatenate(parts)


def micros(table: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a timestamp column that has no nulls as microseconds since 1970.

    Examples
    --------
    >>> from homeostat.domain.record import TIMESTAMP
    >>> micros(pa.table({"at": pa.array([0, 60_000_000], TIMESTAMP)}), "at").tolist()
    [0, 60000000]
    """
    return np.asarray(table.column(name).cast(pa.int64()).to_numpy(), dtype=np.int64)


def where(table: pa.Table, name: str, value: str) -> pa.Table:
    """Return the rows in which a string column has the value."""
    return _kept(table, pc.equal(table.column(name), pa.scalar(value)))


def answered(table: pa.Table) -> pa.Table:
    """Return the prediction records that a caller saw: shadows left out."""
    return _kept(table, pc.not_equal(table.column("role"), pa.scalar("shadow")))


def by_split(table: pa.Table) -> pa.Table:
    """Return what a caller saw without having named the version.

    Examples
    --------
    >>> rows = pa.table({"role": ["champion", "override", "shadow"]})
    >>> by_split(rows)["role"].to_pylist()
    ['champion']
    """
    seen = answered(table)
    return _kept(seen, pc.not_equal(seen.column("role"), pa.scalar("override")))


def _kept(table: pa.Table, chosen: pa.BooleanArray) -> pa.Table:
    """Return the chosen rows, without copying them if all are."""
    every = not chosen.null_count and pc.all(chosen).as_py()
    return table if every else table.filter(chosen)
