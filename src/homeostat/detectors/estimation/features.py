"""Columns of features as numbers of bins, and as smooth terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from homeostat.domain.columns import float_array
from homeostat.domain.errors import DataError
from homeostat.stats.boosting import MOST_BINS, Bins
from homeostat.stats.encoding import Table

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"
Words: TypeAlias = "pa.Array[pa.Scalar[pa.DataType]]"
Column: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"
_T = TypeVar("_T", bound=np.generic)

BINS = 32
MOST_CATEGORIES = 254
RARE = 10  # rows under which a category is judged with all other rare ones
SURE_ROWS = 100  # rows from which whole numbers in order, none twice, are no coincidence
COUNTS = 0.95  # rank correlation with the order of rows


def read_features(
    reference: pa.Table, current: pa.Table, rows: tuple[int, int]
) -> tuple[Table, Table, tuple[str, ...]]:
    """Read the features of both sides with the same codes for the same categories.

    Parameters
    ----------
    reference, current : pyarrow.Table
    rows : (int, int)
        How many rows each has, which a table without columns does not know.

    Returns
    -------
    reference, current : Table
        A category's code is its place among those of the reference; one that the reference has
        not is the next number, missing -1.
    problems : tuple of str
        Which columns were left out, and why.

    Raises
    ------
    DataError
        If the current rows lack a column, or hold texts where the reference has numbers.
    """
    numbers: list[dict[str, Floats]] = [{}, {}]
    categories: list[dict[str, Codes]] = [{}, {}]
    problems = []
    for name in reference.column_names:
        if name not in current.column_names:
            raise DataError(f"current has no column {name!r}, which the reference has: add it")
        before, after = reference.column(name), current.column(name)
        if pt.is_null(before.type) or before.null_count == len(before):
            problems.append(f"column {name!r} is empty in the reference: left out")
        elif _is_number(before.type):
            if not (_is_number(after.type) or pt.is_null(after.type)):
                raise DataError(
                    f"column {name!r} holds {before.type} in the reference and {after.type} in "
                    "current: give it one type"
                )
            values = _numbers(before)
            if _is_counter(before, values):
                problems.append(f"column {name!r} numbers the rows: left out")
                continue
            numbers[0][name], numbers[1][name] = values, _numbers(after)
        elif _is_text(before.type):
            codes, known = _encode(before, None)
            if len(known) > MOST_CATEGORIES and len(known) > len(before) / RARE:
                problems.append(f"column {name!r} holds {len(known):,} different texts: left out")
                continue
            categories[0][name], categories[1][name] = codes, _encode(after, known)[0]
        else:
            problems.append(f"column {name!r} holds {before.type}: left out")
    if not (numbers[0] or categories[0]):
        # A table has a column: one that says nothing.
        numbers = [{"": np.zeros(count)} for count in rows]
    return Table(numbers[0], categories[0]), Table(numbers[1], categories[1]), tuple(problems)


@dataclass(frozen=True, slots=True, eq=False)
class Binning:
    """How columns become bins, from `fit_binning`.

    Attributes
    ----------
    edges : mapping of str to ndarray of float64
        Between the bins of each column of numbers; missing is the bin after the last.
    ranks : mapping of str to ndarray of uint8
        The bin of each code of a category, the last for unseen and missing ones.
    """

    edges: Mapping[str, Floats]
    ranks: Mapping[str, Bins]

    def codes(self, table: Table) -> Bins:
        """Return bins, shape (columns, rows)."""
        rows: list[Bins] = []
        for name, edges in self.edges.items():
            values = table.numbers[name]
            place = np.searchsorted(edges, values, side="right")
            rows.append(np.where(np.isnan(values), edges.size + 1, place).astype(np.uint8))
        for name, ranks in self.ranks.items():
            codes = table.categories[name]
            rows.append(ranks[np.where((codes < 0) | (codes >= ranks.size), ranks.size - 1, codes)])
        return np.stack(rows)


def fit_binning(table: Table, target: Floats) -> Binning:
    """Cut numbers at their quantiles, and order categories by the mean of a target.

    Parameters
    ----------
    table : Table
    target : ndarray of float64, shape (rows,)
        What is to be explained: categories of like target get neighbouring bins.
    """
    edges = {name: _edges(values[~np.isnan(values)]) for name, values in table.numbers.items()}
    ranks = {}
    overall = float(target.mean())
    for name, codes in table.categories.items():
        size = int(codes.max(initial=0)) + 1
        there = codes >= 0
        rows = np.bincount(codes[there], minlength=size)
        sums = np.bincount(codes[there], target[there], minlength=size)
        means = (sums + RARE * overall) / (rows + RARE)
        means[rows < RARE] = overall
        known, rank = np.unique(np.append(means, overall), return_inverse=True)
        ranks[name] = (rank * min(known.size, MOST_BINS) // known.size).astype(np.uint8)
    return Binning(edges, ranks)


def far(reference: Table, current: Table, folds: Codes) -> tuple[float, NDArray[np.bool_]]:
    """Tell which rows have a number or category beyond those of the reference.

    Parameters
    ----------
    reference, current : Table
    folds : ndarray of int64, shape (rows,)
        Stretches of the reference, rising from 0.

    Returns
    -------
    tested : float
        The largest share of such rows in a stretch of the reference held beside the others.
    outside : ndarray of bool, shape (rows,)
        Of the current rows.
    """
    starts = np.searchsorted(folds, np.unique(folds))
    own, now = np.zeros(reference.rows, bool), np.zeros(current.rows, bool)

    def parts(column: NDArray[_T]) -> list[NDArray[_T]]:
        return np.split(column, starts[1:])

    for name, values in reference.numbers.items():
        lows = np.fmin(np.fmin.reduceat(values, starts), np.inf)
        highs = np.fmax(np.fmax.reduceat(values, starts), -np.inf)
        new = current.numbers[name]
        now |= (new < lows.min()) | (new > highs.max())
        for fold, (part, there) in enumerate(zip(parts(values), parts(own), strict=True)):
            low, high = np.delete(lows, fold).min(), np.delete(highs, fold).max()
            if lows[fold] < low or highs[fold] > high:
                np.logical_or(there, (part < low) | (part > high), out=there)
    for name, codes in reference.categories.items():
        after = current.categories[name]
        # A code of -1 is missing, and never beyond.
        size = max(int(codes.max(initial=0)), int(after.max(initial=0))) + 2
        rows = np.stack([np.bincount(part + 1, minlength=size) for part in parts(codes)])
        rows[:, 0] = 1
        whole = rows.sum(axis=0)
        now |= (whole == 0)[after + 1]
        for few, held, there in zip(rows, parts(codes), parts(own), strict=True):
            beyond = few == whole
            if few[beyond].any():
                np.logical_or(there, beyond[held + 1], out=there)
    return max(float(part.mean()) for part in parts(own)), now


def _edges(values: Floats) -> Floats:
    known = np.unique(values)
    if known.size <= BINS:
        middles: Floats = (known[1:] + known[:-1]) / 2.0
        return middles
    ordered = np.sort(values)
    places = np.arange(1, BINS) * ordered.size // BINS
    return np.unique(ordered[places])


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind) or pt.is_decimal(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    held = kind.value_type if pt.is_dictionary(kind) else kind
    return bool(pt.is_string(held) or pt.is_large_string(held) or pt.is_string_view(held))


def _numbers(column: Column) -> Floats:
    if pt.is_boolean(column.type):
        column = column.cast(pa.int8())
    return float_array(column.cast(pa.float64()))


def _is_counter(column: Column, values: Floats) -> bool:
    if not pt.is_integer(column.type) or values.size < SURE_ROWS:
        return False
    there = values[~np.isnan(values)]
    if np.unique(there).size < max(2, there.size):
        return False
    # Numbers that only differ may be incomes; those that count rise or fall from row to row.
    places = np.argsort(np.argsort(there))
    return bool(abs(np.corrcoef(places, np.arange(there.size))[0, 1]) >= COUNTS)


def _encode(column: Column, known: Words | None) -> tuple[Codes, Words]:
    """Return codes by place in `known`, or in the column's own values."""
    if pt.is_null(column.type):
        return np.full(len(column), -1, np.int64), pa.array([], pa.string())
    held = column if pt.is_dictionary(column.type) else column.dictionary_encode()
    chunks = held.unify_dictionaries().chunks
    parts = [chunk for chunk in chunks if isinstance(chunk, pa.DictionaryArray)]
    words = parts[0].dictionary.cast(pa.string()) if parts else pa.array([], pa.string())
    indices = pa.chunked_array([part.indices.cast(pa.float64()) for part in parts], pa.float64())
    own = float_array(indices)
    own_codes = np.where(np.isnan(own), -1, own).astype(np.int64)
    vocabulary = pc.unique(words.drop_null()) if known is None else known
    found = pc.index_in(words, value_set=vocabulary).cast(pa.float64())
    place = float_array(pa.chunked_array([found]))
    places = np.where(np.isnan(place), len(vocabulary), place).astype(np.int64)
    places[~np.asarray(words.is_valid())] = -1
    return np.append(places, -1)[own_codes].astype(np.int64), vocabulary
