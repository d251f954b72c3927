"""Sums without rounding: the same integer however the values were ordered or split.

Each float is ``m * 2**e`` with a 53-bit mantissa. Mantissas are cut into halves that float64 adds
exactly, summed per exponent, and put together as Python integers in units of a power of two below
the smallest product. Squares use Dekker's error-free product (Dekker 1971, "A floating-point
technique for extending the available precision").

A long column is cut on one grid instead: each value into digits of 22 bits, all of them at the same
places (the error-free extraction of Rump, Ogita and Oishi 2008, "Accurate floating-point summation,
part I"). Sums of digits, and of products of two digits, stay within 2**53 over a run of rows, so
float64 adds them exactly in whatever order the processor likes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SUM_UNIT = -1126
"""Sums are in units of ``2**SUM_UNIT``."""
SQUARE_UNIT = 2 * SUM_UNIT
"""Sums of squares are in units of ``2**SQUARE_UNIT``."""

_MANTISSA = 53  # bits
_LOWEST = -1073  # frexp exponent of the smallest subnormal
_BLOCK = 1 << 15  # fits the cache; halves of 27 bits stay exact up to 2**26 rows
_DIGIT = 22  # bits: with its sign, a digit is at most 2**21
_RUN = 1 << 11  # products of two digits summed at once: 21 + 21 + 11 = 53 bits
_DIGITS = 6  # beyond, sums per exponent are the faster ones
_REACH = 400  # exponents up to which products of digits neither overflow nor vanish


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


def exact_sum(
    values: NDArray[np.float64], exponents: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the sum and the sum of squares of one column: as `exact_sums`, faster if it is long.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite.
    exponents : tuple of (int, int), optional
        Bounds on the exponents (as of `math.frexp`) of the values that are not zero, where they
        are known already (`homeostat.stats.bitbins.exponents`).

    Returns
    -------
    total, squares : int
        In units of ``2**SUM_UNIT`` and ``2**SQUARE_UNIT``.

    Examples
    --------
    >>> import numpy as np
    >>> total, squares = exact_sum(np.array([0.1, 0.2, -0.3]))
    >>> to_float(total, SUM_UNIT)
    2.7755575615628914e-17
    """
    grid = _Grid()
    blocks = [values[start : start + _BLOCK] for start in range(0, values.size, _BLOCK)]
    found: list[tuple[int, int]] = []
    low, high = exponents or (_LOWEST, 0)
    digits = -(-(high + 1 - (low - _MANTISSA)) // _DIGIT)
    for block in blocks:
        if exponents and digits <= _DIGITS and abs(high) <= _REACH:
            grid.add(block, high, digits)
            continue
        # Huge values are better kept to their own blocks.
        largest = math.frexp(max(-float(block.min()), float(block.max())))[1]
        if abs(largest) > _REACH or not grid.add(block, largest):
            found += exact_sums(block, np.zeros(block.size, dtype=np.intp), 1)
    totals, squares = zip(grid.totals(), *found, strict=True)
    return sum(totals), sum(squares)


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


class _Grid:
    """Sums of digits and of products of two digits, for each exponent that a block began with."""

    def __init__(self) -> None:
        # The first row stays one: products with it are sums.
        self._rows = np.empty((1 + _DIGITS, _BLOCK // _RUN, _RUN))
        self._rows[0] = 1.0
        self._rest = np.empty((_BLOCK // _RUN, _RUN))
        self._used = 1
        self._sums: dict[int, NDArray[np.object_]] = {}

    def totals(self) -> tuple[int, int]:
        """Return the sum and the sum of squares of what was taken in."""
        total = squares = 0
        for exponent, sums in self._sums.items():
            places = [_place(exponent, digit) for digit in range(1, 1 + _DIGITS)]
            for i, one in enumerate(places):
                total += sums[0, i] << (one - SUM_UNIT)
                for j, other in enumerate(places, 1):
                    squares += sums[j, i] << (one + other - SQUARE_UNIT)
        return total, squares

    def add(self, values: NDArray[np.float64], exponent: int, enough: int = 0) -> bool:
        """Take in values below ``2**exponent``; False, with nothing done, if digits run out.

        Where so many digits are known to be `enough`, the last one is what the others leave.
        """
        runs = -(-values.size // _RUN)
        if values.size < runs * _RUN:
            values = np.concatenate((values, np.zeros(runs * _RUN - values.size)))
        rest, after = values.reshape(runs, _RUN), self._rest[:runs]
        for used in range(1, 1 + _DIGITS):
            digit = self._rows[used, :runs]
            # Adding and taking away a number whose last bit is worth 2**p rounds to that place.
            anchor = 1.5 * 2.0 ** (_place(exponent, used) + 52)
            np.add(rest, anchor, out=digit)
            np.subtract(digit, anchor, out=digit)
            # Blocks of a column mostly need about as many digits as the one before.
            likely = self._used - 1 <= used and (used == 1 or not enough)
            if likely and np.array_equal(digit, rest):
                return self._keep(self._rows[: 1 + used, :runs], exponent)
            if used + 1 == enough:
                np.subtract(rest, digit, out=self._rows[enough, :runs])
                return self._keep(self._rows[: 1 + enough, :runs], exponent)
            rest = np.subtract(rest, digit, out=after)
        return False

    def _keep(self, rows: NDArray[np.float64], exponent: int) -> Literal[True]:
        self._used = used = len(rows) - 1
        runs = rows.transpose(1, 0, 2)
        found = runs @ runs[:, 1:].transpose(0, 2, 1)
        places = [_place(exponent, digit) for digit in range(1, 1 + used)]
        scale = [[-one for one in places], *([-one - two for two in places] for one in places)]
        whole = np.ldexp(found, scale).astype(np.int64).sum(axis=0)
        if exponent not in self._sums:
            self._sums[exponent] = np.zeros((1 + _DIGITS, _DIGITS), dtype=np.object_)
        self._sums[exponent][: 1 + used, :used] += whole.astype(np.object_)
        return True


def _place(exponent: int, digit: int) -> int:
    """Return what the last bit of a block's n-th digit is worth, as a power of two."""
    return exponent + 1 - _DIGIT * digit
