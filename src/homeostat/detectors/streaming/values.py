"""Which values of a stream a detector takes in, and how it takes in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LARGEST = 1e150
"""Magnitude beyond which squares overflow; such a value, infinite or NaN, is passed over."""


def usable(value: float) -> bool:
    """Return whether a detector takes in a value.

    Examples
    --------
    >>> usable(-3.0), usable(float("nan")), usable(float("inf"))
    (True, False, False)
    """
    return abs(value) <= LARGEST


def where_usable(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp], bool]:
    """Return the values that a detector takes in, where they stood, and whether the last is one.

    Raises
    ------
    ValueError
        If the values are not one-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> stream, at, last = where_usable([1.0, float("nan"), 2.0])
    >>> stream.tolist(), at.tolist(), last
    ([1.0, 2.0], [0, 2], True)
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"a stream has one dimension, not {given.ndim}")
    at = np.flatnonzero(np.abs(given) <= LARGEST)
    return given[at], at, bool(at.size) and int(at[-1]) == given.size - 1


class Detecting(Protocol):
    """The state of a detector."""

    @property
    def drifted(self) -> bool:
        """Whether the last value made a detection."""
        ...


S = TypeVar("S", bound=Detecting)


def take_blocks(
    state: S,
    values: ArrayLike,
    fresh: Callable[[S], S],
    take: Callable[[S, FloatArray], tuple[S, int]],
    sizes: tuple[int, int],
) -> tuple[S, NDArray[np.intp], int]:
    """Take in values block by block, starting afresh after each detection.

    Blocks start small, because most of one is wasted where a detection is near, and double.

    Parameters
    ----------
    state : S
    values : array_like
        Shape (n,).
    fresh : callable
        Gives the state with which to start afresh.
    take : callable
        Takes in a block up to the first detection; gives the state and how many values it took.
    sizes : tuple of int
        Values of the first block and of the largest.

    Returns
    -------
    S, ndarray of intp, int
        The state after the last value, the indices of values that made a detection, and how many
        values were passed over.
    """
    stream, at, last = where_usable(values)
    found: list[int] = []
    start, length = 0, sizes[0]
    while start < stream.size:
        if state.drifted:
            state, length = fresh(state), sizes[0]
        state, taken = take(state, stream[start : start + length])
        start += taken
        length = min(2 * length, sizes[1])
        if state.drifted:
            found.append(int(at[start - 1]))
    passed = np.size(values) - stream.size
    if state.drifted and not last and np.size(values):
        state = fresh(state)
    return state, np.asarray(found, dtype=np.intp), passed
