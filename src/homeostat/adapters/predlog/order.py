"""The order of rows in columnar files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import TIME_FIELD
from homeostat.domain.columns import micros

SORT: dict[Kind, list[tuple[str, Literal["ascending", "descending"]]]] = {
    Kind.PREDICTIONS: [(name, "ascending") for name in ("timestamp", "prediction_id", "version")],
    Kind.LABELS: [(name, "ascending") for name in ("arrival", "prediction_id", "label")],
}
PIECE = 2**15
"""Rows that are put in order at a time."""


def in_order(table: pa.Table, kind: Kind) -> pa.Table:
    """Return rows by time, then by the other fields of `SORT`."""
    order = _order(table, kind)
    return table if order is None else table.take(order)


def pieces_in_order(table: pa.Table, kind: Kind) -> Iterator[pa.Table]:
    """Yield rows as `in_order` returns them, some at a time, of which no copy of all is made."""
    order = _order(table, kind)
    for start in range(0, len(table), PIECE):
        if order is None:
            yield table.slice(start, PIECE)
            continue
        mine = order[start : start + PIECE]
        # Rows come nearly in order: those of a piece are near each other.
        first, last = int(mine.min()), int(mine.max())
        yield table.slice(first, last - first + 1).combine_chunks().take(mine - first)


def _order(table: pa.Table, kind: Kind) -> NDArray[np.int64] | None:
    """Return where the rows stand in order; None if they are.

    They are seldom of one microsecond, and then sorting by time alone does.
    """
    times = micros(table, TIME_FIELD[kind])
    if (np.diff(times) > 0).all():
        return None
    order = np.argsort(times, kind="stable")
    if (np.diff(times[order]) > 0).all():
        return order
    names = [name for name, _ in SORT[kind]]
    return np.asarray(pc.sort_indices(table.select(names), sort_keys=SORT[kind]), np.int64)
