"""Small regression trees, boosted on binned features (Friedman 2001, with Newton steps)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"
Bins: TypeAlias = "NDArray[np.uint8]"
Loss: TypeAlias = Literal["logistic", "gamma"]

MOST_BINS = 255
_NO_GAIN = 1e-12
_STEEPEST = 30.0  # log of the greatest odds or mean ratio that a prediction may have
_MOST_CELLS = 400  # of a joint histogram, beyond which adding up its cells costs more than it saves


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

    def add_to(self, start: Floats, codes: Codes | Bins) -> Floats:
        """Return log-odds or log-means: those that a fit began with, plus what trees add.

        Parameters
        ----------
        start : ndarray of float64, shape (rows,)
        codes : ndarray of uint8 or int64, shape (features, rows)
        """
        total, bins = start.copy(), as_bins(codes)
        for features, cuts, leaves in zip(self.features, self.cuts, self.leaves, strict=True):
            node, first = np.zeros(total.size, np.uint8), 0
            while first < features.size:
                level = slice(first, 2 * first + 1)
                node = _descend(bins, node, features[level], cuts[level])
                first = 2 * first + 1
            total += leaves.take(node)
        return total


def fit_trees(
    codes: Codes | Bins,
    targets: Floats,
    start: Floats,
    loss: Loss,
    rng: np.random.Generator,
    effort: Effort | None = None,
) -> Trees:
    """Improve a first prediction by trees.

    Parameters
    ----------
    codes : ndarray of uint8 or int64, shape (features, rows)
        Numbers of bins, 0 to 254.
    targets : ndarray of float64, shape (rows,)
        0 or 1 for the logistic loss, at least 0 for the gamma loss.
    start : ndarray of float64, shape (rows,)
        Log-odds, or log of the mean, to begin with.
    loss : "logistic" or "gamma"
        Gamma suits positive targets whose spread grows with their mean, such as sizes of errors.
    rng : numpy.random.Generator
        Draws the rows of each tree.
    effort : Effort, optional
        Of depth 8 at most.

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
    bins = as_bins(codes)
    inner = 2**effort.depth - 1
    features = np.zeros((effort.trees, inner), np.int64)
    cuts = np.zeros((effort.trees, inner), np.int64)
    leaves = np.zeros((effort.trees, inner + 1))
    total = start.astype(np.float64).copy()
    groups = _group(bins, targets.size * effort.share / 2 ** (effort.depth - 1))
    for tree in range(effort.trees):
        drawn = np.flatnonzero(rng.random(targets.size) < effort.share)
        slope, curve = _derivatives(targets.take(drawn), total.take(drawn), loss)
        *grown, leaf = _grow(bins, groups, drawn, (slope, curve), effort)
        features[tree], cuts[tree], leaves[tree] = grown
        total += leaves[tree].take(leaf)
    return Trees(features, cuts, leaves)


def _derivatives(targets: Floats, total: Floats, loss: Loss) -> tuple[Floats, Floats | None]:
    """Return minus the gradient of the loss and its expected curvature, None if that is 1."""
    if loss == "gamma":
        return targets * np.exp(-total) - 1.0, None
    chance = 1.0 / (1.0 + np.exp(-np.clip(total, -_STEEPEST, _STEEPEST)))
    return targets - chance, chance * (1.0 - chance)


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Features that share a histogram, so that rows are run through once for all of a group.

    ``cells`` has shape (groups, rows): where each row counts among the ``size`` cells of all
    groups; ``members`` tell for each group which cells (rows) are in which bins (columns) of its
    features, and ``places`` where these bins are in an array of all features and ``width`` bins.
    """

    cells: Codes
    members: tuple[Floats, ...]
    places: Codes
    features: int
    width: int

    def by_feature(self, sums: Floats | Codes, nodes: int) -> Floats:
        """Turn sums by node and cell into an array of shape (nodes, features, width)."""
        histogram, first, parts = sums.reshape(nodes, -1), 0, []
        for member in self.members:
            last = first + member.shape[0]
            parts.append(histogram[:, first:last] @ member)
            first = last
        found = np.zeros((nodes, self.features * self.width))
        found[:, self.places] = np.concatenate(parts, axis=1)
        return found.reshape(nodes, self.features, self.width)

    @property
    def size(self) -> int:
        """How many cells there are."""
        return sum(member.shape[0] for member in self.members)


def _group(bins: Bins, rows: float) -> _Groups:
    """Group neighbouring features as long as there are fewer cells than rows of a node."""
    widths = [int(column.max(initial=0)) + 1 for column in bins]
    groups: list[list[int]] = []
    count = 0
    for feature, width in enumerate(widths):
        if groups and count * width <= min(_MOST_CELLS, rows):
            groups[-1].append(feature)
            count *= width
        else:
            groups.append([feature])
            count = width
    first, cells, members = 0, [], []
    for group in groups:
        shape = tuple(widths[feature] for feature in group)
        of_cell = np.indices(shape).reshape(len(shape), -1)
        members.append(np.hstack([np.eye(w)[own] for own, w in zip(of_cell, shape, strict=True)]))
        held = tuple(bins[feature].astype(np.int64) for feature in group)
        cells.append(np.ravel_multi_index(held, shape) + first)
        first += of_cell.shape[1]
    width = max(widths)
    places = np.concatenate([np.arange(w) + f * width for f, w in enumerate(widths)])
    return _Groups(np.stack(cells), tuple(members), places, len(widths), width)


def _grow(
    bins: Bins,
    groups: _Groups,
    drawn: Codes,
    derivatives: tuple[Floats, Floats | None],
    effort: Effort,
) -> tuple[Codes, Codes, Floats, Bins]:
    """Grow one tree level by level; a node without a gain sends every row left.

    Returns features, cuts and leaves, and the leaf of each row, drawn or not.
    """
    slope, curve = derivatives
    # Curvature is at most 1 a row: the prior's rows count as much as the mean row.
    typical = float(curve.mean()) if curve is not None and curve.size else 1.0
    prior = effort.shrinkage * typical
    cells, size = groups.cells.take(drawn, axis=1), groups.size
    slopes, curves = (
        None if each is None else np.tile(each, cells.shape[0]) for each in (slope, curve)
    )
    node = np.zeros(bins.shape[1], np.uint8)
    features: list[Codes] = []
    cuts: list[Codes] = []
    for level in range(effort.depth):
        nodes = 2**level
        place = cells if not level else cells + node.take(drawn).astype(np.int64) * size
        sums, mass = (
            groups.by_feature(np.bincount(place.ravel(), each, nodes * size), nodes)
            for each in (slopes, curves)
        )
        feature, cut = _split(sums.cumsum(axis=2), mass.cumsum(axis=2), prior)
        features.append(feature)
        cuts.append(cut)
        node = _descend(bins, node, feature, cut)
    count, leaf = 2**effort.depth, node.take(drawn)
    step = np.bincount(leaf, slope, count) / (np.bincount(leaf, curve, count) + prior)
    return np.concatenate(features), np.concatenate(cuts), effort.rate * step, node


def _split(sums: Floats, mass: Floats, prior: float) -> tuple[Codes, Codes]:
    """Return the best feature and cut of each node, from sums up to each bin."""
    nodes, _, width = sums.shape
    all_sum, all_mass = sums[:, :, -1:], mass[:, :, -1:]
    gain = sums**2 / (mass + prior) - all_sum**2 / (all_mass + prior)
    gain += (all_sum - sums) ** 2 / (np.maximum(all_mass - mass, 0.0) + prior)
    flat = gain.reshape(nodes, -1)
    best = flat.argmax(axis=1)
    none = flat[np.arange(nodes), best] <= _NO_GAIN
    feature, cut = np.divmod(best, width)
    feature[none], cut[none] = 0, MOST_BINS
    return feature.astype(np.int64), cut.astype(np.int64)


def _descend(bins: Bins, node: Bins, features: Codes, cuts: Codes) -> Bins:
    """Return the node of the next level that each row reaches."""
    right = np.zeros(node.size, bool)
    for place, (feature, cut) in enumerate(zip(features.tolist(), cuts.tolist(), strict=True)):
        if cut < MOST_BINS:
            right |= (node == place) & (bins[feature] > cut)
    below: Bins = 2 * node + right
    return below


def as_bins(codes: Codes | Bins) -> Bins:
    """Return numbers of bins, 0 to 254, as bytes; ValueError if one is none."""
    if codes.dtype == np.uint8:
        return codes.astype(np.uint8, copy=False)
    if codes.size and not (codes.min() >= 0 and codes.max() < MOST_BINS):
        raise ValueError(f"codes must be 0 to {MOST_BINS - 1}, not {codes.min()} to {codes.max()}")
    return codes.astype(np.uint8)
