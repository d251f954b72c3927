"""Sums without rounding: the same integer however the values were ordered or split.

Each float is ``m * 2**e`` with a 53-bit mantissa. Mantissas are cut into halves that float64 adds
exactly, summed per exponent, and put together as Python integers in units of a power of two below
the smallest product. Squares use Dekker's error-free product (Dekker 1971, "A floating-point
technique for extending the available precision").
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SUM_UNIT = -1126
"""Sums are in units of ``2**SUM_UNIT``."""
SQUARE_UNIT = 2 * SUM_UNIT
"""Sums of squares are in units of ``2**SQUARE_UNIT``."""

_LOWEST = -1073  # frexp exponent of the smallest subnormal
_BLOCK = 1 << 15  # fits the cache; halves of 27 bits stay exact up to 2**26 rows


def exact_sums(
    values: NDArray[np.float64], owner: NDArray[np.intp], owners: int
) -> list[tuple[int, int]]:
    """Return sums and sums of squares of several columns laid end to end, exactly.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite.
    owner : ndarray of intp, shape (n,)
        Column of each value, in [0, owners).
    owners : int

    Returns
    -------
    list of (total, squares), one an owner
        In units of ``2**SUM_UNIT`` and ``2**SQUARE_UNIT``; equal for any order or split.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([1e16, 1.0, -1e16, 0.5])
    >>> ((total, squares),) = exact_sums(values, np.zeros(4, dtype=np.intp), 1)
    >>> to_float(total, SUM_UNIT)
    1.5
    """
    totals, squares = [0] * owners, [0] * owners
    for start in range(0, values.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        for who, total, square in _block(values[block], owner[block]):
            totals[who] += total
            squares[who] += square
    return list(zip(totals, squares, strict=True))


def to_float(amount: int, unit: int) -> float:
    """Return ``amount * 2**unit``, rounded once; infinite beyond the range of float64."""
    try:
        return float(Fraction(amount) * Fraction(2) ** unit)
    except OverflowError:
        return float("inf") if amount > 0 else float("-inf")


def mean_and_variance(n: int, total: int, squares: int) -> tuple[float, float]:
    """Return mean and population variance of `n` > 0 values from their exact sums.

    The subtraction is exact, so a large mean costs no precision.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([1e9, 1e9 + 1, 1e9 + 2])
    >>> mean_and_variance(3, *exact_sums(values, np.zeros(3, dtype=np.intp), 1)[0])
    (1000000001.0, 0.6666666666666666)
    """
    mean = _ratio(total, n, SUM_UNIT)
    return mean, _ratio(n * squares - total * total, n * n, SQUARE_UNIT)


def _ratio(numerator: int, denominator: int, unit: int) -> float:
    try:
        return numerator / (denominator << -unit)
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")


def _block(values: NDArray[np.float64], owner: NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    """Yield (owner, total, squares) of the values of each owner and exponent."""
    mantissa, exponent = np.frexp(values)
    lowest = int(exponent.min())
    width = int(exponent.max()) - lowest + 1
    group = owner * width + (exponent - lowest)
    # The upper half has 26 bits, the lower half 26 bits and a sign: every product below is exact.
    upper = np.rint(mantissa * 2.0**26)
    high = upper * 2.0**-26
    low = mantissa - high
    square = mantissa * mantissa
    error = ((high * high - square) + 2.0 * high * low) + low * low
    square_high = np.rint(square * 2.0**27)
    error_high = np.rint(error * 2.0**80)
    limbs = (
        upper,
        low * 2.0**53,
        square_high,
        square * 2.0**54 - square_high * 2.0**27,
        error_high,
        error * 2.0**106 - error_high * 2.0**26,
    )
    used = np.flatnonzero(np.bincount(group))
    sums = np.stack([np.bincount(group, weights=limb)[used] for limb in limbs], axis=1)
    for place, (u, v, p, q, r, s) in zip(
        used.tolist(), sums.astype(np.int64).tolist(), strict=True
    ):
        who, above = divmod(place, width)
        shift = lowest - _LOWEST + above
        square_sum = (((p << 27) + q) << 52) + (r << 26) + s
        yield who, ((u << 27) + v) << shift, square_sum << (2 * shift)
