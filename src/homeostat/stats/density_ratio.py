"""How much denser current rows lie than reference rows, told by a classifier between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.boosting import Bins, Effort, Trees, as_bins, fit_trees
from homeostat.stats.estimates import effective

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

_EFFORT = Effort(trees=30, depth=3, rate=0.2, shrinkage=20.0, share=0.7)
_HALVES = 2


@dataclass(frozen=True, slots=True, eq=False)
class DensityRatio:
    """Density of current over that of reference rows, at rows not used to learn it.

    Attributes
    ----------
    reference, current : ndarray of float64
        The ratio at each row given; about 1 everywhere where nothing has moved.
    halves : tuple of Trees
        One learnt on each half of the rows.
    priors : tuple of float
        Log-odds of the halves' shares of current rows.
    """

    reference: Floats
    current: Floats
    halves: tuple[Trees, ...]
    priors: tuple[float, ...]

    @property
    def effective_size(self) -> float:
        """Reference rows that weighing by the ratio leaves in effect (Kish): at most all."""
        return effective(self.reference)

    def at(self, codes: Codes | Bins) -> Floats:
        """Return the ratio at other rows: the geometric mean of what both halves make of them.

        Parameters
        ----------
        codes : ndarray of uint8 or int64, shape (features, rows)
        """
        odds = np.zeros(codes.shape[1])
        for trees, prior in zip(self.halves, self.priors, strict=True):
            odds += trees.add_to(np.full(codes.shape[1], prior), codes) - prior
        found: Floats = np.exp(odds / len(self.halves))
        return found


def density_ratio(
    reference: Codes | Bins,
    current: Codes | Bins,
    rng: np.random.Generator,
    effort: Effort = _EFFORT,
) -> DensityRatio:
    """Estimate the ratio at each row by trees that were fitted on the other half of the rows.

    Parameters
    ----------
    reference, current : ndarray of uint8 or int64, shape (features, rows)
        Bins, as for `homeostat.stats.boosting.fit_trees`; two rows each at least.
    rng : numpy.random.Generator
    effort : Effort, optional

    Notes
    -----
    The odds that a classifier gives a row of being current, over the odds before looking, is the
    ratio of the densities (Qin 1998; Bickel et al. 2009).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before, after = rng.integers(0, 4, (1, 2000)), rng.integers(2, 4, (1, 2000))
    >>> ratio = density_ratio(before, after, rng)
    >>> round(float(np.median(ratio.current)))
    2
    >>> ratio.at(np.array([[0, 3]])).round().tolist()
    [0.0, 2.0]
    """
    both = np.concatenate((as_bins(reference), as_bins(current)), axis=1)
    rows, is_current = both.shape[1], np.repeat([0.0, 1.0], [reference.shape[1], current.shape[1]])
    half = np.empty(rows, np.int64)
    for value in (0.0, 1.0):
        members = np.flatnonzero(is_current == value)
        half[rng.permutation(members)] = np.arange(members.size) % _HALVES
    odds = np.empty(rows)
    halves, priors = [], []
    for part in range(_HALVES):
        own = half == part
        share = float(is_current[~own].mean())
        prior = float(np.log(share / (1.0 - share)))
        start = np.full(rows, prior)
        trees = fit_trees(both[:, ~own], is_current[~own], start[~own], "logistic", rng, effort)
        odds[own] = trees.add_to(start[own], both[:, own]) - prior
        halves.append(trees)
        priors.append(prior)
    ratio = np.exp(odds)
    now = is_current == 1.0
    return DensityRatio(ratio[~now], ratio[now], tuple(halves), tuple(priors))
