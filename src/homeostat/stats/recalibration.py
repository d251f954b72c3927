"""Maps from scores to probabilities, learnt where labels are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.classifier import fit_logistic
from homeostat.stats.isotonic import isotonic

Floats: TypeAlias = "NDArray[np.float64]"
Folds: TypeAlias = "NDArray[np.int64]"
Kind: TypeAlias = Literal["none", "beta", "isotonic"]

KINDS: tuple[Kind, ...] = ("none", "beta", "isotonic")
_CELLS = 1024  # of equally many rows, in which scores are pooled first
_SURE = 1e-3  # chance that a map keeps from 0 and 1 at least, where it has seen no exception
_GAIN = 2.0  # standard errors by which a map must better the log loss of a simpler one
_RIDGE = 1e-3
_ENOUGH = 10_000  # rows for the three numbers of a beta map


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
    nothing = np.empty(0)
    if kind == "none":
        return Calibration(kind, nothing, nothing)
    share = float(labels.mean())
    if share in {0.0, 1.0}:
        return Calibration("isotonic", np.array([0.5]), np.array([share]))
    if kind == "beta":
        step = 1 + scores.size // _ENOUGH
        some = slice(None, None, step if 0.0 < labels[::step].mean() < 1.0 else None)
        model = fit_logistic(_beta_features(scores[some]), labels[some], _RIDGE)
        # A map that falls anywhere would turn the order of the scores round: flat there instead.
        first, second = (max(0.0, float(weight)) for weight in model.weights)
        return Calibration(kind, nothing, nothing, (first, second, model.intercept))
    knots, hits, rows = _pool(scores, labels)
    steps = isotonic(hits / rows, rows)
    # A step of n rows without an exception may have one in n + 1.
    _, place = np.unique(steps, return_inverse=True)
    held = np.bincount(place, rows)[place]
    edge = np.minimum(0.5 / (held + 1.0), _SURE)
    return Calibration(kind, knots, np.clip(steps, edge, 1.0 - edge))


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
    for kind in KINDS[1:]:
        held_out = np.empty(scores.size)
        for fold in np.unique(folds):
            out = folds == fold
            held_out[out] = fit_calibration(scores[~out], labels[~out], kind)(scores[out])
        losses = _losses(held_out, labels)
        gain = loss - losses
        if gain.mean() > _GAIN * gain.std() / np.sqrt(gain.size):
            best, chosen, loss = held_out, kind, losses
    return chosen, best


def _losses(chances: Floats, labels: Floats) -> Floats:
    held = np.clip(chances, 1e-6, 1.0 - 1e-6)
    losses: Floats = -np.log(np.where(labels == 1.0, held, 1.0 - held))
    return losses


def _beta_features(scores: Floats) -> Floats:
    held = np.clip(scores, 1e-6, 1.0 - 1e-6)
    return np.column_stack((np.log(held), -np.log1p(-held)))


def _pool(scores: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean score, positives and rows of each distinct score, or of cells of many."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    cell = np.cumsum(np.append(0, ordered[1:] != ordered[:-1]))
    if cell[-1] >= _CELLS:
        cell = np.arange(scores.size) * _CELLS // scores.size
        first = np.searchsorted(ordered, ordered, side="left")  # equal scores share a cell
        _, cell = np.unique(cell[first], return_inverse=True)
    rows = np.bincount(cell).astype(np.float64)
    hits = np.bincount(cell, labels[order]).astype(np.float64)
    return np.bincount(cell, ordered) / rows, hits, rows
