"""What metrics are expected to be, given how likely each class of each row is.

With labels as probabilities (0 and 1) they are the realized metrics, so that an estimate and what
it estimates are one formula.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

NAN = float("nan")
_TINY = 2.0**-52


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """A metric and its derivative by each probability, shape (n,) or (n, classes).

    The variance of the realized metric follows: rows are independent given their probabilities.
    """

    value: float
    slopes: Floats

    def variance(self, chances: Floats) -> float:
        """Return the sampling variance of the realized metric (delta method).

        Parameters
        ----------
        chances : ndarray of float64
            Of the shape of `slopes`.
        """
        if self.slopes.ndim == 1:
            return float(np.sum(self.slopes**2 * chances * (1.0 - chances)))
        first = (self.slopes * chances).sum(axis=1)
        return float(np.sum((self.slopes**2 * chances).sum(axis=1) - first**2))


def binary_metrics(
    chances: Floats, predicted: Floats, scores: Floats | None, wanted: Iterable[str]
) -> dict[str, Expected]:
    """Return expected metrics of a binary model.

    Parameters
    ----------
    chances : ndarray of float64, shape (n,)
        Probability that the row is positive.
    predicted : ndarray of float64, shape (n,)
        0 or 1.
    scores : ndarray of float64, shape (n,), or None
        Which order the rows and are judged by log loss and Brier score.
    wanted : iterable of str
        ``accuracy precision recall specificity f1 mcc positive_rate auc average_precision
        log_loss brier``; others are left out.

    Notes
    -----
    A ratio's expectation is taken as the ratio of expectations, which is off by a term of the order
    of 1 / n. A metric that is not defined, such as precision without a positive prediction, is NaN.

    Examples
    --------
    >>> chances = np.array([0.9, 0.2])
    >>> found = binary_metrics(chances, np.array([1.0, 0.0]), None, ["accuracy"])["accuracy"]
    >>> round(found.value, 2), round(found.variance(chances), 4)
    (0.85, 0.0625)
    """
    n = float(chances.size)
    q, true, flagged = predicted, float(chances.sum()), float(predicted.sum())
    hits = float(chances @ q)
    found: dict[str, Expected] = {}
    wanted = tuple(wanted)
    group = None if scores is None or not _RANKED.keys() & set(wanted) else _ranks(scores)
    makers = {
        "accuracy": lambda: Expected(
            _ratio(n - flagged - true + 2 * hits, n), (2 * q - 1) / max(1.0, n)
        ),
        "precision": lambda: _share(hits, flagged, q, 0.0),
        "recall": lambda: _share(hits, true, q, 1.0),
        "specificity": lambda: _share(n - flagged - true + hits, n - true, q - 1.0, -1.0),
        "f1": lambda: _share(2 * hits, true + flagged, 2 * q, 1.0),
        "mcc": lambda: _mcc(hits, true, flagged, n, q),
        "positive_rate": lambda: Expected(
            _ratio(true, n), np.full(chances.size, 1.0 / max(1.0, n))
        ),
    }
    for name in wanted:
        if name in makers:
            found[name] = makers[name]()
        elif group is not None and name in _RANKED:
            found[name] = _RANKED[name](chances, group)
        elif scores is not None and name in _LOSSES:
            found[name] = _LOSSES[name](chances, scores)
    return found


def multiclass_metrics(
    chances: Floats, predicted: Codes, scores: Floats | None, wanted: Iterable[str]
) -> dict[str, Expected]:
    """Return expected metrics of a model of several classes.

    Precision, recall, specificity, F1, ROC AUC and average precision are means over the classes,
    each against the rest; a class for which one is not defined is left out of its mean.

    Parameters
    ----------
    chances : ndarray of float64, shape (n, classes)
    predicted : ndarray of int64, shape (n,)
    scores : ndarray of float64, shape (n, classes), or None
    wanted : iterable of str
        As for `binary_metrics`, but ``positive_rate``.
    """
    rows, classes = chances.shape
    wanted = tuple(wanted)
    macro = [name for name in wanted if name in _MACRO]
    one_hot = np.zeros((rows, classes))
    one_hot[np.arange(rows), predicted] = 1.0
    each = [
        binary_metrics(
            chances[:, k], one_hot[:, k], None if scores is None else scores[:, k], macro
        )
        for k in range(classes)
    ]
    found = {name: _mean([one[name] for one in each]) for name in macro if name in each[0]}
    if "accuracy" in wanted:
        found["accuracy"] = _linear(chances, one_hot)
    if "mcc" in wanted:
        found["mcc"] = _multi_mcc(chances, one_hot)
    if scores is not None and "log_loss" in wanted:
        found["log_loss"] = _linear(chances, -np.log(np.clip(scores, _TINY, 1.0)))
    if scores is not None and "brier" in wanted:
        squares = (scores**2).sum(axis=1, keepdims=True)
        found["brier"] = _linear(chances, squares - 2.0 * scores + 1.0)
    return {name: found[name] for name in wanted if name in found}


def _ranks(scores: Floats) -> Codes:
    """Return the place of each score among the distinct ones, rising."""
    order = np.argsort(scores)
    ordered = scores[order]
    place = np.empty(scores.size, np.int64)
    place[order] = np.cumsum(np.append(False, ordered[1:] != ordered[:-1])[: scores.size])
    return place


def _auc(chances: Floats, group: Codes) -> Expected:
    """Return the expected area under the ROC curve; ties count half."""
    true = float(chances.sum())
    false = chances.size - true
    if not (true > 0.0 and false > 0.0):
        return Expected(NAN, np.zeros(chances.size))
    hits, misses = np.bincount(group, chances), np.bincount(group, 1.0 - chances)
    below = np.cumsum(misses) - misses / 2.0
    above = true - np.cumsum(hits) + hits / 2.0
    # A row makes no pair with itself.
    pairs = float(hits @ below) - float(np.sum(chances * (1.0 - chances))) / 2.0
    value = pairs / (true * false)
    slopes = (below - above)[group] / (true * false) - value * (1.0 / true - 1.0 / false)
    return Expected(value, slopes)


def _average_precision(chances: Floats, group: Codes) -> Expected:
    """Return the expected area under the steps of the precision-recall curve."""
    true = float(chances.sum())
    if not true > 0.0:
        return Expected(NAN, np.zeros(chances.size))
    hits, doubt = np.bincount(group, chances), np.bincount(group, chances * (1.0 - chances))
    rows, so_far = np.bincount(group)[::-1].cumsum()[::-1], hits[::-1].cumsum()[::-1]
    value = float(np.sum((hits * so_far + doubt) / rows)) / true
    later = np.cumsum(hits / rows)
    return Expected(value, ((so_far / rows + later)[group] - value) / true)


def _log_loss(chances: Floats, scores: Floats) -> Expected:
    held = np.clip(scores, _TINY, 1.0 - _TINY)
    if_true, if_false = -np.log(held), -np.log1p(-held)
    return _loss(chances, if_true, if_false)


def _brier(chances: Floats, scores: Floats) -> Expected:
    return _loss(chances, (1.0 - scores) ** 2, scores**2)


def _loss(chances: Floats, if_true: Floats, if_false: Floats) -> Expected:
    rows = max(1, chances.size)
    total = float(np.sum(chances * if_true + (1.0 - chances) * if_false))
    return Expected(_ratio(total, chances.size), (if_true - if_false) / rows)


def _share(part: float, whole: float, part_slope: Floats, whole_slope: float) -> Expected:
    if not whole > 0.0:
        return Expected(NAN, np.zeros(part_slope.size))
    return Expected(part / whole, (part_slope - part / whole * whole_slope) / whole)


def _mcc(hits: float, true: float, flagged: float, n: float, q: Floats) -> Expected:
    spread = flagged * (n - flagged) * true * (n - true)
    if not spread > 0.0:
        return Expected(NAN, np.zeros(q.size))
    root = float(np.sqrt(spread))
    value = (n * hits - flagged * true) / root
    bend = 0.5 * (1.0 / true - 1.0 / (n - true))
    return Expected(value, (n * q - flagged) / root - value * bend)


def _multi_mcc(chances: Floats, one_hot: Floats) -> Expected:
    """Return the expected correlation of Gorodkin (2004)."""
    n = float(chances.shape[0])
    true, flagged = chances.sum(axis=0), one_hot.sum(axis=0)
    own, other = n * n - float(true @ true), n * n - float(flagged @ flagged)
    if not (own > 0.0 and other > 0.0):
        return Expected(NAN, np.zeros(chances.shape))
    root = float(np.sqrt(own * other))
    value = (n * float(np.sum(chances * one_hot)) - float(true @ flagged)) / root
    return Expected(value, (n * one_hot - flagged) / root + value * true / own)


def _linear(chances: Floats, worth: Floats) -> Expected:
    rows = chances.shape[0]
    return Expected(_ratio(float(np.sum(chances * worth)), rows), worth / max(1, rows))


def _mean(parts: list[Expected]) -> Expected:
    defined = [part for part in parts if not np.isnan(part.value)]
    columns = np.stack([part.slopes for part in parts], axis=1)
    value = float(np.mean([part.value for part in defined])) if defined else NAN
    return Expected(value, columns / max(1, len(defined)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else NAN


_RANKED = {"auc": _auc, "average_precision": _average_precision}
_LOSSES = {"log_loss": _log_loss, "brier": _brier}
_MACRO = frozenset({"precision", "recall", "specificity", "f1", "auc", "average_precision"})
BINARY: tuple[str, ...] = (
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "mcc",
    "positive_rate",
    "auc",
    "average_precision",
    "log_loss",
    "brier",
)
MULTICLASS: tuple[str, ...] = tuple(name for name in BINARY if name != "positive_rate")
ON_SCORES: frozenset[str] = frozenset({*_RANKED, *_LOSSES})
