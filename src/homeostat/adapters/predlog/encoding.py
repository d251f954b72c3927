"""How columns are laid out in columnar files, so that they are small and quick to read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from homeostat.domain.columns import Floats, float_array

SAMPLE = 4096
MANY = 0.9
"""Share of distinct values from which a dictionary is no use."""
PLACES = 4
"""Decimal places to which people and programs round."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a writer of columnar files is told.

    Attributes
    ----------
    dictionaries : tuple of str
        Columns whose values are written once each.
    encodings : dict
        How values of other columns are written.
    """

    dictionaries: tuple[str, ...]
    encodings: dict[str, str]


def choose_encoding(table: pa.Table) -> Encoding:
    """Choose by a sample of the rows.

    Numbers that seldom repeat and are not rounded are split by bytes: their signs and exponents
    are alike, their mantissas are noise. Times are written as differences.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> noise, price = rng.random(100), np.round(rng.random(100), 2)
    >>> choose_encoding(pa.table({"noise": noise, "price": price, "prediction_id": ["a"] * 100}))
    Encoding(dictionaries=('price',), encodings={'noise': 'BYTE_STREAM_SPLIT'})
    """
    dictionaries, encodings = list[str](), dict[str, str]()
    for field in table.schema:
        if pa.types.is_timestamp(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_float64(field.type) and _is_noise(table.column(field.name)):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif field.name != "prediction_id":
            dictionaries.append(field.name)
    return Encoding(tuple(dictionaries), encodings)


def _is_noise(column: Floats) -> bool:
    values = float_array(column)[:: max(len(column) // SAMPLE, 1)]
    finite = values[np.isfinite(values)]
    if not finite.size or len(np.unique(finite)) < MANY * len(finite):
        return False
    return bool(np.mean(np.round(finite, PLACES) == finite) < 0.5)
