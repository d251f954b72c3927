"""Which of some rows are new: what a judgement says, and what rows say of each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.keys import HALF, Keys
from homeostat.domain.columns import texts


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Which rows of a table are new.

    Attributes
    ----------
    fresh : pyarrow.BooleanArray
    new, other : ndarray of bool
        The same as ``fresh``; and rows whose id and version are taken, with another content.
    keys : Keys
        Of the new rows, in their order.
    """

    fresh: pa.BooleanArray
    new: NDArray[np.bool_]
    other: NDArray[np.bool_]
    keys: Keys


def pairs_of(table: pa.Table) -> Iterator[tuple[str, str]]:
    """Yield each row's id and version."""
    return zip(texts(table, "prediction_id"), texts(table, "version"), strict=True)


def repeated(
    keys: Hashes, details: Hashes, order: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which rows repeat an earlier one: in key and detail, or in key and its upper half.

    `order` is that of the keys.
    """
    same, alike = (np.zeros(len(keys), np.bool_) for _ in range(2))
    if not (np.diff(keys[order]) == 0).any():
        return same, alike
    for found, part in ((same, details), (alike, details >> HALF)):
        order = np.lexsort((part, keys))  # stable: of equal ones the first comes first
        again = (np.diff(keys[order]) == 0) & (np.diff(part[order]) == 0)
        found[order[1:][again]] = True
    return same, alike & ~same
