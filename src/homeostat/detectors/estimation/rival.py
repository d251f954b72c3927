"""Another story that rows without labels may tell: classes have become more or less frequent.

Estimates rest on covariate shift: labels follow from inputs as they did. Under label shift inputs
follow from labels as they did (Lipton, Wang & Smola 2018), and figures are others. Which of the two
it is does not show where both explain the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.guess import thin
from homeostat.stats.boosting import MOST_BINS, Bins
from homeostat.stats.label_shift import Priors, estimate_priors, misfit
from homeostat.stats.special import chi2_sf

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

GROUPS = 8
"""Of neighbouring bins, by which a column's distribution is judged."""

TIED = 1e-3
"""Chance, over all columns, that one is thought to tell of labels which does not."""

REFUTED = 0.01
"""Chance of a misfit as large, over all columns, under which label shift does not explain rows."""

EXPLAINED = 0.9
"""Share of what columns have moved, squared, that a story must explain, where it is not all of it:
then they have moved a third as far in other ways."""

MOVED = 0.2
"""Chance of shares of classes as far from before, under which rows are taken to have moved."""

MOST_ROWS = 10_000
"""From which shares are estimated."""

_CODES = MOST_BINS + 1


@dataclass(frozen=True, slots=True, eq=False)
class Shifted:
    """What label shift makes of some rows.

    Attributes
    ----------
    priors : Priors
        Shares of classes; their covariance has the noise of the reference too.
    own : ndarray of float64, shape (classes, classes)
        Covariance from these rows alone.
    moved : bool
        Whether the shares are others than before, beyond noise.
    sure : float
        Share of the squared move that is beyond noise, 0 to 1.
    """

    priors: Priors
    own: Floats
    moved: bool
    sure: float


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A column that tells of labels: groups of its bins, and reference rows by class and group."""

    place: int
    groups: Codes
    by_class: Codes

    def count(self, codes: Bins) -> Codes:
        """Return rows by group."""
        rows = np.bincount(codes, minlength=self.groups.size)
        return np.bincount(self.groups, rows, self.by_class.shape[1]).astype(np.int64)


class LabelShift:
    """How frequent classes were, and how columns are distributed within each."""

    def __init__(self, labels: Codes, classes: int, codes: Bins) -> None:
        rows = np.bincount(labels, minlength=classes)
        self.before = np.asarray((rows + 0.5) / (labels.size + 0.5 * classes), np.float64)
        self._rows = labels.size
        columns = [_column(place, codes[place], labels, classes) for place in range(len(codes))]
        self._columns = [each for each in columns if _tells(each.by_class, TIED / len(columns))]

    def explain(self, chances: Floats, whole: Shifted | None = None) -> Shifted:
        """Return what label shift makes of rows.

        Parameters
        ----------
        chances : ndarray of float64, shape (rows, classes)
            As they were before.
        whole : Shifted, optional
            Of more rows, which these are among. Shares are taken to be as in these, but for what
            these differ beyond noise (empirical Bayes, Efron & Morris 1973).
        """
        some = thin(np.arange(len(chances)), MOST_ROWS)
        found = estimate_priors(chances[some], self.before)
        shares, own, freedom = found.shares, found.covariance, self.before.size - 1
        known = own * (some.size / self._rows)  # what the reference leaves open
        evidence = _distance(shares - self.before, own + known)
        moved, noise = chi2_sf(freedom, evidence) < MOVED, own
        if whole is not None:
            apart = shares - whole.priors.shares
            beyond = _beyond(_distance(apart, own), freedom)
            shares, noise = whole.priors.shares + beyond * apart, whole.own + beyond * own
            moved |= whole.moved
        return Shifted(Priors(shares, noise + known), own, moved, _beyond(evidence, freedom))

    def fits(self, shifted: Shifted, codes: Bins) -> bool:
        """Tell whether columns are distributed as a change of classes' shares makes them."""
        rows = codes.shape[1]
        counts = [each.count(codes[each.place]) for each in self._columns]
        pairs = list(zip(counts, self._columns, strict=True))
        found = [misfit(now, each.by_class, shifted.priors, rows) for now, each in pairs]
        least = min((chi2_sf(freedom, value) for value, freedom in found), default=1.0)
        if least * len(pairs) >= REFUTED:
            return True
        unmoved = Priors(self.before, np.zeros_like(shifted.priors.covariance))
        whole = [misfit(now, each.by_class, unmoved, rows) for now, each in pairs]
        left, moved = (sum(value - freedom for value, freedom in side) for side in (found, whole))
        return left <= (1.0 - EXPLAINED) * moved


def _distance(move: Floats, covariance: Floats) -> float:
    """Return the squared length of a move of shares in standard errors; they add up to 0."""
    return float(move[:-1] @ np.linalg.solve(covariance[:-1, :-1], move[:-1]))


def _beyond(distance: float, freedom: int) -> float:
    """Return the share of a squared length that is more than chance gives."""
    return max(0.0, 1.0 - freedom / max(distance, 1e-300))


def _column(place: int, codes: Bins, labels: Codes, classes: int) -> _Column:
    joint = np.bincount(labels * _CODES + codes, minlength=classes * _CODES)
    by_code = joint.reshape(classes, _CODES)
    rows = by_code.sum(axis=0)
    middle = np.cumsum(rows) - rows / 2.0
    groups = np.minimum(middle * GROUPS // codes.size, GROUPS - 1).astype(np.int64)
    seen = np.unique(groups[rows > 0])
    groups = np.minimum(seen.searchsorted(groups), seen.size - 1)
    by_class = by_code @ np.eye(seen.size, dtype=np.int64)[groups]
    return _Column(place, groups, by_class)


def _tells(by_class: Codes, chance: float) -> bool:
    """Tell whether classes differ in their distribution over groups (chi-squared test)."""
    seen = by_class[by_class.sum(axis=1) > 0]
    freedom = (seen.shape[0] - 1) * (seen.shape[1] - 1)
    if not freedom:
        return False
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / seen.sum()
    return chi2_sf(freedom, float(np.sum((seen - expected) ** 2 / expected))) < chance
