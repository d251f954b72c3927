"""How numeric columns go together: sums from which any window's correlations follow.

Each value counts by its score t(x) = asinh(1024 x), cut to ±32 and rounded to multiples of 2**-12,
at the middle of its bin (`homeostat.stats.bitbins`): like a logarithm on either side of zero, so
that heavy tails do not decide, and no value is used as it was. Scores are whole numbers, so that
sums are exact and the same however rows were split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.columns import float_array
from homeostat.stats.bitbins import BIN_COUNT, blur

Chunks: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"

MOST_COLUMNS = 50
"""Columns of a profile that are paired: its first numeric ones."""
SCORE_LIMIT = 32 << 12
"""Largest score, in multiples of 2**-12."""
LIMB = 32
"""Bits of the lower part of a sum of products."""

_SHIFT = 64 - (BIN_COUNT.bit_length() - 1)
_BLOCK = 1 << 13  # rows at once: they fit the cache, and sums of products stay far below 2**53
_STRIP = 256  # rows multiplied at once: small enough that BLAS starts no threads, which would wait


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Sums over the rows in which two columns are both finite, of their scores.

    Attributes
    ----------
    names : tuple of str, k ≤ 50 of them
    counts : ndarray of int64, shape (k, k)
        Rows in which columns i and j are both finite; symmetric.
    sums : ndarray of int64, shape (k, k)
        Σ tᵢ over the rows in which j is finite too.
    squares : ndarray of int64, shape (2, k, k)
        Σ tᵢ² over the rows in which j is finite too, as ``[0] * 2**32 + [1]``.
    products : ndarray of int64, shape (2, k, k)
        Σ tᵢ tⱼ for i ≤ j, written likewise; zero below the diagonal.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    squares: NDArray[np.int64]
    products: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in self.arrays:
            array.setflags(write=False)

    @property
    def arrays(self) -> tuple[NDArray[np.int64], ...]:
        """Counts, sums, squares and products."""
        return self.counts, self.sums, self.squares, self.products

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pairs):
            return NotImplemented
        return self.names == other.names and all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self.arrays, other.arrays, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


def pairs_of(table: pa.Table) -> Pairs:
    """Return the pairs of a table's columns.

    Parameters
    ----------
    table : pyarrow.Table
        At most 50 columns, of types that cast to float64. Null, NaN and infinite are left out, row
        by row for each pair.

    Examples
    --------
    >>> pairs = pairs_of(pa.table({"a": [1.0, 2.0, 3.0, 4.0], "b": [8.0, 4.0, 2.0, None]}))
    >>> pairs.counts.tolist()
    [[4, 3], [3, 3]]
    >>> correlation(pairs).round(2).tolist()
    [[1.0, -0.99], [-0.99, 1.0]]
    """
    total = _empty(tuple(table.column_names))
    counts, sums, squares, products = (array.copy() for array in total.arrays)
    for values in _blocks(table):
        part = _sum(_scores()[values.view(np.int64) >> _SHIFT])
        counts += part[0]
        sums += part[1]
        _add(squares, part[2])
        _add(products, np.triu(part[3]))
    return Pairs(total.names, counts, sums, squares, products)


def merge_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Return the pairs of the rows of all; raises ValueError if they are of different columns.

    Examples
    --------
    >>> table = pa.table({"a": [1.0, 2.0, 5.0], "b": [3.0, 1.0, 2.0]})
    >>> parts = [pairs_of(table.slice(0, 2)), pairs_of(table.slice(2))]
    >>> merge_pairs(parts) == pairs_of(table)
    True
    """
    first = parts[0]
    if any(part.names != first.names for part in parts):
        raise ValueError("pairs of different columns cannot be merged")
    arrays = [np.sum(found, axis=0) for found in zip(*(p.arrays for p in parts), strict=True)]
    for limbs in arrays[2:]:
        _carry(limbs)
    return Pairs(first.names, *arrays)


def correlation(pairs: Pairs) -> NDArray[np.float64]:
    """Return the correlation matrix of the scores, from the rows that each pair has in common.

    Returns
    -------
    ndarray of float64, shape (k, k)
        Symmetric, in [-1, 1]; NaN for pairs with fewer than 3 rows or with a constant column.

    Examples
    --------
    >>> table = pa.table({"a": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 200.0], "c": [7.0, 7.0, 7.0]})
    >>> correlation(pairs_of(table)).round(3).tolist()
    [[1.0, 1.0, nan], [1.0, 1.0, nan], [nan, nan, nan]]
    """
    # Python integers: differences of near equals stay exact, and nothing overflows.
    n, sums = pairs.counts.astype(object), pairs.sums.astype(object)
    squares, products = (
        (limbs[0].astype(object) << LIMB) + limbs[1] for limbs in (pairs.squares, pairs.products)
    )
    spread = np.maximum((n * squares - sums * sums).astype(np.float64), 0.0)
    joint = np.triu(n * products - sums * sums.T).astype(np.float64)
    joint += np.triu(joint, 1).T
    scale = np.sqrt(spread) * np.sqrt(spread.T)
    defined = (pairs.counts >= 3) & (scale > 0.0)
    found = np.full(joint.shape, np.nan)
    found[defined] = np.clip(joint[defined] / scale[defined], -1.0, 1.0)
    return found


@cache
def _scores() -> NDArray[np.float64]:
    """Return the score of each bin by the top bits of its numbers; NaN if they are not finite.

    The bits are taken as a signed integer, so that those of negative numbers count from the end.
    """
    bits = np.arange(BIN_COUNT, dtype=np.uint64) << np.uint64(_SHIFT)
    middle = blur(bits.view(np.float64))
    finite = np.isfinite(middle)
    score = np.arcsinh(np.clip(np.where(finite, middle, 0.0), -1e12, 1e12) * 1024.0)
    score = np.where(finite, np.clip(np.rint(score * 4096.0), -SCORE_LIMIT, SCORE_LIMIT), np.nan)
    score.setflags(write=False)
    return score


def _blocks(table: pa.Table) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of rows, shape (columns, rows), with NaN for null."""
    columns = [column.cast(pa.float64(), safe=False) for column in table.columns]
    for start in range(0, table.num_rows if columns else 0, _BLOCK):
        yield np.stack([float_array(column.slice(start, _BLOCK)) for column in columns])


def _sum(scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], ...]:
    """Return counts, sums, squares and products of one block; every float sum is exact."""
    size, rows = scores.shape
    holes = np.flatnonzero(np.isnan(scores.sum(axis=1)))
    there = ~np.isnan(scores[holes])
    scores[holes] = np.where(there, scores[holes], 0.0)
    powers = scores * scores
    counts = np.full((size, size), float(rows))
    sums, squares = (
        np.repeat(found.sum(axis=1)[:, np.newaxis], size, axis=1) for found in (scores, powers)
    )
    strips = _strips(scores)
    if holes.size:
        present = _strips(there.astype(np.float64))
        counts[holes, :] = there.sum(axis=1)[:, np.newaxis]
        counts[:, holes] = counts[holes, :].T
        counts[np.ix_(holes, holes)] = _product(present, present)
        sums[:, holes] = _product(strips, present)
        squares[:, holes] = _product(_strips(powers), present)
    found = (counts, sums, squares, _product(strips, strips))
    return tuple(array.astype(np.int64) for array in found)


def _strips(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a block into strips of rows, shape (strips, columns, rows), the last one with zeros."""
    size, rows = block.shape
    if rows % _STRIP:
        block = np.pad(block, ((0, 0), (0, -rows % _STRIP)))
    return block.reshape(size, -1, _STRIP).transpose(1, 0, 2)


def _product(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = (one @ other.transpose(0, 2, 1)).sum(axis=0)
    return total


def _empty(names: tuple[str, ...]) -> Pairs:
    size = len(names)
    square, limbs = np.zeros((size, size), np.int64), np.zeros((2, size, size), np.int64)
    return Pairs(names, square, square, limbs, limbs)


def _add(limbs: NDArray[np.int64], amount: NDArray[np.int64]) -> None:
    limbs[1] += amount
    _carry(limbs)


def _carry(limbs: NDArray[np.int64]) -> None:
    limbs[0] += limbs[1] >> LIMB
    limbs[1] &= (1 << LIMB) - 1
