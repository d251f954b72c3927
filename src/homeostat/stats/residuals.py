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

    The interval is one of the logarithm, with the error of the jackknife: a row far out moves both
    sums, and what it would be without that row is not what a line says.

    Examples
    --------
    >>> wape(np.array([8.0, 2.0]), np.array([7.0, 3.0])).value
    0.2
    """
    errors, size = np.abs(predictions - labels), np.abs(labels)
    return _ratio(errors, size, weights, "every label is 0")


def rmse(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the root of the mean squared error; see `homeostat.stats.estimates.positive`.

    Examples
    --------
    >>> rmse(np.array([0.0, 0.0]), np.array([1.0, 7.0])).value
    5.0
    """
    squares = (predictions - labels) ** 2
    value, _, rows = mean_and_error(squares, weights)
    if not rows > 1.0:
        return missing(ONE_ROW if rows else NO_ROWS, squares.size)
    parts = (
        np.full(squares.size, 1.0 / squares.size) if weights is None else weights / weights.sum()
    )
    moved = parts * (squares / value - 1.0) if value > 0.0 else np.zeros(squares.size)
    found = positive(value, moved, squares.size, rows)
    if found.problem:
        return found
    value, lower, upper = map(math.sqrt, (found.value, found.lower, found.upper))
    return Estimate(value, lower, upper, found.n)


def r2(labels: Floats, predictions: Floats, weights: Floats | None = None) -> Estimate:
    """Return the share of variance explained; below 0 if worse than the mean.

    The interval is one of the logarithm of the rest, ``1 - R2``, as that of `wape`.
    """
    centre, _, _ = mean_and_error(labels, weights)
    around = (labels - centre) ** 2
    rest = _ratio((predictions - labels) ** 2, around, weights, "every label is the same", 1.0)
    if rest.problem:
        return rest
    return Estimate(1.0 - rest.value, 1.0 - rest.upper, 1.0 - rest.lower, rest.n)


def _ratio(
    amounts: Floats, wholes: Floats, weights: Floats | None, zero: str, centred: float = 0.0
) -> Estimate:
    """Return the ratio of two sums of what cannot be negative.

    `centred` is 1 where the wholes are squares about a mean, which moves with each row.
    """
    n = amounts.size
    whole, _, rows = mean_and_error(wholes, weights)
    if not rows > 1.0:
        return missing(ONE_ROW if rows else NO_ROWS, n)
    if not whole > 0.0:
        return missing(zero, n)
    parts = _parts(n, weights)
    amount = float(parts @ amounts)
    if not amount > 0.0:
        return positive(0.0, parts, n, rows)
    without = 1.0 - parts
    left = _rest(parts * amounts / amount, rows)
    of = _rest(parts * wholes / whole / without**centred, rows)
    return positive(amount / whole, without * np.log(of / left), n, rows)


def _parts(n: int, weights: Floats | None) -> Floats:
    return np.full(n, 1.0 / n) if weights is None else weights / weights.sum()


def _rest(shares: Floats, rows: float) -> Floats:
    """Return what is left of a sum without each row, at least what one row has on average."""
    return np.maximum(1.0 - shares, 1.0 / rows)
