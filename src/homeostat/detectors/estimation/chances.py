"""How likely each class is: by the score, and by features if they say more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.guess import thin
from homeostat.stats.boosting import Bins, Effort, Trees, fit_trees
from homeostat.stats.calibration import log_odds
from homeostat.stats.recalibration import Calibration, choose_calibration, fit_calibration

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

EFFORT = Effort(trees=40, depth=3, rate=0.15, shrinkage=20.0, share=0.5)
MOST_ROWS = 20_000
"""Rows that trees learn from; half as many where they are only tried."""

PROMISING = 1e-3  # nats a row that one feature must seem to add before trees are tried
CLEAR = 3.0  # standard errors by which trees must lower the log loss ...
MOST_WORSE = 1  # ... and held-out stretches on which they may raise it
_EDGE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """A model of the label given score and features, from `fit_chances`.

    Attributes
    ----------
    calibrations : tuple of Calibration
        One of each column of scores.
    trees : tuple of Trees
        What features add to the log-odds of each; empty if nothing that holds on other stretches.
    by_score, held_out : ndarray of float64, shape (rows, columns)
        Chances of the reference rows, learnt on other stretches: by the score alone, and by all.
    """

    calibrations: tuple[Calibration, ...]
    trees: tuple[Trees, ...]
    by_score: Floats
    held_out: Floats

    def from_scores(self, scores: Floats) -> Floats:
        """Return chances by scores alone, shape (rows, columns)."""
        columns = [fit(scores[:, k]) for k, fit in enumerate(self.calibrations)]
        return _normalised(np.stack(columns, axis=1))

    def with_features(self, by_score: Floats, codes: Bins) -> Floats:
        """Return chances by scores and features, shape (rows, columns)."""
        return _with_trees(by_score, self.trees, codes) if self.trees else by_score


def fit_chances(
    scores: Floats, labels: Codes, codes: Bins, folds: Codes, rng: np.random.Generator
) -> Chances:
    """Learn the chances of each class.

    Parameters
    ----------
    scores : ndarray of float64, shape (rows, columns)
        In [0, 1]: one column for a binary model's positive class, else one of each class.
    labels : ndarray of int64, shape (rows,)
        0 or 1 with one column, else the class.
    codes : ndarray of uint8, shape (features, rows)
        Bins of features and scores.
    folds : ndarray of int64, shape (rows,)
        Stretches of time, each held out in turn.
    rng : numpy.random.Generator

    Notes
    -----
    Scores are calibrated first. If labels depend on features beyond the calibrated score, then a
    shift of the features changes the calibration (Bialek et al. 2024, arXiv 2401.08348): trees then
    learn what features add. They are used only if they lower the log loss on stretches of time that
    they were not fitted on, clearly and nearly everywhere: else what they learnt does not last.
    """
    hits = _hits(labels, scores.shape[1])
    calibrations, columns = [], []
    for k in range(scores.shape[1]):
        kind, held_out = choose_calibration(scores[:, k], hits[:, k], folds)
        calibrations.append(fit_calibration(scores[:, k], hits[:, k], kind))
        columns.append(held_out)
    by_score = _normalised(np.stack(columns, axis=1))
    plain = Chances(tuple(calibrations), (), by_score, by_score)
    if not _promising(hits - by_score, by_score, codes):
        return plain
    better, worse = by_score.copy(), 0
    for fold in np.unique(folds):
        out = folds == fold
        # The start of training rows is what held-out rows will have: chances not fitted on them.
        trees = _fit_trees(by_score, hits, codes, np.flatnonzero(~out), rng, MOST_ROWS // 2)
        better[out] = _with_trees(by_score[out], trees, codes[:, out])
        worse += float(np.mean(_gains(by_score[out], better[out], hits[out]))) < 0.0
        if worse > MOST_WORSE:
            return plain
    gain = _gains(by_score, better, hits)
    clear = bool(gain.mean() >= CLEAR * gain.std() / np.sqrt(gain.size))
    rows = np.arange(labels.size)
    trees = _fit_trees(by_score, hits, codes, rows, rng, MOST_ROWS) if clear else ()
    return Chances(tuple(calibrations), trees, by_score, better if clear else by_score)


def _fit_trees(
    chances: Floats,
    hits: Floats,
    codes: Bins,
    rows: Codes,
    rng: np.random.Generator,
    most: int,
) -> tuple[Trees, ...]:
    some = thin(rows, most)
    odds, held = log_odds(chances[some], _EDGE), np.ascontiguousarray(codes[:, some])
    return tuple(
        fit_trees(held, hits[some, k], odds[:, k], "logistic", rng, EFFORT)
        for k in range(chances.shape[1])
    )


def _with_trees(chances: Floats, trees: tuple[Trees, ...], codes: Bins) -> Floats:
    odds = log_odds(chances, _EDGE)
    columns = [tree.add_to(odds[:, k], codes) for k, tree in enumerate(trees)]
    return _normalised(1.0 / (1.0 + np.exp(-np.stack(columns, axis=1))))


def _promising(residuals: Floats, chances: Floats, codes: Bins) -> bool:
    """Tell whether the mean residual differs between the bins of any feature, by enough."""
    spread = chances * (1.0 - chances) + _EDGE
    for column in codes:
        for k in range(chances.shape[1]):
            mass = np.bincount(column, spread[:, k])
            sums = np.bincount(column, residuals[:, k])
            used = mass > 0.0
            # Each bin adds one by chance.
            excess = float(np.sum(sums[used] ** 2 / mass[used])) - 2.0 * int(used.sum())
            if excess > 2.0 * PROMISING * residuals.shape[0]:
                return True
    return False


def _hits(labels: Codes, columns: int) -> Floats:
    if columns == 1:
        return labels[:, None].astype(np.float64)
    hits: Floats = np.eye(columns)[labels]
    return hits


def _normalised(chances: Floats) -> Floats:
    if chances.shape[1] == 1:
        return chances
    whole = chances.sum(axis=1, keepdims=True)
    even = np.full_like(chances, 1.0 / chances.shape[1])
    np.divide(chances, whole, out=even, where=whole > 0.0)
    return even


def _gains(before: Floats, after: Floats, hits: Floats) -> Floats:
    return _losses(before, hits) - _losses(after, hits)


def _losses(chances: Floats, hits: Floats) -> Floats:
    held = np.clip(chances, _EDGE, 1.0 - _EDGE)
    if chances.shape[1] == 1:
        held, hits = np.hstack((held, 1.0 - held)), np.hstack((hits, 1.0 - hits))
    losses: Floats = -(hits * np.log(held)).sum(axis=1)
    return losses
