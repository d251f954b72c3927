"""The logarithm of the gamma function of whole arrays, for which NumPy has none."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_gamma(x: Floats) -> Floats:
    """Return the logarithm of the gamma function of positive numbers, to ten digits.

    Stirling's series from 8 on, the recurrence below.

    Examples
    --------
    >>> log_gamma(np.array([0.5, 5.0])).round(6).tolist()  # log of sqrt(pi), of 4!
    [0.572365, 3.178054]
    """
    if x.size and x.min() < 8.0:
        below = np.ones_like(x)
        for step in range(8):
            below *= np.where(x + step < 8.0, x + step, 1.0)
        return log_gamma(x + np.clip(np.ceil(8.0 - x), 0.0, 8.0)) - np.log(below)
    inverse = 1.0 / x
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    found: Floats = (x - 0.5) * np.log(x) - x + 0.5 * math.log(2.0 * math.pi) + series
    return found
