"""Regression of positive numbers whose spread grows with their mean."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"

_STEPS = 30
_SETTLED = 1e-6
_LARGEST = 3.0  # change of a log-mean in one step, at most


def fit_gamma(rows: Floats, targets: Floats, penalty: float = 1.0) -> Floats:
    """Fit means whose logarithm is linear in the features, by gamma quasi-likelihood.

    Fisher scoring, whose information does not depend on the means, so that it is factorised once
    (McCullagh & Nelder 1989, ch. 8).

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, features)
    targets : ndarray of float64, shape (rows,)
        At least 0, not all 0.
    penalty : float
        Of the squared weights; not of the constant.

    Returns
    -------
    ndarray of float64, shape (features + 1,)
        Weights, and then the constant.

    Raises
    ------
    ValueError
        If every target is 0, whose mean has no logarithm.

    Examples
    --------
    >>> x = np.repeat([0.0, 1.0], 500)
    >>> fit_gamma(x[:, None], np.where(x > 0, 6.0, 2.0), penalty=1e-9).round(3).tolist()
    [1.099, 0.693]
    """
    mean = float(targets.mean())
    if not mean > 0.0:
        raise ValueError("all targets are 0: there is no mean to explain")
    features = np.column_stack((rows, np.ones(targets.size)))
    information = features.T @ features
    places = np.arange(rows.shape[1])
    information[places, places] += penalty
    weights = np.zeros(features.shape[1])
    weights[-1] = np.log(mean)
    shrink = np.append(np.full(rows.shape[1], penalty), 0.0)
    solve = np.linalg.pinv(information, hermitian=True)
    for _ in range(_STEPS):
        score = features.T @ (targets * np.exp(-(features @ weights)) - 1.0) - shrink * weights
        step = solve @ score
        reach = float(np.abs(features @ step).max())
        weights = weights + step * min(1.0, _LARGEST / max(reach, _SETTLED))
        if reach < _SETTLED:
            break
    return weights
