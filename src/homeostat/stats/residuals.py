"""Metrics of predicted against true numbers, with intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.estimates import (
    NO_ROWS,
    ONE_ROW,
    Estimate,
    mean,
    mean_and_error,
    missing,
    positive,
)

Floats = NDArray[np.float64]


def mae(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the mean absolute error."""
    return mean(np.abs(predictions - labels), weights)


def bias(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the mean of prediction minus label: above 0, the model predicts too much."""
    return mean(predictions - labels, weights)


def pinball(
    labels: Floats, predictions: Floats, quantile: float, weights: Floats | None = None
) -> Estimate:
    """Return the mean loss of predicting this quantile (Koenker & Bassett 1978).

    Examples
    --------
    >>> pinball(np.array([10.0, 10.0]), np.array([8.0, 12.0]), 0.9).value
    1.0
    """
    above = labels - predictions
    return mean(np.maximum(quantile * above, (quantile - 1.0) * above), weights)


def mape(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the mean absolute error relative to the label, over the rows whose label is not 0.

    Where labels come close to 0 it has no finite mean, and no interval can cover: take `wape`.
    """
    some = labels != 0.0
    if not some.any():
        return missing("every label is 0" if labels.size else NO_ROWS)
    true, said = labels[some], predictions[some]
    return mean(np.abs((said - true) / true), None if weights is None else weights[some])


def wape(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the sum of absolute errors over the sum of absolute labels.

    The interval is symmetric in the logarithm, with the linearised error of a ratio of means.

    Examples
    --------
    >>> wape(np.array([8.0, 2.0]), np.array([7.0, 3.0])).value
    0.2
    """
    errors, size = np.abs(predictions - labels), np.abs(labels)
    return _ratio(errors, size, weights, "every label is 0")


def rmse(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the root of the mean squared error.

    Examples
    --------
    >>> rmse(np.array([0.0, 0.0]), np.array([1.0, 7.0])).value
    5.0
    """
    squares = mean((predictions - labels) ** 2, weights)
    if not squares.bounded:
        return missing(squares.problem, squares.n)
    value, lower, upper = (
        math.sqrt(max(bound, 0.0)) for bound in (squares.value, squares.lower, squares.upper)
    )
    return Estimate(value, lower, upper, squares.n)


def r2(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the share of variance explained; below 0 if worse than the mean.

    The interval is symmetric in the logarithm of the rest, ``1 - R2``.
    """
    centre, _, _ = mean_and_error(labels, weights)
    around = (labels - centre) ** 2
    rest = _ratio((predictions - labels) ** 2, around, weights, "every label is the same")
    if rest.problem:
        return rest
    return Estimate(1.0 - rest.value, 1.0 - rest.upper, 1.0 - rest.lower, rest.n)


def _ratio(amounts: Floats, wholes: Floats, weights: Floats | None, zero: str) -> Estimate:
    """Return the ratio of two means of what cannot be negative."""
    n = amounts.size
    whole, _, rows = mean_and_error(wholes, weights)
    if not rows > 1.0:
        return missing(ONE_ROW if rows else NO_ROWS, n)
    if not whole > 0.0:
        return missing(zero, n)
    value = mean_and_error(amounts, weights)[0] / whole
    _, error, _ = mean_and_error(amounts - value * wholes, weights)
    return positive(value, error / whole, n, rows)
