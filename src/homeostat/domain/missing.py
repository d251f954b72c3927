"""Columns as arrays in which missing values show, and comparisons that are false for them.

Numbers and booleans are float64 with NaN for missing, text is an array of objects with None.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Values = NDArray[np.generic]


def values_of(table: pa.Table, name: str, kind: pa.DataType) -> Values:
    """Return a column as float64 or as text.

    Examples
    --------
    >>> values_of(pa.table({"new": [True, False, None]}), "new", pa.float64()).tolist()
    [1.0, 0.0, nan]
    """
    values: Values = table[name].cast(kind).to_numpy()
    return values


def holds(values: Values) -> Values:
    """Return where a truth is true; one that is missing is not."""
    return np.equal(values, 1.0)


def present(values: Values) -> Values:
    """Return where there is a value."""
    if values.dtype == np.object_:
        return np.asarray(np.not_equal(values, np.array(None, dtype=object)), dtype=np.bool_)
    return np.logical_not(np.isnan(values))


def equal(one: Values, other: Values) -> Values:
    """Return where two values are there and the same."""
    return np.logical_and(np.equal(one, other).astype(np.bool_), present(one))


def unequal(one: Values, other: Values) -> Values:
    """Return where two values are there and differ."""
    differs = np.not_equal(one, other).astype(np.bool_)
    return np.logical_and(differs, np.logical_and(present(one), present(other)))
