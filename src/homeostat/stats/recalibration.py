"""Maps from scores to probabilities, learnt where labels are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.isotonic import isotonic

Floats: TypeAlias = "NDArray[np.float64]"
Folds: TypeAlias = "NDArray[np.int64]"
Kind: TypeAlias = Literal["none", "beta", "isotonic"]

KINDS: tuple[Kind, ...] = ("none", "beta", "isotonic")
_CELLS = 1024  # of equally many rows, in which scores are pooled first
_SURE = 1e-3  # chance that a map keeps from 0 and 1 at least, where it has seen no exception
_GAIN = 2.0  # standard errors by which a map must better the log loss of a simpler one
_RIDGE = 1e-3
_FLAT = 1e-9
_SETTLED = 1e-8  # change of log-odds
_STEPS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A rising map from scores to probabilities: straight lines between knots.

    Attributes
    ----------
    kind : "none", "beta" or "isotonic"
    knots, values : ndarray of float64, shape (k,)
        Of the isotonic map; beyond the first and last knot it is flat.
    weights : tuple of float
        Of the beta map (Kull, Silva Filho & Flach 2017): of log p, of -log(1 - p), and a constant.
    """

    kind: Kind
    knots: Floats
    values: Floats
    weights: tuple[float, float, float] = (1.0, 1.0, 0.0)

    def __call__(self, scores: Floats) -> Floats:
        """Return a probability for each score, shape (n,)."""
        if self.kind == "none":
            return scores
        if self.kind == "isotonic":
            return np.interp(scores, self.knots, self.values)
        odds = _beta_features(scores) @ np.array(self.weights[:2]) + self.weights[2]
        chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -500.0, 500.0)))
        return chance


def fit_calibration(scores: Floats, labels: Floats, kind: Kind) -> Calibration:
    """Learn a map of one kind.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
        In [0, 1].
    labels : ndarray of float64, shape (n,)
        0 or 1.
    kind : "none", "beta" or "isotonic"

    Examples
    --------
    >>> scores = np.repeat([0.1, 0.6, 0.9], 1000)
    >>> labels = (np.arange(3000) % 10 < np.repeat([2, 5, 7], 1000)).astype(float)
    >>> fit_calibration(scores, labels, "isotonic")(np.array([0.1, 0.6, 0.9])).round(2).tolist()
    [0.2, 0.5, 0.7]
    """
    order = np.argsort(scores, kind="stable")
    return _fit(kind, *_pool(scores[order], labels[order]))


def choose_calibration(scores: Floats, labels: Floats, folds: Folds) -> tuple[Kind, Floats]:
    """Choose the kind of map that does best on rows it was not fitted on.

    Parameters
    ----------
    scores, labels : ndarray of float64, shape (n,)
    folds : ndarray of int64, shape (n,)
        Which rows are held out together; best stretches of time.

    Returns
    -------
    kind : "none", "beta" or "isotonic"
        The simplest whose log loss is not beaten by two standard errors.
    held_out : ndarray of float64, shape (n,)
        Probabilities of that kind, each from a map that has not seen the row.
    """
    best, chosen = scores, KINDS[0]
    loss = _losses(scores, labels)
    order = np.argsort(scores, kind="stable")
    rising = scores[order], labels[order], folds[order]
    parts = {}
    for fold in np.unique(folds):
        rest = rising[2] != fold
        parts[fold] = folds == fold, _pool(rising[0][rest], rising[1][rest])
    for kind in KINDS[1:]:
        held_out = np.empty(scores.size)
        for out, pooled in parts.values():
            held_out[out] = _fit(kind, *pooled)(scores[out])
        losses = _losses(held_out, labels)
        gain = loss - losses
        if gain.mean() > _GAIN * gain.std() / np.sqrt(gain.size):
            best, chosen, loss = held_out, kind, losses
    return chosen, best


def _fit(kind: Kind, means: Floats, hits: Floats, rows: Floats) -> Calibration:
    """Learn a map from how many rows of each cell are positive."""
    nothing = np.empty(0)
    if kind == "none":
        return Calibration(kind, nothing, nothing)
    share = float(hits.sum() / rows.sum())
    if share in {0.0, 1.0}:
        return Calibration("isotonic", np.array([0.5]), np.array([share]))
    if kind == "beta":
        return Calibration(kind, nothing, nothing, _fit_beta(means, hits, rows))
    steps = isotonic(hits / rows, rows)
    # A step of n rows without an exception may have one in n + 1.
    _, place = np.unique(steps, return_inverse=True)
    held = np.bincount(place, rows)[place]
    edge = np.minimum(0.5 / (held + 1.0), _SURE)
    return Calibration(kind, means, np.clip(steps, edge, 1.0 - edge))


def _fit_beta(means: Floats, hits: Floats, rows: Floats) -> tuple[float, float, float]:
    """Return the weights of the likeliest beta map that does not fall anywhere.

    A term with a negative weight would turn the order of scores round: it is left out and the rest
    fitted again, as by Kull et al. So the constant is free and the mean chance is that of labels.
    """
    features = _beta_features(means)
    found = _fit_terms(features, (0, 1), hits, rows)
    if min(found[:2]) >= 0.0:
        return found
    fewer = [_fit_terms(features, terms, hits, rows) for terms in ((0,), (1,), ())]
    rising = [each for each in fewer if min(each[:2]) >= 0.0]
    return max(rising, key=lambda each: _likelihood(features, each, hits, rows))


def _fit_terms(
    features: Floats, terms: tuple[int, ...], hits: Floats, rows: Floats
) -> tuple[float, float, float]:
    """Return the likeliest weights of some terms and a constant, by Newton's method on cells."""
    chosen = np.column_stack((features[:, terms], np.ones(rows.size)))
    shrink = np.append(np.full(len(terms), _RIDGE), 0.0)
    weights = np.zeros(shrink.size)
    weights[-1] = np.log(hits.sum() / (rows.sum() - hits.sum()))
    reach, steps = np.inf, 0
    while reach > _SETTLED and steps < _STEPS:
        chance = 1.0 / (1.0 + np.exp(-chosen @ weights))
        slope = chosen.T @ (hits - rows * chance) - shrink * weights
        curve = (chosen.T * (rows * chance * (1.0 - chance))) @ chosen
        step = np.linalg.solve(curve + np.diag(shrink + _FLAT), slope)
        reach = float(np.abs(chosen @ step).max())
        weights += step * min(1.0, 1.0 / max(reach, _SETTLED))  # further the curvature is another
        steps += 1
    found = [0.0, 0.0, float(weights[-1])]
    for place, weight in zip(terms, weights[:-1].tolist(), strict=True):
        found[place] = weight
    return found[0], found[1], found[2]


def _likelihood(
    features: Floats, weights: tuple[float, float, float], hits: Floats, rows: Floats
) -> float:
    odds = features @ np.array(weights[:2]) + weights[2]
    own = float(hits @ odds - rows @ np.logaddexp(0.0, odds))
    return own - _RIDGE / 2.0 * (weights[0] ** 2 + weights[1] ** 2)


def _losses(chances: Floats, labels: Floats) -> Floats:
    held = np.clip(chances, 1e-6, 1.0 - 1e-6)
    losses: Floats = -np.log(np.where(labels == 1.0, held, 1.0 - held))
    return losses


def _beta_features(scores: Floats) -> Floats:
    held = np.clip(scores, 1e-6, 1.0 - 1e-6)
    return np.column_stack((np.log(held), -np.log1p(-held)))


def _pool(scores: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean score, positives and rows of each distinct score, or of cells of many.

    Scores are rising.
    """
    fresh = np.append(True, scores[1:] != scores[:-1])
    cell = np.cumsum(fresh) - 1
    if cell[-1] >= _CELLS:
        # Equal scores share a cell: that of the first of them.
        places = (np.flatnonzero(fresh) * _CELLS // scores.size)[cell]
        cell = np.cumsum(np.append(False, places[1:] != places[:-1]))
    rows = np.bincount(cell).astype(np.float64)
    hits = np.bincount(cell, labels).astype(np.float64)
    return np.bincount(cell, scores) / rows, hits, rows
