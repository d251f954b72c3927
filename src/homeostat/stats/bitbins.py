"""Histogram bins on the top bits of a float64's IEEE-754 pattern.

A bin is sign, exponent and the first seven mantissa bits, mapped to an integer that orders as the
numbers do. Bins need no reference data, are the same everywhere, and have a constant relative width
of 2**-7 (0.8 %), so histograms add up exactly whichever way the rows were split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MANTISSA_BITS = 7
_BIN_BITS = 1 + 11 + MANTISSA_BITS
BIN_COUNT = 1 << _BIN_BITS

_SHIFT = np.uint64(52 - MANTISSA_BITS)
_SIGN = np.uint64(BIN_COUNT >> 1)
_ALL = np.uint64(BIN_COUNT - 1)
_LOW = np.uint64((1 << (52 - MANTISSA_BITS)) - 1)
_HALF = np.uint64(1 << (51 - MANTISSA_BITS))
_DENSE_FROM = 16_384  # rows from which counting into all bins beats sorting


def bin_of(values: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return the bin of each value.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite; -0.0 counts as 0.0.

    Returns
    -------
    ndarray of uint32, shape (n,)
        In [0, 2**19); ``x <= y`` implies ``bin_of(x) <= bin_of(y)``.

    Examples
    --------
    >>> import numpy as np
    >>> bin_of(np.array([-1.0, 0.0, 1.0, 1.001, 1.01])).tolist()
    [131199, 262144, 393088, 393088, 393089]
    """
    top = (values + 0.0).view(np.uint64) >> _SHIFT
    return np.where(top & _SIGN, ~top & _ALL, top | _SIGN).astype(np.uint32)


def left_edge(bins: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return where each bin begins; it ends where the next one begins.

    A bin of positive numbers holds its left edge, a bin of negative numbers its right one.

    Examples
    --------
    >>> import numpy as np
    >>> left_edge(np.array([262144, 393088, 393089], dtype=np.uint32)).tolist()
    [0.0, 1.0, 1.0078125]
    """
    wide = bins.astype(np.uint64)
    negative = wide < _SIGN
    magnitude = np.where(negative, _SIGN - wide, wide - _SIGN) << _SHIFT
    edges = magnitude.view(np.float64)
    # The outermost negative bin would begin at a NaN pattern; nothing finite lies in it.
    return np.where(negative, -edges, edges)


def count_bins(
    values: NDArray[np.float64], owner: NDArray[np.intp], owners: int
) -> list[tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    """Return the histograms of several columns laid end to end.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite.
    owner : ndarray of intp, shape (n,)
        Column of each value, in [0, owners), ascending; ``owners < 2**13``.
    owners : int

    Returns
    -------
    list of (bins, counts), one an owner
        The occupied bins, ascending, and how many values each holds.

    Examples
    --------
    >>> import numpy as np
    >>> ((bins, counts),) = count_bins(np.array([1.0, 2.0, 1.001]), np.zeros(3, dtype=np.intp), 1)
    >>> bins.tolist(), counts.tolist()
    ([393088, 393216], [2, 1])
    """
    keys = bin_of(values)
    if owners > 1:
        keys |= (owner << _BIN_BITS).astype(np.uint32)
    keys, counts = _count(keys, dense=owners == 1 and keys.size >= _DENSE_FROM)
    ends = np.searchsorted(keys, np.arange(1, owners) << _BIN_BITS)
    found = zip(np.split(keys & (BIN_COUNT - 1), ends), np.split(counts, ends), strict=True)
    return list(found)


def count_column(
    values: NDArray[np.float64], room: NDArray[np.uint64] | None = None
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the histogram of one column: as `count_bins`, faster if it is long.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite.
    room : ndarray of uint64, shape (n,), optional
        To work in, so that one column after another needs no new memory.

    Returns
    -------
    bins, counts
        The occupied bins, ascending, and how many values each holds.

    Examples
    --------
    >>> import numpy as np
    >>> bins, counts = count_column(np.array([1.0, 2.0, 1.001]))
    >>> bins.tolist(), counts.tolist()
    ([393088, 393216], [2, 1])
    """
    # Bit patterns are counted as they are; only those that occur are put in order.
    patterns = np.right_shift(values.view(np.uint64), _SHIFT, out=room)
    table = np.bincount(patterns.view(np.int64))
    sign = int(_SIGN)
    if table.size > sign and table[sign]:
        # Only here may be -0.0, which counts as 0.0, beside the smallest of subnormal numbers.
        zeros = np.count_nonzero(np.signbit(values) & (values == 0.0))
        table[sign] -= zeros
        table[0] += zeros
    found = np.flatnonzero(table != 0)  # booleans are searched several times faster
    split = int(np.searchsorted(found, sign))
    found = np.concatenate((found[split:][::-1], found[:split]))
    bins = np.where(found < sign, found + sign, BIN_COUNT - 1 - found).astype(np.uint32)
    return bins, table[found].astype(np.int64)


def exponents(bins: NDArray[np.uint32]) -> tuple[int, int]:
    """Return bounds on the exponents, as of `math.frexp`, of the numbers in some bins.

    Parameters
    ----------
    bins : ndarray of uint32, shape (n,)
        Not empty.

    Returns
    -------
    low, high : int
        Every number in the bins is 0, or in [2**(low - 1), 2**high) but for its sign.

    Examples
    --------
    >>> import numpy as np
    >>> exponents(bin_of(np.array([-0.75, 3.0, 100.0])))
    (0, 7)
    """
    wide = bins.astype(np.int64)
    sign = int(_SIGN)
    magnitudes = np.where(wide < sign, sign - 1 - wide, wide - sign) >> MANTISSA_BITS
    low, high = int(magnitudes.min()), int(magnitudes.max())
    # Below the first full exponent lie numbers down to 2**-1074.
    return low - 1022 if low else -1073, high - 1022


def add_bins(
    bins: NDArray[np.uint32], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Sum the counts of equal bins: the merge of histograms laid end to end.

    Examples
    --------
    >>> import numpy as np
    >>> merged = add_bins(np.array([5, 7, 5], dtype=np.uint32), np.array([1, 2, 3]))
    >>> [part.tolist() for part in merged]
    [[5, 7], [4, 2]]
    """
    if bins.size == 0:
        return bins, counts
    order = np.argsort(bins, kind="stable")
    ordered = bins[order]
    starts = _starts(ordered)
    return ordered[starts], np.add.reduceat(counts[order], starts)


def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move each number to the middle of its bin, so that none is kept as it was.

    Zeros, infinities and NaN stay what they are.

    Examples
    --------
    >>> import numpy as np
    >>> blur(np.array([0.0, 1234.56, -1.0])).tolist()
    [0.0, 1236.0, -1.00390625]
    """
    bits = (values.view(np.uint64) & ~_LOW) | _HALF
    return np.where((values != 0.0) & np.isfinite(values), bits.view(np.float64), values)


def _count(
    keys: NDArray[np.uint32], *, dense: bool
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    if dense:
        first = keys.min()
        table = np.bincount(keys - first)
        occupied = np.flatnonzero(table)
        return occupied.astype(np.uint32) + first, table[occupied].astype(np.int64)
    ordered = np.sort(keys)
    starts = _starts(ordered)
    return ordered[starts], np.diff(starts, append=keys.size)


def _starts(ordered: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return where each run of equal items begins."""
    first = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)
