"""How well scores order rows: areas under the ROC and the precision-recall curve.

Rows are sorted once and tallied by distinct score; everything else is sums over that tally.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import intervals, special
from homeostat.stats.estimates import LEVEL, Estimate, missing, within
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

NAN = float("nan")
NEEDED = 5
"""Rows of each class below which no interval of an area is worth anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Weights of both classes at each distinct score, in ascending order.

    Attributes
    ----------
    scores : ndarray of float64, shape (k,)
    positive, negative : ndarray of float64, shape (k,)
        Sums of the weights of the rows with this score.
    positive_squares, negative_squares : ndarray of float64, shape (k,)
        Sums of their squares.
    positives, negatives : int
        Rows of positive weight.
    rows : ndarray of intp, shape (k,)
        Number of rows with this score.
    """

    scores: Floats
    positive: Floats
    negative: Floats
    positive_squares: Floats
    negative_squares: Floats
    positives: int
    negatives: int
    rows: Indices

    @property
    def one_class(self) -> str:
        """Why there is nothing to rank, or nothing."""
        if self.positives and self.negatives:
            return ""
        if self.positives or self.negatives:
            return "one class only: every label is " + (
                "positive" if self.positives else "negative"
            )
        return "no labelled rows"

    @property
    def few(self) -> str:
        """Why an interval would be worth nothing, or nothing."""
        fewest = min(self.positives, self.negatives)
        name = "positive" if self.positives == fewest else "negative"
        return "" if fewest >= NEEDED else f"{fewest} {name} rows, {NEEDED} are needed"


def rank(labels: Floats, scores: Floats, weights: Floats | None = None) -> Ranking:
    """Sort rows by score and tally them.

    Parameters
    ----------
    labels : ndarray of float64, shape (n,)
        0 or 1.
    scores : ndarray of float64, shape (n,)
        No NaN.
    weights : ndarray of float64, shape (n,), optional
        Finite, at least 0.
    """
    order = np.argsort(scores, kind="stable")
    sorted_weights = None if weights is None else weights[order]
    return tally(labels[order], scores[order], sorted_weights)


def tally(labels: Floats, scores: Floats, weights: Floats | None = None) -> Ranking:
    """Tally rows that are sorted by score, ascending."""
    first = np.ones(scores.size, dtype=bool)
    np.not_equal(scores[1:], scores[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    rows = np.diff(starts, append=scores.size)
    distinct = scores[starts]

    def add(values: Floats) -> Floats:
        if starts.size == values.size:
            return values
        return np.add.reduceat(values, starts)

    if weights is None:
        positive = add(labels)
        negative = rows - positive
        positives = int(positive.sum())
        counts = (positives, labels.size - positives)
        return Ranking(distinct, positive, negative, positive, negative, *counts, rows)
    true = weights * labels
    false = weights - true
    sums = (add(true), add(false), add(true * true), add(false * false))
    return Ranking(distinct, *sums, int(np.count_nonzero(true)), int(np.count_nonzero(false)), rows)


def auc(ranking: Ranking) -> float:
    """Return the area under the ROC curve; NaN with one class only.

    Examples
    --------
    >>> auc(rank(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])))
    0.75
    """
    if ranking.one_class:
        return NAN
    below = np.cumsum(ranking.negative) - ranking.negative / 2.0
    won = float(ranking.positive @ below)
    return won / (float(ranking.positive.sum()) * float(ranking.negative.sum()))


def auc_influence(ranking: Ranking) -> tuple[Floats, Floats]:
    """Return how far a unit of weight at each score moves the area, of a positive and a negative.

    DeLong's (1988) structural components over the weight of their class; both have mean zero, and
    carry the factor that makes their sum of squares unbiased.
    """
    positive, negative = float(ranking.positive.sum()), float(ranking.negative.sum())
    below = (np.cumsum(ranking.negative) - ranking.negative / 2.0) / negative
    above = 1.0 - (np.cumsum(ranking.positive) - ranking.positive / 2.0) / positive
    area = float(ranking.positive @ below) / positive
    return (
        (below - area) * (_unbiased(ranking.positive, ranking.positive_squares) / positive),
        (above - area) * (_unbiased(ranking.negative, ranking.negative_squares) / negative),
    )


def auc_estimate(ranking: Ranking) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval on the logit scale.

    Where the data separate the classes without fault, or nearly, DeLong's variance is no guide;
    the interval is then Newcombe's (2006, method 5), which needs only the numbers of rows.

    Examples
    --------
    >>> labels, scores = np.repeat([0.0, 1.0], 5), np.arange(10.0)
    >>> found = auc_estimate(rank(labels, scores))
    >>> found.value, round(found.lower, 2), found.upper
    (1.0, 0.64, 1.0)
    """
    n = ranking.positives + ranking.negatives
    if ranking.one_class or ranking.few:
        return missing(ranking.one_class or ranking.few, n)
    area, error = auc(ranking), error_of(ranking, *auc_influence(ranking))
    if math.isnan(error):
        return missing("one row has all the weight of its class", n)
    return within(area, auc_interval(area, error, ranking.positives, ranking.negatives), n)


def auc_interval(area: float, error: float, positives: float, negatives: float) -> Interval:
    """Return the interval of an area with this standard error; the wider of the two at its ends."""
    if not 0.0 < area < 1.0 or not error > 0.0:
        return _newcombe(area, positives, negatives)
    reach = special.normal_quantile((1.0 + LEVEL) / 2.0) * error / (area * (1.0 - area))
    middle = special.logit(area)
    found = Interval(special.expit(middle - reach), special.expit(middle + reach))
    if min(area, 1.0 - area) * min(positives, negatives) > 1.0:
        return found
    plain = _newcombe(area, positives, negatives)
    return Interval(min(found.lower, plain.lower), max(found.upper, plain.upper))


def average_precision(ranking: Ranking) -> float:
    """Return the mean precision over the positives, in order of score; NaN without positives.

    Examples
    --------
    >>> labels, scores = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(average_precision(rank(labels, scores)), 4)
    0.8333
    """
    if not ranking.positives:
        return NAN
    precision, _ = _precisions(ranking)
    return float(ranking.positive @ precision) / float(ranking.positive.sum())


def average_precision_influence(ranking: Ranking) -> tuple[Floats, Floats]:
    """Return how far a unit of weight at each score moves the average precision, of either class.

    A row at score s counts in the precision at every positive's score up to s: with P the weight of
    positives, N(t) the weight of rows at t or above and p(t) the precision there, it moves
    ``(y (p(s) - AP) + sum over positives i up to s of w_i (y - p(s_i)) / N(s_i)) / P``.
    """
    precision, rows = _precisions(ranking)
    total = float(ranking.positive.sum())
    value = float(ranking.positive @ precision) / total
    each = ranking.positive / rows
    upwards = np.cumsum(each * precision)
    factor = _unbiased(ranking.positive, ranking.positive_squares) / total
    return (precision - value + np.cumsum(each) - upwards) * factor, -upwards * factor


def average_precision_estimate(ranking: Ranking) -> Estimate:
    """Return the average precision, with an interval on the logit scale.

    That scale covers best (Boyd, Eng & Page, "Area under the precision-recall curve: point
    estimates and confidence intervals", ECML 2013). The error is that of the influence function.
    Each positive counts in its own precision, which makes the average of a sample too high; the
    interval, not the value, is mended for that.
    """
    n = ranking.positives + ranking.negatives
    if ranking.one_class or ranking.few:
        return missing(ranking.one_class or ranking.few, n)
    value, total = average_precision(ranking), float(ranking.positive.sum())
    rows = total**2 / float(ranking.positive_squares.sum())
    if not 0.0 < value < 1.0:
        return within(value, intervals.wilson(value * rows, rows, LEVEL), n)
    precision, above = _precisions(ranking)
    own = float((ranking.positive_squares * (1.0 - precision)) @ (1.0 / above)) / total
    centre = value - min(own, value / 2.0)
    error = error_of(ranking, *average_precision_influence(ranking))
    z = special.t_quantile(max(rows - 1.0, 1.0), (1.0 + LEVEL) / 2.0)
    reach = z * error / (centre * (1.0 - centre))
    middle = special.logit(centre)
    bounds = Interval(special.expit(middle - reach), special.expit(middle + reach))
    return within(value, bounds, n)


def error_of(ranking: Ranking, positive: Floats, negative: Floats) -> float:
    """Return the standard error that these influences make."""
    variance = ranking.positive_squares @ positive**2 + ranking.negative_squares @ negative**2
    return math.sqrt(float(variance))


def _precisions(ranking: Ranking) -> tuple[Floats, Floats]:
    """Return the precision and the weight of the rows at each score or above."""
    hits = np.cumsum(ranking.positive[::-1])[::-1]
    rows = hits + np.cumsum(ranking.negative[::-1])[::-1]
    rows = np.where(rows > 0.0, rows, 1.0)
    return hits / rows, rows


def _unbiased(weights: Floats, squares: Floats) -> float:
    """Return the root of n / (n - 1) for the effective n."""
    rows = float(weights.sum()) ** 2 / float(squares.sum())
    return math.sqrt(rows / (rows - 1.0)) if rows > 1.0 else NAN


def _newcombe(area: float, positives: float, negatives: float) -> Interval:
    """Return the areas from which `area` is no further than the quantile times their own error."""
    z = special.normal_quantile((1.0 + LEVEL) / 2.0)
    half = (positives + negatives) / 2.0 - 1.0

    def beyond(theta: float) -> bool:
        kind = 1.0 + half * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta))
        variance = theta * (1.0 - theta) * kind / (positives * negatives)
        return (area - theta) ** 2 > z * z * variance

    return Interval(_edge(beyond, 0.0, area), _edge(beyond, 1.0, area))


def _edge(beyond: Callable[[float], bool], far: float, near: float) -> float:
    """Return the value furthest from `near` that is not beyond, to 40 bits."""
    for _ in range(40):
        middle = (near + far) / 2.0
        near, far = (near, middle) if beyond(middle) else (middle, far)
    return near
