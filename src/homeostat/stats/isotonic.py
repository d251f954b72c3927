"""Monotone regression: the rising step function nearest to some points."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"


def isotonic(values: Floats, weights: Floats) -> Floats:
    """Return the non-decreasing values nearest in weighted squares (pool adjacent violators).

    Parameters
    ----------
    values, weights : ndarray of float64, shape (n,)
        In order of what the values depend on; weights above 0.

    Examples
    --------
    >>> isotonic(np.array([1.0, 3.0, 2.0, 4.0]), np.ones(4)).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, size = value, weight, 1
        while means and means[-1] >= mean:
            before, other = means.pop(), masses.pop()
            mean = (mean * mass + before * other) / (mass + other)
            mass += other
            size += sizes.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(np.array(means), np.array(sizes, dtype=np.int64))
