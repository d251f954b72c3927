"""Which values of a stream a detector takes in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
