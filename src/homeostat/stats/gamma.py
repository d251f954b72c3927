"""Regression of positive numbers whose spread grows with their mean."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"

_STEPS = 30
_SETTLED = 1e-4
_LARGEST = 3.0  # change of a log-mean in one step, at most


def fit_gamma(rows: Floats, targets: Floats, penalty: float = 1.0) -> Floats:
    """Fit means whose logarithm is linear in the features, by gamma quasi-likelihood.

    Fisher scoring, whose information does not depend on the means, so that it is factorised once
    (McCullagh & Nelder 1989, ch. 8).

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, features)
    targets : ndarray of float64, shape (rows,) or (rows, k)
        At least 0, not all 0; several columns are fitted at once, each for itself.
    penalty : float
        Of the squared weights; not of the constant.

    Returns
    -------
    ndarray of float64, shape (features + 1,) or (features + 1, k)
        Weights, and then the constant.

    Raises
    ------
    ValueError
        If every target of a column is 0, whose mean has no logarithm.

    Examples
    --------
    >>> x = np.repeat([0.0, 1.0], 500)
    >>> fit_gamma(x[:, None], np.where(x > 0, 6.0, 2.0), penalty=1e-9).round(3).tolist()
    [1.099, 0.693]
    """
    columns = targets.reshape(rows.shape[0], -1)
    means = columns.mean(axis=0)
    if not (means > 0.0).all():
        raise ValueError("all targets are 0: there is no mean to explain")
    count = rows.shape[1]
    across = np.ones((count + 1, rows.shape[0]))  # a feature a row: so products run along memory
    across[:count] = rows.T
    features = across.T
    information = across @ features
    information[np.arange(count), np.arange(count)] += penalty
    shrink = np.append(np.full(count, penalty), 0.0)
    solve = np.linalg.pinv(information, hermitian=True)
    weights = np.zeros((means.size, count + 1))
    for place, target in enumerate(np.ascontiguousarray(columns.T)):
        own = np.append(np.zeros(count), np.log(means[place]))
        level = np.full(target.size, own[-1])
        for _ in range(_STEPS):
            step = solve @ (across @ (target * np.exp(-level) - 1.0) - shrink * own)
            move = features @ step
            reach = float(np.abs(move).max())
            size = min(1.0, _LARGEST / max(reach, _SETTLED))
            own += size * step
            level += size * move
            if reach < _SETTLED:
                break
        weights[place] = own
    return weights.T if targets.ndim > 1 else weights[0]
