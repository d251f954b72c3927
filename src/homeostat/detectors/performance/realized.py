"""All metrics of one set of labelled rows, each with its interval or why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import Task
from homeostat.stats import calibration, crosstab, ranking, residuals
from homeostat.stats.crosstab import Crosstab
from homeostat.stats.estimates import NO_ROWS, Estimate, effective, mean, missing, within
from homeostat.stats.outcomes import mean_loss
from homeostat.stats.ranking import NEEDED, Ranking

Floats = NDArray[np.float64]
Figures: TypeAlias = "dict[str, Estimate]"

SCORED = ("auc", "average_precision", "log_loss", "brier", "bias", "ece", "calibration_error")
NAMES: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: (
        *SCORED,
        *("accuracy", "precision", "recall", "specificity", "f1", "mcc", "positive_rate"),
    ),
    Task.MULTICLASS: (
        *("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall", "mcc"),
        *("macro_auc", "log_loss", "brier"),
    ),
    Task.REGRESSION: ("mae", "rmse", "mape", "wape", "r2", "pinball", "bias"),
}
"""Metrics of each task; ``value`` comes on top where the owner says what outcomes are worth."""

TINY = 2.0**-52


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Rows whose label and prediction are known.

    Attributes
    ----------
    task : Task
    labels, predictions : ndarray of float64, shape (n,)
        Class indices or numbers.
    scores : ndarray of float64
        Binary: shape (n,), probabilities, all NaN if there are none; multi-class: (n, k), or (n, 0)
        if there are none. Regression: not looked at.
    classes : int
        Number of classes.
    weights : ndarray of float64, shape (n,), or None
        Above 0.
    """

    task: Task
    labels: Floats
    predictions: Floats
    scores: Floats
    classes: int = 2
    weights: Floats | None = None

    def take(self, rows: NDArray[np.intp] | slice) -> Labelled:
        """Return some of the rows."""
        return Labelled(
            self.task,
            self.labels[rows],
            self.predictions[rows],
            self.scores[rows],
            self.classes,
            None if self.weights is None else self.weights[rows],
        )

    def by_score(self) -> Labelled:
        """Return the rows in ascending order of a binary score; others as they are."""
        if self.task is not Task.BINARY:
            return self
        return self.take(np.argsort(self.scores, kind="stable"))


@dataclass(frozen=True, slots=True, eq=False)
class Realized:
    """What `realize` found.

    ``table`` is None for a regression, ``ranking`` unless the task is binary and has scores.
    """

    estimates: Figures
    table: Crosstab | None = None
    ranking: Ranking | None = None


def realize(rows: Labelled, values: Floats | None = None, quantile: float = 0.5) -> Realized:
    """Compute all metrics of the task.

    Parameters
    ----------
    rows : Labelled
        Binary rows ascending by score (`Labelled.by_score`): many segments then cost one sorting.
    values : ndarray of float64, shape (k, k), optional
        What a row of each true class (row) and predicted class (column) is worth; adds ``value``.
    quantile : float
        Of a regression, which quantile it predicts, in (0, 1): for ``pinball``.

    Examples
    --------
    >>> half = np.repeat([0.0, 1.0], 20)
    >>> scores = np.linspace(0.0, 1.0, 40)
    >>> found = realize(Labelled(Task.BINARY, half, (scores >= 0.5) * 1.0, scores)).estimates
    >>> found["auc"].value, found["accuracy"].value, round(found["accuracy"].lower, 2)
    (1.0, 1.0, 0.91)
    """
    if rows.task is Task.REGRESSION:
        return Realized(_numbers(rows, quantile))
    table = crosstab.crosstab(rows.labels, rows.predictions, rows.classes, rows.weights)
    ranked = None
    if rows.task is Task.BINARY:
        found, ranked = _binary_scores(rows)
        found |= {name: metric(table) for name, metric in BINARY.items()}
    else:
        found = {name: metric(table) for name, metric in MULTICLASS.items()}
        found |= _class_scores(rows)
    if values is not None:
        found["value"] = crosstab.mean_value(table, values)
    return Realized(found, table, ranked)


BINARY: Mapping[str, Callable[[Crosstab], Estimate]] = {
    "accuracy": crosstab.accuracy,
    "precision": crosstab.precision,
    "recall": crosstab.recall,
    "specificity": crosstab.specificity,
    "f1": crosstab.f1,
    "mcc": crosstab.mcc,
    "positive_rate": crosstab.positive_rate,
}
MULTICLASS: Mapping[str, Callable[[Crosstab], Estimate]] = {
    "accuracy": crosstab.accuracy,
    "macro_f1": crosstab.macro_f1,
    "weighted_f1": crosstab.weighted_f1,
    "macro_precision": crosstab.macro_precision,
    "macro_recall": crosstab.macro_recall,
    "mcc": crosstab.mcc,
}


def _numbers(rows: Labelled, quantile: float) -> Figures:
    true, said, weights = rows.labels, rows.predictions, rows.weights
    # A figure beyond all floats is told as too large, not as a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "mae": residuals.mae(true, said, weights),
            "rmse": residuals.rmse(true, said, weights),
            "mape": residuals.mape(true, said, weights),
            "wape": residuals.wape(true, said, weights),
            "r2": residuals.r2(true, said, weights),
            "pinball": residuals.pinball(true, said, quantile, weights),
            "bias": residuals.bias(true, said, weights),
        }


def _binary_scores(rows: Labelled) -> tuple[Figures, Ranking | None]:
    labels, scores, weights = rows.labels, rows.scores, rows.weights
    if labels.size and np.isnan(scores).any():
        return dict.fromkeys(SCORED, missing("there are no scores", labels.size)), None
    ranked = ranking.tally(labels, scores, weights)
    cells = calibration.reliability(ranked)
    unlike = 1.0 - scores

    def loss(if_negative: Floats, if_positive: Floats) -> Estimate:
        return mean_loss(labels, scores, if_negative, if_positive, weights)

    return {
        "auc": ranking.auc_estimate(ranked),
        "average_precision": ranking.average_precision_estimate(ranked),
        "log_loss": loss(-np.log(np.maximum(unlike, TINY)), -np.log(np.maximum(scores, TINY))),
        "brier": loss(scores**2, unlike**2),
        "bias": loss(scores, -unlike),
        "ece": calibration.debiased_ece(cells),
        "calibration_error": calibration.debiased_rms(cells),
    }, ranked


def _class_scores(rows: Labelled) -> Figures:
    labels, scores, weights = rows.labels, rows.scores, rows.weights
    if not scores.shape[1] or np.isnan(scores).any():
        none = missing("there are no scores" if labels.size else NO_ROWS, labels.size)
        return dict.fromkeys(("macro_auc", "log_loss", "brier"), none)
    own = scores[np.arange(labels.size), labels.astype(np.intp)]
    squares = (scores * scores).sum(axis=1) - 2.0 * own + 1.0
    return {
        "macro_auc": _macro_auc(rows),
        "log_loss": mean(-np.log(np.maximum(own, TINY)), weights),
        "brier": mean(squares, weights),
    }


def _macro_auc(rows: Labelled) -> Estimate:
    """Return the mean area of the classes that occur, each against the rest.

    A row moves all of them at once: its influences are added up before they are squared.
    """
    n = rows.labels.size
    weights = np.ones(n) if rows.weights is None else rows.weights
    counts = np.bincount(rows.labels.astype(np.intp), minlength=rows.classes)
    occurring = np.flatnonzero(counts)
    if occurring.size < 2:
        return missing("one class only" if n else NO_ROWS, n)
    fewest = int(counts[occurring].min())
    if fewest < NEEDED:
        return missing(f"a class has {fewest} rows, {NEEDED} are needed", n)
    total, moved = 0.0, np.zeros(n)
    for place in occurring:
        scores = np.ascontiguousarray(rows.scores[:, place])
        order = np.argsort(scores)
        true = (rows.labels[order] == place).astype(np.float64)
        ranked = ranking.tally(true, scores[order], weights[order])
        positive, negative = ranking.auc_influence(ranked)
        at = np.repeat(np.arange(ranked.rows.size), ranked.rows)
        moved[order] += np.where(true == 1.0, positive[at], negative[at])
        total += ranking.auc(ranked)
    value = total / occurring.size
    error = math.sqrt(float(((weights * moved) ** 2).sum())) / occurring.size
    rows_of = effective(weights) / n
    interval = ranking.auc_interval(value, error, fewest * rows_of, (n - fewest) * rows_of)
    return within(value, interval, n)
