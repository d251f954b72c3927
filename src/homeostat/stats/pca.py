"""Principal components, and how far rows lie from what these can say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROUNDING = 1e-12  # share of the variance below which a component is rounding error


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Directions in which a sample varies most.

    Attributes
    ----------
    mean : ndarray of float64, shape (features,)
    directions : ndarray of float64, shape (components, features)
        Orthonormal, by falling variance; the largest entry of each is positive.
    shares : ndarray of float64, shape (components,)
        Shares of the whole variance.
    """

    mean: Floats
    directions: Floats
    shares: Floats

    def residuals(self, rows: Floats) -> Floats:
        """Return what is left of rows after their projection, shape (rows, features)."""
        centred = rows - self.mean
        left: Floats = centred - centred @ self.directions.T @ self.directions
        return left


def fit_components(rows: Floats, share: float = 0.65) -> Components:
    """Find the fewest principal components whose share of the variance is above `share`.

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, features)
        Finite, at least one row. More features than rows are fine. Not scaled: a feature that
        varies more weighs more.
    share : float
        In (0, 1).

    Returns
    -------
    Components
        Without any direction if no feature varies.

    Raises
    ------
    ValueError
        If there are no rows or `share` is not within (0, 1).

    Examples
    --------
    >>> x = np.linspace(-1.0, 1.0, 9)
    >>> found = fit_components(np.stack((x, x, np.zeros(9)), axis=1))
    >>> found.directions.round(3).tolist(), found.shares.round(3).tolist()
    ([[0.707, 0.707, 0.0]], [1.0])
    >>> found.residuals(np.array([[1.0, -1.0, 0.5]])).round(3).tolist()
    [[1.0, -1.0, 0.5]]
    """
    if not rows.shape[0]:
        raise ValueError("components need rows; there are none")
    if not 0.0 < share < 1.0:
        raise ValueError(f"the share of the variance lies in (0, 1), not {share}")
    mean = rows.mean(axis=0)
    centred = rows - mean
    # Of X'X and XX' the smaller one: both have the same variances.
    if rows.shape[1] <= rows.shape[0]:
        variances, directions = np.linalg.eigh(centred.T @ centred)
        directions = directions.T
    else:
        variances, sides = np.linalg.eigh(centred @ centred.T)
        directions = sides.T @ centred
    total = float(np.sum(centred**2))
    variances, directions = variances[::-1], directions[::-1]
    real = variances > _ROUNDING * total
    shares, directions = variances[real] / (total or 1.0), directions[real]
    enough = int(np.searchsorted(np.cumsum(shares), share, side="right")) + 1
    directions, shares = directions[:enough], shares[:enough]
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    largest = np.argmax(np.abs(directions), axis=1)
    signs = np.sign(directions[np.arange(largest.size), largest])
    return Components(mean, directions * signs[:, None], shares)
