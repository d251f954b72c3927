"""Which values of a request break the constraints that the schema states."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.model import Column, ColumnKind, Schema

Masks = dict[str, NDArray[np.bool_]]


def violations(schema: Schema, table: pa.Table) -> Masks:
    """Find values outside their range or list, missing where they may not be, or not finite.

    Parameters
    ----------
    schema : Schema
    table : pyarrow.Table
        Has the schema's columns, typed as they are.

    Returns
    -------
    dict of str to ndarray of bool, shape (table.num_rows,)
        Only columns with at least one broken value.

    Examples
    --------
    >>> schema = Schema((Column("amount", ColumnKind.NUMERIC, minimum=0.0),))
    >>> violations(schema, pa.table({"amount": [5.0, -1.0, None]}))["amount"].tolist()
    [False, True, False]
    """
    found = {column.name: _broken(column, table) for column in schema.columns}
    return {name: mask for name, mask in found.items() if mask.any()}


def degraded_masks(columns: tuple[str, ...], rows: int) -> Masks:
    """Mark every row's value in the columns that are known to be broken upstream."""
    return {name: np.ones(rows, dtype=np.bool_) for name in columns}


def touched(features: frozenset[str], masks: Masks, rows: int) -> NDArray[np.bool_]:
    """Return the rows in which one of the features is masked, shape (rows,)."""
    result = np.zeros(rows, dtype=np.bool_)
    for name, mask in masks.items():
        if name in features:
            result |= mask
    return result


def _broken(column: Column, table: pa.Table) -> NDArray[np.bool_]:
    values = table[column.name]
    null = np.asarray(values.is_null()) if values.null_count else None
    broken = np.zeros(len(values), dtype=np.bool_)
    if column.kind is ColumnKind.NUMERIC:
        numbers = values.to_numpy()
        broken = ~np.isfinite(numbers)
        if column.minimum is not None:
            broken |= numbers < column.minimum
        if column.maximum is not None:
            broken |= numbers > column.maximum
    elif column.kind is ColumnKind.CATEGORICAL and column.categories is not None:
        allowed = pa.array(column.categories, pa.string())
        broken = ~np.asarray(pc.is_in(values, value_set=allowed))
    if null is not None:
        broken = np.logical_and(broken, ~null) if column.nullable else np.logical_or(broken, null)
    return broken
