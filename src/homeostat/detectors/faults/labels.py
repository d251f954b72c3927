"""Labels that stand still or hold each other's names, and labels of one class only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.masses import STILL, FaultyRows
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions

Floats = NDArray[np.float64]

LABEL = "the label"
_BINS = 10  # of a score
_PLAIN = 30.0  # chi-squared by which exchanged classes must fit better than any new mix of them
_REACH = 4.0  # standard deviations of a chi-squared that fits
_NEARLY = 0.02  # share of the misfit that exchanged classes may leave
_CHANCE = 1e-3  # a score never says less
_STEPS = 50
_PARTLY = 0.9  # share of rows with labels below which other classes may be those not known


def find_label_fault(
    before: Predictions, now: Predictions, config: FaultConfig
) -> FaultyRows | None:
    """Find labels that are all of one class, or one number, and classes under each other's names.

    One class only is a fault where neither its share in the reference nor the current scores let
    one expect it, and where the labels of nearly all rows are known: else it may be that only one
    class is. Classes are exchanged where, for a given score, each is as frequent as another one
    was, and no change of their mix explains it; not where they are equally frequent, as what inputs
    mean may have turned there as well.

    Parameters
    ----------
    before, now : Predictions
        Of the same task and classes.
    config : FaultConfig
    """
    known = before.known, now.known
    if min(int(np.count_nonzero(side)) for side in known) < 2 * config.min_rows:
        return None
    if now.task is Task.REGRESSION:
        return _one_number(before.labels[known[0]], now)
    if float(known[1].mean()) >= _PARTLY and (one := only_class(before, now, config)) is not None:
        was = float((before.labels[known[0]] == one).mean())
        text = f"{LABEL}: every row holds {now.classes[one]!r}, {was:.1%} did: the value is stuck"
        return _told(FaultKind.STUCK, text, now)
    return _exchanged(before, now)


def only_class(before: Predictions, now: Predictions, config: FaultConfig) -> int | None:
    """Return the one class of all current labels, if that is beyond chance.

    By its share in the reference as by the current scores, whichever makes it likelier.
    """
    labels = now.labels[now.known]
    if not labels.size or np.unique(labels).size > 1:
        return None
    one = int(labels[0])
    usual = float((before.labels[before.known] == one).mean())
    said: Floats = np.clip(_chance(now, one), _CHANCE, 1.0 - _CHANCE)
    likely = max(float(np.log(said).sum()), labels.size * float(np.log(max(usual, _CHANCE))))
    return one if likely < np.log(config.level) else None


def hide_labels(rows: Predictions) -> Predictions:
    """Take all labels for not known."""
    return replace(rows, labels=np.full(len(rows), np.nan))


def _chance(now: Predictions, one: int) -> Floats:
    """Return what the model says of a class, of rows with labels: its score, or a class."""
    scores = now.scores[now.known]
    if scores.size and bool(np.isfinite(scores).all()):
        if now.task is Task.MULTICLASS:
            scores = scores[:, one]
        elif not one:
            scores = 1.0 - scores
        return scores
    found: Floats = (now.predictions[now.known] == one).astype(np.float64)
    return found


def _one_number(before: Floats, now: Predictions) -> FaultyRows | None:
    values, counts = np.unique(now.labels[now.known], return_counts=True)
    top = float(values[np.argmax(counts)])
    share, was = float(counts.max() / counts.sum()), float((before == top).mean())
    if share < STILL or was > 0.5:
        return None
    text = f"{LABEL}: {share:.0%} of rows hold {top:g}, {was:.1%} did: the value is stuck"
    return _told(FaultKind.STUCK, text, now)


def _exchanged(before: Predictions, now: Predictions) -> FaultyRows | None:
    classes = len(before.classes)
    bins = _bins(before, now)
    if classes < 2 or bins is None:
        return None
    sides = [rows.labels[rows.known].astype(np.int64) for rows in (before, now)]
    tables = [np.zeros((max(int(b.max()) for b in bins) + 1, classes)) for _ in range(2)]
    for table, place, labels in zip(tables, bins, sides, strict=True):
        np.add.at(table, (place, labels), 1.0)
    seen = (tables[0].sum(axis=1) >= classes) & (tables[1].sum(axis=1) > 0)
    was, is_now = tables[0][seen], tables[1][seen]
    if not was.size:
        return None
    order = _best_order(was, is_now)
    size = int(np.count_nonzero(seen)) * (classes - 1)
    left = _misfit(was[:, order], is_now)
    mixed = _misfit(_remixed(was, is_now), is_now)
    allowed = max(size + _REACH * float(np.sqrt(2.0 * size)), _NEARLY * mixed)
    if np.array_equal(order, np.arange(classes)) or left > allowed or mixed - left < _PLAIN:
        return None
    # Classes as frequent as each other: their meaning may have been turned as well.
    if _misfit(was.sum(axis=0, keepdims=True), is_now.sum(axis=0, keepdims=True)) < _PLAIN:
        return None
    names = before.classes
    pairs = tuple((names[a], names[b]) for b, a in enumerate(order.tolist()) if a != b)
    text = f"{LABEL}: classes have changed places, such as {pairs[0][0]!r} now {pairs[0][1]!r}"
    return _told(FaultKind.RECODED, text, now, tuple(sorted(pairs)))


def _bins(before: Predictions, now: Predictions) -> tuple[NDArray[np.int64], ...] | None:
    """Return what the model said of each row with a label: a class, or a step of its score."""
    said = [rows.scores[rows.known] for rows in (before, now)]
    if before.task is Task.BINARY and all(np.isfinite(side).all() for side in said):
        edges = np.unique(np.quantile(said[0], np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
        return tuple(np.searchsorted(edges, side, side="right") for side in said)
    classes = [rows.predictions[rows.known] for rows in (before, now)]
    if not all(np.isfinite(side).all() and (side >= 0).all() for side in classes):
        return None
    return tuple(side.astype(np.int64) for side in classes)


def _best_order(was: Floats, seen: Floats) -> NDArray[np.intp]:
    """Return for each class now the one before that it is most like; exchanges of two."""
    order = np.arange(was.shape[1])
    while True:
        best, exchange = _misfit(was[:, order], seen), None
        for one in range(order.size):
            for two in range(one + 1, order.size):
                other = order.copy()
                other[[one, two]] = order[[two, one]]
                left = _misfit(was[:, other], seen)
                if left < best - 1e-9:
                    best, exchange = left, other
        if exchange is None:
            return order
        order = exchange


def _remixed(was: Floats, seen: Floats) -> Floats:
    """Return counts under today's mix of classes: each class times a constant, bin by bin."""
    rows = was.sum(axis=1, keepdims=True)
    usual = (was + 0.5) / (was + 0.5).sum(axis=1, keepdims=True)
    weights = np.ones(was.shape[1])
    aim, sizes = seen.sum(axis=0) + 0.5, seen.sum(axis=1)
    for _ in range(_STEPS):
        shares = usual * weights
        shares /= shares.sum(axis=1, keepdims=True)
        weights = weights * aim / (sizes @ shares + 0.5)
    shares = usual * weights
    found: Floats = rows * shares / shares.sum(axis=1, keepdims=True)
    return found


def _misfit(was: Floats, seen: Floats) -> float:
    """Return the chi-squared of the classes' shares, bin by bin."""
    sizes = was.sum(axis=1, keepdims=True), seen.sum(axis=1, keepdims=True)
    pooled = (was + seen + 0.5) / (sizes[0] + sizes[1] + 0.5 * was.shape[1])
    gap = was / np.maximum(sizes[0], 1.0) - seen / np.maximum(sizes[1], 1.0)
    # Classes add up: of k, a multinomial chi-squared has k - 1 degrees of freedom.
    error = pooled * (1.0 / np.maximum(sizes[0], 1.0) + 1.0 / np.maximum(sizes[1], 1.0))
    return float((gap**2 / error).sum())


def _told(
    kind: FaultKind, text: str, now: Predictions, mapping: tuple[tuple[str, str], ...] = ()
) -> FaultyRows:
    fault = DataFault(kind, (LABEL,), text, mapping=mapping)
    return FaultyRows(fault, np.ones(len(now), dtype=bool))
