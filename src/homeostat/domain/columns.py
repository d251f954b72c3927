"""Columns of prediction and label tables as plain Python and NumPy values."""

from __future__ import annotations

from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def texts(table: pa.Table, name: str) -> list[str]:
    """Return a string column that has no nulls."""
    return cast("list[str]", table.column(name).to_pylist())


def floats(table: pa.Table, name: str) -> list[float]:
    """Return a float column that has no nulls."""
    return cast("list[float]", table.column(name).to_pylist())


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
    return table.filter(pc.equal(table.column(name), pa.scalar(value)))


def answered(table: pa.Table) -> pa.Table:
    """Return the prediction records that a caller saw: shadows left out."""
    return table.filter(pc.not_equal(table.column("role"), pa.scalar("shadow")))
