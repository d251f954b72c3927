"""Small regression trees, boosted on binned features (Friedman 2001, with Newton steps)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"
Loss: TypeAlias = Literal["logistic", "gamma"]

_BLOCK = 16_000  # values of columns that are looked at together: they fit into a cache
_STEEPEST = 30.0  # log of the greatest odds or mean ratio that a prediction may have


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a booster learns: more trees and leaves see more, and more noise.

    ``rate`` shrinks each tree, ``shrinkage`` is how many rows of no effect are added to each leaf,
    ``share`` of the rows is drawn for each tree (stochastic boosting, Friedman 2002).
    """

    trees: int = 60
    depth: int = 4
    rate: float = 0.1
    shrinkage: float = 20.0
    share: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees from `fit_trees`: nodes in breadth-first order, one row per tree.

    ``features`` and ``cuts`` have shape (trees, 2^depth - 1): a row whose code of the feature is
    above the cut goes right. ``leaves`` has shape (trees, 2^depth).
    """

    features: Codes
    cuts: Codes
    leaves: Floats

    def add_to(self, start: Floats, codes: Codes) -> Floats:
        """Return log-odds or log-means: those that a fit began with, plus what trees add.

        Parameters
        ----------
        start : ndarray of float64, shape (rows,)
        codes : ndarray of int64, shape (features, rows)
        """
        total = start.copy()
        for tree in zip(self.features, self.cuts, self.leaves, strict=True):
            total += _follow(codes, *tree)
        return total


def fit_trees(
    codes: Codes,
    targets: Floats,
    start: Floats,
    loss: Loss,
    rng: np.random.Generator,
    effort: Effort | None = None,
) -> Trees:
    """Improve a first prediction by trees.

    Parameters
    ----------
    codes : ndarray of int64, shape (features, rows)
        Numbers of bins, at least 0.
    targets : ndarray of float64, shape (rows,)
        0 or 1 for the logistic loss, at least 0 for the gamma loss.
    start : ndarray of float64, shape (rows,)
        Log-odds, or log of the mean, to begin with.
    loss : "logistic" or "gamma"
        Gamma suits positive targets whose spread grows with their mean, such as sizes of errors.
    rng : numpy.random.Generator
        Draws the rows of each tree.
    effort : Effort, optional

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> codes = rng.integers(0, 8, (2, 4000))
    >>> label = (rng.random(4000) < np.where(codes[0] > codes[1], 0.9, 0.1)).astype(float)
    >>> trees = fit_trees(codes, label, np.zeros(4000), "logistic", rng)
    >>> odds = trees.add_to(np.zeros(2), np.array([[7, 0], [0, 7]]))
    >>> (1 / (1 + np.exp(-odds))).round(1).tolist()
    [0.9, 0.1]
    """
    effort = effort or Effort()
    inner = 2**effort.depth - 1
    features = np.zeros((effort.trees, inner), np.int64)
    cuts = np.zeros((effort.trees, inner), np.int64)
    leaves = np.zeros((effort.trees, inner + 1))
    total = start.astype(np.float64).copy()
    width = int(codes.max(initial=0)) + 1
    for tree in range(effort.trees):
        drawn = np.flatnonzero(rng.random(targets.size) < effort.share)
        slope, curve = _derivatives(targets[drawn], total[drawn], loss)
        grown = _grow(codes[:, drawn], slope, curve, width, effort)
        features[tree], cuts[tree], leaves[tree] = grown
        total += _follow(codes, *grown)
    return Trees(features, cuts, leaves)


def _derivatives(targets: Floats, total: Floats, loss: Loss) -> tuple[Floats, Floats]:
    """Return minus the gradient of the loss and its expected curvature."""
    bounded = np.clip(total, -_STEEPEST, _STEEPEST) if loss == "logistic" else total
    if loss == "gamma":
        return targets * np.exp(-bounded) - 1.0, np.ones(targets.size)
    chance = 1.0 / (1.0 + np.exp(-bounded))
    return targets - chance, chance * (1.0 - chance)


def _grow(
    codes: Codes, slope: Floats, curve: Floats, width: int, effort: Effort
) -> tuple[Codes, Codes, Floats]:
    """Grow one tree level by level; a node without a gain sends every row left."""
    # Curvature is at most 1 a row: the prior's rows count as much as the mean row.
    prior = effort.shrinkage * (float(curve.mean()) if curve.size else 1.0)
    count, rows = codes.shape
    step = min(count, max(1, _BLOCK // max(1, rows)))
    slopes, curves = np.tile(slope, step), np.tile(curve, step)
    node = np.zeros(rows, np.int64)
    features: list[Codes] = []
    cuts: list[Codes] = []
    for level in range(effort.depth):
        nodes = np.arange(2**level)
        best = np.full(nodes.size, 1e-12)
        feature, cut = np.zeros(nodes.size, np.int64), np.full(nodes.size, width, np.int64)
        for first in range(0, count, step):
            block = codes[first : first + step]
            gain = _gains(block, node, nodes.size, width, slopes, curves, prior)
            place = gain.argmax(axis=2)
            found = np.take_along_axis(gain, place[:, :, None], axis=2)[:, :, 0]
            column = found.argmax(axis=0)
            most = found[column, nodes]
            better = most > best
            best[better], feature[better] = most[better], first + column[better]
            cut[better] = place[column, nodes][better]
        features.append(feature)
        cuts.append(cut)
        node = node * 2 + (codes[feature[node], np.arange(rows)] > cut[node])
    size = 2**effort.depth
    leaf = np.bincount(node, slope, size) / (np.bincount(node, curve, size) + prior)
    return np.concatenate(features), np.concatenate(cuts), effort.rate * leaf


def _gains(
    codes: Codes,
    node: Codes,
    nodes: int,
    width: int,
    slopes: Floats,
    curves: Floats,
    prior: float,
) -> Floats:
    """Return what each cut of each column gains in each node, shape (columns, nodes, cuts)."""
    shape = codes.shape[0], nodes, width
    cells = ((np.arange(shape[0])[:, None] * nodes + node) * width + codes).ravel()
    size = math.prod(shape)
    sums = np.bincount(cells, slopes[: cells.size], size).reshape(shape).cumsum(axis=2)
    mass = np.bincount(cells, curves[: cells.size], size).reshape(shape).cumsum(axis=2)
    all_sum, all_mass = sums[:, :, -1:], mass[:, :, -1:]
    gain = sums**2 / (mass + prior) - all_sum**2 / (all_mass + prior)
    gain += (all_sum - sums) ** 2 / (np.maximum(all_mass - mass, 0.0) + prior)
    return np.asarray(gain, dtype=np.float64)


def _follow(codes: Codes, features: Codes, cuts: Codes, leaves: Floats) -> Floats:
    """Return the value of the leaf that each row reaches."""
    rows = np.arange(codes.shape[1])
    node = np.zeros(codes.shape[1], np.int64)
    while True:
        inner = node < features.size
        if not (inner.size and inner[0]):  # all rows are at the same level
            return leaves[node - features.size]
        node = 2 * node + 1 + (codes[features[node], rows] > cuts[node])
