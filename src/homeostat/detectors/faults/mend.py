"""Current rows as they would be without their faults, as far as that can be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Columns, Kind, Values
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.domain.explanation import DataFault, FaultKind

_UNDOABLE = {FaultKind.UNIT, FaultKind.SIGN_FLIP}
_ALL = 0.95  # share of rows from which a fault touches every row
_COARSE = 2.2  # logarithm of a factor that keeps rows of two units apart
_ENOUGH = 300  # sound rows that are worth keeping to themselves
_LEAST = 0.15  # and their share


@dataclass(frozen=True, slots=True, eq=False)
class Mended:
    """Columns without faults.

    Attributes
    ----------
    before, now : Columns
        Those that could be mended or were sound.
    rows_before, rows_now : ndarray of bool, shapes (n,) and (m,)
        Rows that no fault of some rows touches, and reference rows that are not like those.
    dropped : tuple of str
        Columns left out on both sides.
    scored : bool
        Whether the scores of the rows kept rest on sound data.
    """

    before: Columns
    now: Columns
    rows_before: NDArray[np.bool_]
    rows_now: NDArray[np.bool_]
    dropped: tuple[str, ...]
    scored: bool


def mend(
    before: Columns, now: Columns, found: Sequence[FaultyRows], sizes: tuple[int, int]
) -> Mended:
    """Leave out rows with faults of some rows, undo faults of all rows, or leave out the column.

    Parameters
    ----------
    before, now : Columns
    found : sequence of FaultyRows
    sizes : tuple of int
        Reference and current rows.
    """
    mended, dropped, scored = dict(now), set[str](), True
    ours, theirs = (np.ones(size, dtype=bool) for size in sizes)
    for item in sorted(found, key=lambda item: item.fault.share):
        fault = item.fault
        kept = theirs & ~item.rows
        enough = kept.sum() >= max(_ENOUGH, _LEAST * theirs.sum())
        if fault.kind is FaultKind.DUPLICATES:
            theirs = kept
        elif fault.kind is FaultKind.EXTRA_COLUMN:
            dropped |= set(fault.columns)
        elif enough and fault.share < _ALL and _clear(item):
            theirs = kept
            ours = ours if item.alike is None else ours & ~item.alike
            if fault.kind in _UNDOABLE and item.alike is None:
                dropped |= set(fault.columns)  # which rows it touched is a guess by their values
        else:
            scored = False
            if set(fault.columns) <= set(mended) and _undoable(fault):
                mended |= _undone(now, fault)
            else:
                dropped |= set(fault.columns)
    sound = {name: values for name, values in before.items() if name not in dropped}
    kept_now = {name: values for name, values in mended.items() if name in sound}
    return Mended(sound, kept_now, ours, theirs, tuple(sorted(dropped)), scored)


def _clear(item: FaultyRows) -> bool:
    """Whether the rows at fault stand out from the others."""
    fault = item.fault
    if fault.kind not in _UNDOABLE or item.alike is not None or fault.factor < 0.0:
        return True
    return not fault.offset and abs(math.log(fault.factor)) >= _COARSE


def _undone(now: Columns, fault: DataFault) -> dict[str, Values]:
    if fault.kind is FaultKind.SWAPPED:
        first, second = fault.columns
        return {first: now[second], second: now[first]}
    name = fault.columns[0]
    if fault.kind is FaultKind.RECODED:
        return {name: _renamed(now[name], fault)}
    numbers = (now[name].numbers - fault.offset) / fault.factor
    return {name: replace(now[name], numbers=numbers)}


def _undoable(fault: DataFault) -> bool:
    if fault.source:
        return False
    if fault.kind is FaultKind.RECODED:
        # Words that never were before can be told wherever they stand.
        return fault.share >= _ALL or not {b for _, b in fault.mapping} & {
            a for a, _ in fault.mapping
        }
    return fault.share >= _ALL and (fault.kind in _UNDOABLE or fault.kind is FaultKind.SWAPPED)


def _renamed(values: Values, fault: DataFault) -> Values:
    """Put the old words in the place of the new."""
    old = {new: before for before, new in fault.mapping}
    if values.kind is not Kind.TEXT:
        numbers = values.numbers.copy()
        for new, before in old.items():
            numbers[values.numbers == float(new)] = float(before)
        return replace(values, numbers=numbers)
    places = {word: place for place, word in enumerate(values.words)}
    table = np.arange(len(values.words) + 1)
    for new, before in old.items():
        table[places[new]] = places[before]
    table[-1] = -1
    return replace(values, codes=table[values.codes])
