"""Metrics of true against predicted classes, with intervals from one table of weights.

Every metric is a smooth function of the table's shares; its error follows from how far a row in
each cell moves it (the delta method), so that one pass over the rows serves all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import estimates, metrics, special
from homeostat.stats.estimates import (
    LEVEL,
    NO_ROWS,
    ONE_ROW,
    Estimate,
    missing,
    pool,
    skewed,
    within,
)
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Crosstab:
    """Rows by true class (row) and predicted class (column).

    Attributes
    ----------
    weights, squares : ndarray of float64, shape (k, k)
        Sums of the weights, and of their squares.
    counts : ndarray of int64, shape (k, k)
        Rows of positive weight.
    """

    weights: Floats
    squares: Floats
    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.counts.sum())

    @property
    def rows(self) -> float:
        """Effective rows: as many of equal weight say as much (Kish 1965)."""
        return float(self.weights.sum()) ** 2 / float(self.squares.sum())


def crosstab(
    labels: Floats, predictions: Floats, classes: int = 2, weights: Floats | None = None
) -> Crosstab:
    """Tally rows.

    Parameters
    ----------
    labels, predictions : ndarray of float64, shape (n,)
        Class indices.
    classes : int
    weights : ndarray of float64, shape (n,), optional
        Finite, at least 0.
    """
    cell = (labels * classes + predictions).astype(np.intp)
    shape, size = (classes, classes), classes * classes
    if weights is None:
        counts = np.bincount(cell, minlength=size).reshape(shape).astype(np.int64)
        return Crosstab(counts.astype(np.float64), counts.astype(np.float64), counts)
    sums = np.bincount(cell, weights, size).reshape(shape).astype(np.float64)
    squares = np.bincount(cell, weights * weights, size).reshape(shape).astype(np.float64)
    some = np.bincount(cell[weights > 0.0], minlength=size).reshape(shape)
    return Crosstab(sums, squares, some.astype(np.int64))


def accuracy(table: Crosstab) -> Estimate:
    """Return the share of rows predicted right, with Wilson's interval."""
    return _share(table, np.eye(table.weights.shape[0]), np.ones(table.weights.shape))


def precision(table: Crosstab, positive: int = 1) -> Estimate:
    """Return the share of rows predicted as `positive` that are, with Wilson's interval."""
    found = _precision(table, positive)
    return found if table.n else missing(NO_ROWS)


def recall(table: Crosstab, positive: int = 1) -> Estimate:
    """Return the share of `positive` rows that were predicted as such, with Wilson's interval."""
    found = _recall(table, positive)
    return found if table.n else missing(NO_ROWS)


def specificity(table: Crosstab, positive: int = 1) -> Estimate:
    """Return the share of rows of the other classes that were not predicted as `positive`."""
    others = np.ones(table.weights.shape)
    others[positive] = 0.0
    right = others.copy()
    right[:, positive] = 0.0
    return _share(table, right, others, "every label is positive")


def positive_rate(table: Crosstab, positive: int = 1) -> Estimate:
    """Return the share of `positive` labels, with Wilson's interval."""
    true = np.zeros(table.weights.shape)
    true[positive] = 1.0
    return _share(table, true, np.ones(table.weights.shape))


def f1(table: Crosstab, positive: int = 1) -> Estimate:
    """Return the harmonic mean of precision and recall.

    It is 2 J / (1 + J) of the share J of right rows among those that have the class as label or
    prediction; J is a plain share, so Wilson's interval of it carries over.

    Examples
    --------
    >>> found = f1(crosstab(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])))
    >>> round(found.value, 3), round(found.lower, 3), round(found.upper, 3)
    (0.8, 0.344, 0.968)
    """
    either = np.zeros(table.weights.shape)
    either[positive] = either[:, positive] = 1.0
    share = _share(table, _one(table, positive), either, "no row is positive or predicted so")
    if share.problem:
        return share
    value, lower, upper = (2.0 * x / (1.0 + x) for x in (share.value, share.lower, share.upper))
    return Estimate(value, lower, upper, share.n)


def mean_value(table: Crosstab, values: Floats) -> Estimate:
    """Return the mean value of a prediction.

    Parameters
    ----------
    values : ndarray of float64, shape (k, k)
        What a row of each true class (row) and predicted class (column) is worth.

    Examples
    --------
    >>> table = crosstab(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    >>> mean_value(table, np.array([[0.0, -2.0], [-10.0, 100.0]])).value
    22.0
    """
    if not table.n:
        return missing(NO_ROWS)
    if not table.rows > 1.0:
        return missing(ONE_ROW, table.n)
    total = float(table.weights.sum())
    mean = float((table.weights * values).sum()) / total
    moved = values - mean
    spread = float((table.squares * moved**2).sum())
    cubes = table.squares**2 / np.where(table.weights > 0.0, table.weights, 1.0)
    skewness = float((cubes * moved**3).sum()) / spread**1.5 if spread > 0.0 else 0.0
    return within(mean, skewed(mean, _error(table, values), skewness, table.rows), table.n)


def macro_f1(table: Crosstab) -> Estimate:
    """Return the mean F1 of the classes that occur as label or prediction."""
    return _averaged_f1(table)


def weighted_f1(table: Crosstab) -> Estimate:
    """Return the mean F1 of the classes, each weighted by its share of the labels."""
    return _averaged_f1(table, by_label=True)


def macro_precision(table: Crosstab) -> Estimate:
    """Return the mean precision of the classes that occur; of one never predicted it is 0."""
    return _combined(table, [_precision(table, each) for each in _occurring(table)])


def macro_recall(table: Crosstab) -> Estimate:
    """Return the mean recall of the classes that occur; of one that is never true it is 0."""
    return _combined(table, [_recall(table, each) for each in _occurring(table)])


def mcc(table: Crosstab) -> Estimate:
    """Return Matthews' correlation (Gorodkin 2004), with an interval on Fisher's z scale.

    The interval is that of the table with half a row more in each cell.
    """
    if not table.n:
        return missing(NO_ROWS)
    found = metrics.mcc(table.weights)
    if math.isnan(found):
        return missing("one class only, among the labels or among the predictions", table.n)
    padded = _padded(table)
    centre = metrics.mcc(padded.weights)
    reach = special.normal_quantile((1.0 + LEVEL) / 2.0) * _error(
        padded, _mcc_slopes(padded.weights)
    )
    reach /= 1.0 - centre**2
    middle = math.atanh(centre)
    bounds = Interval(math.tanh(middle - reach), math.tanh(middle + reach))
    return within(found, bounds, table.n)


def _share(table: Crosstab, inside: Floats, whole: Floats, problem: str = NO_ROWS) -> Estimate:
    """Return the share of the cells `inside` among those of `whole`; both are 0 or 1."""
    total = float((table.weights * whole).sum())
    n = int((table.counts * whole).sum())
    if not total:
        return missing(problem if table.n else NO_ROWS, n)
    share = float((table.weights * inside).sum()) / total
    moved = (inside - share) * whole / total
    error = math.sqrt(float((table.squares * moved**2).sum()))
    rows = total**2 / float((table.squares * whole).sum())
    return estimates.share(share, error, n, rows)


def _precision(table: Crosstab, place: int) -> Estimate:
    said = Crosstab(table.weights[:, place], table.squares[:, place], table.counts[:, place])
    return _share_of(said, place, "no row is predicted positive")


def _recall(table: Crosstab, place: int) -> Estimate:
    true = Crosstab(table.weights[place], table.squares[place], table.counts[place])
    return _share_of(true, place, "no label is positive")


def _share_of(line: Crosstab, place: int, problem: str) -> Estimate:
    """Return the share of one cell in a row or column: to look at all cells would be cubic."""
    inside = np.zeros(line.weights.size)
    inside[place] = 1.0
    found = _share(line, inside, np.ones(inside.size))
    return missing(problem) if found.problem else found


def _one(table: Crosstab, positive: int) -> Floats:
    cell = np.zeros(table.weights.shape)
    cell[positive, positive] = 1.0
    return cell


def _error(table: Crosstab, slopes: Floats) -> float:
    """Return the standard error of what moves by `slopes` as shares move, up to a constant."""
    total = float(table.weights.sum())
    centred = slopes - float((table.weights * slopes).sum()) / total
    spread = float((table.squares * centred**2).sum()) / total**2
    rows = table.rows
    return math.sqrt(spread * rows / (rows - 1.0)) if rows > 1.0 else math.nan


def _averaged_f1(table: Crosstab, *, by_label: bool = False) -> Estimate:
    """Return the mean of the classes' F1, in equal parts or by their share of the labels."""
    if not table.n:
        return missing(NO_ROWS)
    if not table.rows > 1.0:
        return missing(ONE_ROW, table.n)
    value, _ = _f1_slopes(table, by_label=by_label)
    padded = _padded(table)
    centre, slopes = _f1_slopes(padded, by_label=by_label)
    around = estimates.share(centre, _error(padded, slopes), table.n, table.rows)
    return within(min(value, 1.0), around.interval, table.n)


def _f1_slopes(table: Crosstab, *, by_label: bool) -> tuple[float, Floats]:
    """Return the mean F1, and how it moves with each cell's share."""
    shares = table.weights / table.weights.sum()
    true, said = shares.sum(axis=1), shares.sum(axis=0)
    each = _ratio(2.0 * np.diag(shares), true + said)
    parts = true if by_label else (true + said > 0.0) / np.count_nonzero(true + said)
    scaled = _ratio(parts, true + said)
    slopes = np.diag(2.0 * scaled) - (scaled * each)[:, None] - (scaled * each)[None, :]
    return float(parts @ each), slopes + each[:, None] * by_label


def _padded(table: Crosstab) -> Crosstab:
    """Return the table with half a row more in each cell, as it is for two classes.

    More classes get as much between them in each row. Without it a table with an empty cell has too
    small an error.
    """
    scale = float(table.weights.sum()) / table.rows
    padding = 1.0 / table.weights.shape[0]
    squares = table.squares + padding * scale**2
    return Crosstab(table.weights + padding * scale, squares, table.counts)


def _combined(table: Crosstab, parts: list[Estimate]) -> Estimate:
    """Return the mean of shares of different rows; one of no rows counts as 0."""
    if not table.n:
        return missing(NO_ROWS)
    nothing = Estimate(0.0, 0.0, 0.0)
    found = pool([(nothing if part.problem else part, 1.0) for part in parts])
    return within(found.value, Interval(max(found.lower, 0.0), min(found.upper, 1.0)), table.n)


def _occurring(table: Crosstab) -> list[int]:
    """Return the classes that occur as label or prediction."""
    occurs = (table.weights.sum(axis=0) + table.weights.sum(axis=1)) > 0.0
    return [int(place) for place in np.flatnonzero(occurs)]


def _ratio(amounts: Floats, wholes: Floats) -> Floats:
    found: Floats = np.where(wholes > 0.0, amounts / np.where(wholes > 0.0, wholes, 1.0), 0.0)
    return found


def _mcc_slopes(weights: Floats) -> Floats:
    """Return how the correlation moves with each cell's share, the others' being kept."""
    shares = weights / weights.sum()
    true, said = shares.sum(axis=1), shares.sum(axis=0)
    left, right = 1.0 - float(true @ true), 1.0 - float(said @ said)
    root = math.sqrt(left * right)
    found = (float(np.trace(shares)) - float(true @ said)) / root
    agreement = np.eye(true.size) - said[:, None] - true[None, :]
    slopes: Floats = agreement / root + found * (true[:, None] / left + said[None, :] / right)
    return slopes
