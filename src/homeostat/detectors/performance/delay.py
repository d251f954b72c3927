"""How long labels take, by class and by what else decides it, learned while some are on their way.

Of a row without a label the class is not known, so the delays of a class are seen truncated: only
rows whose delay is below their age are there. The estimator is the reverse-time product limit
(`homeostat.stats.survival.right_truncated`) on a grid of delays, for every class and stratum at
once, and again without each of some blocks of time: how much these differ says how well the delays
are known, changes from season to season included.

Delays drift: what was learned long ago counts for less. Nowcasting learns from the newest rows only
(Hoehle & an der Heiden, "Bayesian nowcasting during the STEC O104:H4 outbreak", Biometrics 70,
2014); a weight that halves again and again with the age of a row needs no such cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.survival import arrived_by

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Micros = NDArray[np.int64]

EDGES = 128
BLOCKS = 20
HALF_LIFE = 0.5
"""Maturities after which a row counts for half as much."""
SMALLEST = 1e-300  # weight, to divide by where no row is mature
BORROWED = 1.0
"""Rows that a stratum borrows from all strata together."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """Rows as seen at one moment.

    Attributes
    ----------
    classes : ndarray of intp, shape (n,)
        Class index of the label, where it is known.
    delays : ndarray of int64, shape (n,)
        From prediction to label in microseconds; `NEVER` where it is not known. A label that came
        before its prediction has waited 0.
    ages : ndarray of int64, shape (n,)
        Time since the prediction, in microseconds, at least 0.
    strata : ndarray of intp, shape (n,)
        Which rows are expected to wait alike, class by class.
    """

    classes: Places
    delays: Micros
    ages: Micros
    strata: Places

    def __len__(self) -> int:
        return self.ages.size

    def take(self, rows: NDArray[np.bool_] | Places) -> Waiting:
        """Return the rows of a mask, or with these numbers."""
        return Waiting(self.classes[rows], self.delays[rows], self.ages[rows], self.strata[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Delays:
    """What has been learned of the delays of K classes in X strata, on a grid of J ages.

    The first of the leading axes, of length G + 1, is what all rows say, then what they say
    without each of G blocks of time.

    Attributes
    ----------
    edges : ndarray of int64, shape (J,)
        Ages in microseconds; the last is the maturity.
    arrived : ndarray of float64, shape (G + 1, K, X, J)
        Of the labels of a class that arrive by maturity, the share that has arrived by each age.
    never : ndarray of float64, shape (G + 1, X)
        Share of rows that get no label by maturity.
    shares : ndarray of float64, shape (G + 1, K, X)
        Classes among the labels of mature rows.
    blocks : ndarray of int64, shape (G,)
        Ages at which the blocks end, the oldest first.
    matured : int
        Mature rows.
    labels : ndarray of int64, shape (K,)
        Labels of each class learned from.
    """

    edges: Micros
    arrived: Floats
    never: Floats
    shares: Floats
    blocks: Micros
    matured: int
    labels: Micros

    def reached(self, ages: Micros) -> Places:
        """Return how many grid ages each age has reached, 0 to J."""
        return np.searchsorted(self.edges, ages, side="right")

    def seen(self, rows: Waiting) -> NDArray[np.bool_]:
        """Return which labels count as known: those that came by the last grid age reached."""
        return np.searchsorted(self.edges, rows.delays, side="left") < self.reached(rows.ages)

    def known_by(self, strata: Places, reached: Places, replicates: Places) -> Floats:
        """Return the share of each class that is known by then.

        Parameters
        ----------
        strata, reached : ndarray of intp, shape (m,)
            See `reached`.
        replicates : ndarray of intp, shape (r,)
            Places on the first axis.

        Returns
        -------
        ndarray of float64, shape (r, K, m)
        """
        at = self.arrived[replicates][:, :, strata, np.maximum(reached, 1) - 1]
        return np.where(reached > 0, at, 0.0)


def fit(rows: Waiting, maturity: int, classes: int, strata: int) -> Delays:
    """Learn the delays from all rows there are, mature or not.

    Parameters
    ----------
    rows : Waiting
    maturity : int
        Age in microseconds after which a label that has not come counts as one that never will.
    classes, strata : int
        How many there are, at least 1.

    Examples
    --------
    Of three rows seen a day after they were made, one is labelled; of three old ones all are:

    >>> from homeostat.domain.predictions import NEVER
    >>> day = 86_400_000_000
    >>> ages = np.array([5, 5, 5, 1, 1, 1]) * day
    >>> delays = np.where([1, 1, 1, 1, 0, 0], np.array([1, 2, 2, 1, 0, 0]) * day, NEVER)
    >>> none = np.zeros(6, np.intp)
    >>> learned = fit(Waiting(none, delays, ages, none), 5 * day, 1, 1)
    >>> (learned.edges // day).tolist(), learned.arrived[0, 0, 0].round(2).tolist()
    ([1, 2, 5], [0.33, 1.0, 1.0])
    """
    rows = rows.take(np.argsort(-rows.ages, kind="stable"))
    edges = _grid(rows, maturity)
    blocks = max(min(BLOCKS, len(rows) // BLOCKS), 1)
    block = np.arange(len(rows)) * blocks // max(len(rows), 1)
    taken = np.searchsorted(edges, rows.delays, side="left")
    reached = np.searchsorted(edges, rows.ages, side="right")
    seen = taken < reached
    shape = (blocks, classes, strata, edges.size)
    cell = (block[seen], rows.classes[seen], rows.strata[seen])
    fresh = _recency(rows.ages, block, blocks, HALF_LIFE * maturity)
    events = _count((*cell, taken[seen]), shape)
    left = _count((*cell, reached[seen] - 1), shape)
    old = reached == edges.size
    labelled = _count((*(part[old[seen]] for part in cell),), shape[:3])
    mature = _count((block[old], rows.strata[old]), (blocks, strata))
    newest = np.minimum(fresh / fresh[mature.any(axis=1)].max(initial=SMALLEST), 1.0)
    got, of = _leaving_out(labelled, newest), _leaving_out(mature, newest)
    ends = np.flatnonzero(np.diff(block, append=blocks))
    return Delays(
        edges,
        arrived_by(_hazards(events, left, fresh)),
        _never(of, got.sum(axis=1)),
        _shares(got),
        rows.ages[ends],
        int(old.sum()),
        np.bincount(rows.classes[seen], minlength=classes),
    )


def _grid(rows: Waiting, maturity: int) -> Micros:
    """Return ages at which delays are told apart: quantiles of the delays, and the maturity."""
    delays = rows.delays[rows.delays < maturity]
    if not delays.size:
        return np.array([maturity], np.int64)
    levels = np.linspace(0.0, 1.0, EDGES)
    edges = np.quantile(delays, levels, method="inverted_cdf").astype(np.int64)
    return np.unique(np.append(edges, maturity))


def _count(cell: tuple[Places, ...], shape: tuple[int, ...]) -> Floats:
    flat = np.ravel_multi_index(cell, shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)


def _recency(ages: Micros, block: Places, blocks: int, half_life: float) -> Floats:
    """Return how much the rows of each block count, the newest as 1."""
    rows = np.bincount(block, minlength=blocks)
    mean = np.bincount(block, ages.astype(np.float64), minlength=blocks) / np.maximum(rows, 1)
    return np.asarray(0.5 ** ((mean - mean.min()) / half_life))


def _leaving_out(counts: Floats, weights: Floats) -> Floats:
    """Return weighted counts of all blocks, then of all but each; the first axis is the block."""
    counted = counts * weights.reshape(-1, *(1,) * (counts.ndim - 1))
    none = np.zeros((1, *counts.shape[1:]))
    before = np.concatenate((none, counted.cumsum(axis=0)))
    after = np.concatenate((counted[::-1].cumsum(axis=0)[::-1], none))
    return np.concatenate((before[-1:], before[:-1] + after[1:]))


def _hazards(events: Floats, left: Floats, weights: Floats) -> Floats:
    """Return of the labels seen by an age the share that came just then."""
    came = _leaving_out(events, weights)
    at_risk = _at_risk(came, _leaving_out(left, weights))
    squares = _at_risk(_leaving_out(events, weights**2), _leaving_out(left, weights**2))
    total = at_risk.sum(axis=-2, keepdims=True)
    pooled = _share(came.sum(axis=-2, keepdims=True), total)
    rows = np.divide(at_risk**2, squares, out=np.zeros(squares.shape), where=squares > 0.0)
    return np.asarray((rows * _share(came, at_risk) + BORROWED * pooled) / (rows + BORROWED))


def _at_risk(events: Floats, left: Floats) -> Floats:
    return np.maximum(events.cumsum(axis=-1) - (left.cumsum(axis=-1) - left), 0.0)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0.0).clip(0.0, 1.0)


def _never(mature: Floats, labelled: Floats) -> Floats:
    lacking = mature - labelled
    pooled = lacking.sum(axis=-1, keepdims=True) / np.maximum(
        mature.sum(axis=-1, keepdims=True), 1.0
    )
    return np.asarray((lacking + BORROWED * pooled) / (mature + BORROWED))


def _shares(labelled: Floats) -> Floats:
    classes = labelled.shape[1]
    pooled = labelled.sum(axis=2, keepdims=True) + 1.0 / classes
    pooled /= pooled.sum(axis=1, keepdims=True)
    rows = labelled.sum(axis=1, keepdims=True)
    return np.asarray((labelled + BORROWED * pooled) / (rows + BORROWED))
