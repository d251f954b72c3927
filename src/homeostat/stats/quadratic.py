"""Tails of weighted sums of chi-square variables.

They are the null of Cramer-von Mises, Anderson-Darling and kernel statistics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_TERMS = np.arange(1.0, 65.0)
_CRAMER_VON_MISES = 1.0 / (np.pi * _TERMS) ** 2
_ANDERSON_DARLING = 1.0 / (_TERMS * (_TERMS + 1.0))
_STEP = 0.125
_NODES = 4000


def chi2_mixture_sf(weights: FloatArray, x: float, rest: float = 0.0) -> float:
    """Return the probability that ``sum(w_j * Z_j**2) + rest`` exceeds `x`, Z_j standard normal.

    The inversion integral of the moment generating function along a parabola around its branch cut,
    through the saddle point: nine digits relative, however far in the tail. Where `x` is below a
    ten-thousandth of the largest weight, 1 is returned, too much by 0.01 at most.

    Parameters
    ----------
    weights : ndarray of float64, shape (k,)
        Not negative.
    x : float
    rest : float
        Mean of what was cut off an infinite sum.

    Examples
    --------
    >>> import numpy as np
    >>> round(chi2_mixture_sf(np.array([1.0, 1.0]), 5.991465), 6)
    0.05
    """
    largest = float(weights.max())
    if not largest > 0.0:
        return float(x <= rest)
    used = weights[weights > 1e-12 * largest] / largest
    scaled, extra = x / largest, rest / largest
    if scaled < 1e-4:
        return 1.0
    saddle = _saddle(used, scaled - extra)
    vertex = 0.5 - saddle
    curvature = float((2.0 * (used / (1.0 - 2.0 * saddle * used)) ** 2).sum()) + saddle**-2.0
    to_pole = np.sqrt(0.5 / vertex) - 1.0
    step = min(_STEP, _STEP * float(to_pole), 0.2 / (vertex * np.sqrt(curvature)))
    u = step * (np.arange(_NODES) + 0.5)
    w = vertex * (1.0 + 1j * u) ** 2
    reach = (w.real - vertex) * scaled > -45.0
    u, w = u[reach], w[reach]
    s = 0.5 - w
    exponent = extra * s - scaled * s - np.log(s)
    for chunk in np.array_split(used, -(-used.size // 512)):
        exponent -= 0.5 * np.log(1.0 - 2.0 * np.outer(s, chunk)).sum(axis=1)
    tail = (np.exp(exponent) * (1.0 + 1j * u)).real.sum() * 2.0 * vertex * step / np.pi
    return float(np.clip(tail, 0.0, 1.0))


def cramer_von_mises_sf(x: float) -> float:
    """Return the probability that the limit of Cramer and von Mises' statistic exceeds `x`.

    Weights ``1 / (pi j)**2`` (Anderson & Darling 1952), of which 64 are used: five digits.

    Examples
    --------
    >>> round(cramer_von_mises_sf(0.46136), 5)
    0.05
    """
    return chi2_mixture_sf(_CRAMER_VON_MISES, x, 1.0 / 6.0 - float(_CRAMER_VON_MISES.sum()))


def anderson_darling_sf(x: float) -> float:
    """Return the probability that the limit of Anderson and Darling's statistic exceeds `x`.

    Weights ``1 / (j (j + 1))`` (Anderson & Darling 1952), of which 64 are used: five digits.

    Examples
    --------
    >>> round(anderson_darling_sf(2.492), 4)
    0.05
    """
    return chi2_mixture_sf(_ANDERSON_DARLING, x, 1.0 - float(_ANDERSON_DARLING.sum()))


def _saddle(weights: FloatArray, x: float) -> float:
    """Return where the integrand is least on (0, 1/2), the largest weight being 1."""
    low, high = 0.0, 0.5
    for _ in range(50):
        s = (low + high) / 2.0
        slope = float((weights / (1.0 - 2.0 * s * weights)).sum()) - x - 1.0 / s
        low, high = (s, high) if slope < 0.0 else (low, s)
    return (low + high) / 2.0
