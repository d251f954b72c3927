"""How frequent classes have become, if only their frequencies have changed (label shift)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

_STEPS = 50
_SETTLED = 1e-4  # standard errors
_QUIET = 0.25  # Newton decrement under which a full step is safe
_INSIDE = 0.9  # of the way to the edge of the simplex that a step may go


@dataclass(frozen=True, slots=True, eq=False)
class Priors:
    """Shares of classes that explain some rows.

    Attributes
    ----------
    shares : ndarray of float64, shape (classes,)
    covariance : ndarray of float64, shape (classes, classes)
        Of the shares, from the rows alone; singular, as shares add up to 1.
    """

    shares: Floats
    covariance: Floats


def estimate_priors(chances: Floats, before: Floats) -> Priors:
    """Estimate shares of classes by maximum likelihood, given that features of each class stay.

    Parameters
    ----------
    chances : ndarray of float64, shape (rows, classes)
        Calibrated to shares of `before`; each row adds up to 1.
    before : ndarray of float64, shape (classes,)
        Shares of the classes where the chances were learnt, above 0.

    Notes
    -----
    The maximum that expectation maximisation climbs to (Saerens, Latinne & Decaestecker 2002; with
    calibrated chances consistent: Garg et al. 2020), by damped Newton steps, as the likelihood is
    concave. One more row, of each class in its old share, keeps shares above 0, and where they were
    if chances tell nothing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = rng.random(4000) < 0.2
    >>> seen = rng.normal(label * 2.0, 1.0)
    >>> chance = 1 / (1 + np.exp(2.0 - 2.0 * seen))  # as if half of the labels were true
    >>> found = estimate_priors(np.column_stack((1 - chance, chance)), np.array([0.5, 0.5]))
    >>> found.shares.round(1).tolist()
    [0.8, 0.2]
    """
    ratio = chances / before
    shares = before.copy()
    classes = before.size
    for _ in range(_STEPS):
        slope, curve = _derivatives(ratio, before, shares)
        step = np.linalg.solve(curve, slope)
        decrement = max(0.0, float(slope @ step)) ** 0.5
        whole = np.append(step, -step.sum())
        falls = whole < 0.0
        edge = float(np.min(-shares[falls] / whole[falls], initial=np.inf))
        reach = 1.0 if decrement < _QUIET else 1.0 / (1.0 + decrement)
        shares = shares + min(reach, _INSIDE * edge) * whole
        if decrement < _SETTLED:
            break
    inverse = np.linalg.inv(_derivatives(ratio, before, shares)[1])
    spread = np.vstack((np.eye(classes - 1), -np.ones(classes - 1)))
    return Priors(shares, spread @ inverse @ spread.T)


def with_priors(chances: Floats, before: Floats, shares: Floats) -> Floats:
    """Return the chances that rows have where classes have other shares.

    Parameters
    ----------
    chances : ndarray of float64, shape (rows, classes)
    before, shares : ndarray of float64, shape (classes,)

    Examples
    --------
    >>> even = np.array([[0.5, 0.5], [0.2, 0.8]])
    >>> with_priors(even, np.array([0.5, 0.5]), np.array([0.8, 0.2])).tolist()
    [[0.8, 0.2], [0.5, 0.5]]
    """
    weighed = chances * (shares / before)
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def by_priors(slopes: Floats, chances: Floats, shares: Floats) -> Floats:
    """Return the derivative of a figure by the shares of classes, shape (classes,).

    Parameters
    ----------
    slopes : ndarray of float64, shape (rows, classes)
        Of the figure by each chance.
    chances : ndarray of float64, shape (rows, classes)
        As they are with these shares.
    shares : ndarray of float64, shape (classes,)
    """
    mean = (slopes * chances).sum(axis=1, keepdims=True)
    return np.asarray((chances * (slopes - mean)).sum(axis=0) / shares)


def misfit(counts: Codes, by_class: Codes, priors: Priors, rows: int) -> tuple[float, int]:
    """Measure how far counts of bins are from a mixture of those of the classes.

    Parameters
    ----------
    counts : ndarray of int64, shape (bins,)
        Rows of each bin now.
    by_class : ndarray of int64, shape (classes, bins)
        Rows of each class and bin before.
    priors : Priors
        Shares of the classes now; with no covariance they are taken as known.
    rows : int
        How many rows there are now.

    Returns
    -------
    statistic : float
        About chi-squared where only shares of classes have changed.
    freedom : int
    """
    sizes = np.maximum(by_class.sum(axis=1), 1)
    parts = by_class / sizes[:, None]
    expected = priors.shares @ parts
    noise = priors.shares**2 @ (parts / sizes[:, None])
    variance = np.maximum(expected, 0.5 / rows) / rows + noise
    gap = counts / rows - expected
    # Shares that are not known well move all bins together (Woodbury).
    values, vectors = np.linalg.eigh(priors.covariance)
    held = values > values.max(initial=0.0) * 1e-9
    ways = (vectors[:, held] * np.sqrt(values[held])).T @ parts
    across = ways / variance @ gap
    inner = np.eye(ways.shape[0]) + (ways / variance) @ ways.T
    plain = float(gap**2 @ (1.0 / variance))
    return plain - float(across @ np.linalg.solve(inner, across)), counts.size - 1


def _derivatives(ratio: Floats, before: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Return slope and minus curvature of the log-likelihood by all shares but the last."""
    likely = ratio @ shares
    each = (ratio[:, :-1] - ratio[:, -1:]) / likely[:, None]
    held = before / shares
    slope = each.sum(axis=0) + held[:-1] - held[-1]
    curve = each.T @ each + np.diag(held[:-1] / shares[:-1]) + held[-1] / shares[-1]
    return slope, curve
