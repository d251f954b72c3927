"""Columns that say nearly the same, to be permuted together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from homeostat.domain.columns import Floats, float_array
from homeostat.stats.correlation import correlate
from homeostat.stats.importance import linked


def correlated_groups(table: pa.Table, limit: float = 0.8) -> tuple[tuple[str, ...], ...]:
    """Group columns whose rank correlations reach `limit`, directly or through others.

    Parameters
    ----------
    table : pyarrow.Table
    limit : float
        Absolute correlation of normal scores, in (0, 1].

    Returns
    -------
    tuple of tuples of str
        Every column once, in the order of the table. Only numbers and booleans are compared:
        columns of text, times and other types stand alone.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=200)
    >>> table = pa.table({"euros": x, "shop": ["a"] * 200, "cents": 100 * x, "age": x[::-1]})
    >>> correlated_groups(table)
    (('euros', 'cents'), ('shop',), ('age',))
    """
    names = [field.name for field in table.schema if _is_number(field.type)]
    values = [_numbers(table.column(name)) for name in names]
    columns = np.stack(values, axis=1) if values else np.empty((table.num_rows, 0))
    joined = {
        names[group[0]]: tuple(names[place] for place in group)
        for group in linked(correlate(columns).r, limit)
    }
    alone = {name: (name,) for name in table.column_names if name not in names}
    whole = joined | alone
    return tuple(whole[name] for name in table.column_names if name in whole)


def _is_number(kind: pa.DataType) -> bool:
    return pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind) or pt.is_decimal(kind)


def _numbers(column: Floats) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if pt.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return float_array(column.cast(pa.float64(), safe=False))
