"""The shares of classes among labels of which some are on their way, with delays known.

Each row is of one of K classes, or never labelled. The labels seen and the number of rows without
one have a likelihood, whose maximum over one shift of the log odds of each class against mature
rows is found by expectation-maximisation (Chapelle, "Modeling delayed feedback in display
advertising", KDD 2014, has it for two classes), by gradient steps (Lange 1995). Its error is that
of observed less complete information (Louis 1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.delay import Delays, Waiting
from homeostat.stats.fixed_point import fixed_point

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

VAGUE = 3.0
"""Standard deviation of log odds of which nothing is known."""
STEPS, SMALL = 1000, 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Rows of a window in cells of stratum and grid age, M of them.

    Attributes
    ----------
    strata, reached : ndarray of intp, shape (M,)
    waiting : ndarray of float64, shape (M,)
        Rows without a label.
    labels : ndarray of float64, shape (K, X)
        Labels known.
    """

    strata: Places
    reached: Places
    waiting: Floats
    labels: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Final shares of K classes in a window; the first axis is that of `Delays`.

    Attributes
    ----------
    whole : ndarray of float64, shape (R, K)
    shift : ndarray of float64, shape (R, K)
        Log odds against mature labels, relative to the first class.
    variance : ndarray of float64, shape (K,)
        Of the shares, given the delays.
    uncertain : ndarray of float64, shape (K - 1,)
        Variance of the shift of all but the first class.
    mass : ndarray of float64, shape (K, X)
        Labels there will be.
    """

    whole: Floats
    shift: Floats
    variance: Floats
    uncertain: Floats
    mass: Floats


@dataclass(frozen=True, slots=True)
class Habit:
    """How stretches of time differ.

    Attributes
    ----------
    wander : float
        Standard deviation of the log odds of a class from stretch to stretch.
    excess : float
        Variance of the shifts that early labels show against those that came out, as a multiple of
        what it would be if delays were always alike; at least 1.
    """

    wander: float
    excess: float

    @property
    def tight(self) -> float:
        """Information that the prior is worth, in rows of excess 1."""
        return self.excess / self.wander**2


def tally(delays: Delays, rows: Waiting) -> Tally:
    """Count the rows of a window as the grid of `delays` sees them."""
    classes, strata = delays.arrived.shape[1:3]
    seen = delays.seen(rows)
    width = delays.edges.size + 1
    flat = rows.strata * width + delays.reached(rows.ages)
    cells, place = np.unique(flat, return_inverse=True)
    waiting = np.bincount(place[~seen], minlength=cells.size).astype(np.float64)
    at = rows.classes[seen] * strata + rows.strata[seen]
    labels = np.bincount(at, minlength=classes * strata).reshape(classes, strata)
    return Tally(cells // width, cells % width, waiting, labels.astype(np.float64))


def solve(delays: Delays, cells: Tally, replicates: Places, habit: Habit) -> Shares:
    """Return the likeliest shares under the delays of some replicates (0: of all rows).

    Parameters
    ----------
    delays : Delays
    cells : Tally
    replicates : ndarray of intp, shape (R,)
    habit : Habit
    """
    usual = delays.shares[replicates]  # (R, K, X)
    late = 1.0 - delays.known_by(cells.strata, cells.reached, replicates)  # (R, K, M)
    never = delays.never[replicates][:, None, cells.strata]  # (R, 1, M)
    late *= 1.0 - never
    member = (cells.strata[:, None] == np.arange(usual.shape[2])).astype(np.float64)

    def expect(shift: Floats) -> tuple[Floats, Floats, Floats]:
        shares = _tilted(usual, shift)
        waiting = _posterior(shares[:, :, cells.strata] * late, never)
        return shares, waiting, cells.labels + (waiting * cells.waiting) @ member  # (R, K, X)

    def maximise(shift: Floats) -> Floats:
        shares, _, mass = expect(shift)
        return _ascend(shift, mass, mass.sum(axis=1, keepdims=True) * shares, habit.tight)

    shift = fixed_point(maximise, np.zeros(usual.shape[:2]), SMALL, STEPS)
    shares, waiting, mass = expect(shift)
    total = mass.sum(axis=2)
    whole = total / np.maximum(total.sum(axis=1, keepdims=True), 1e-12)
    variance, uncertain = _variance(cells, shares[0], waiting[0], mass[0], habit)
    return Shares(whole, shift, variance, uncertain, mass[0])


def _ascend(shift: Floats, mass: Floats, expected: Floats, tight: float) -> Floats:
    """Step up the gradient of the shift, but for the first class."""
    slope = (mass - expected).sum(axis=-1) - tight * shift
    step = slope / (expected.sum(axis=-1) + tight)
    step[:, 0] = 0.0
    return np.asarray(shift + step)


def _tilted(usual: Floats, shift: Floats) -> Floats:
    shares = usual * np.exp(shift)[:, :, None]
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _posterior(weight: Floats, never: Floats) -> Floats:
    """Return the chance of each class for a row that waits."""
    return np.asarray(weight / np.maximum(weight.sum(axis=1, keepdims=True) + never, 1e-12))


def _variance(
    cells: Tally, shares: Floats, waiting: Floats, mass: Floats, habit: Habit
) -> tuple[Floats, Floats]:
    """Return the variance of the final shares: of what waiting rows will be, and of the shift."""
    count, total = mass.shape[0], max(float(mass.sum()), 1e-12)
    eye = np.eye(count)
    at = shares[:, cells.strata]  # (K, M)
    labelled = waiting.sum(axis=0)
    complete = _spread(shares, mass.sum(axis=0))
    mean = waiting - labelled * at
    square = (
        np.einsum("m,km,kl->kl", cells.waiting, waiting, eye)
        - np.einsum("m,km,lm->kl", cells.waiting, waiting, at)
        - np.einsum("m,km,lm->kl", cells.waiting, at, waiting)
        + np.einsum("m,km,lm->kl", cells.waiting * labelled, at, at)
        - np.einsum("m,km,lm->kl", cells.waiting, mean, mean)
    )
    information = (complete - square)[1:, 1:] + habit.tight * eye[1:, 1:]
    drawn = _spread(waiting, cells.waiting)
    slope = drawn[:, 1:]
    inverse = habit.excess * np.linalg.inv(information)
    moved = np.einsum("ki,ij,kj->k", slope, inverse, slope)
    # Where no row waits it is 0, which rounding may miss to either side.
    variance: Floats = np.maximum((np.diagonal(drawn) + moved) / total**2, 0.0)
    return variance, np.diagonal(inverse)


def _spread(shares: Floats, rows: Floats) -> Floats:
    """Return the covariance of counts drawn by these shares in every column, summed."""
    counts = shares * rows
    return np.diag(counts.sum(axis=1)) - counts @ shares.T


def complete(usual: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the shift of all but the first class when all labels are in, and its variance.

    Parameters
    ----------
    usual, counts : ndarray of float64, shape (K, X)
        Shares among mature rows, and labels.
    """
    rows = counts.sum(axis=0)

    def maximise(shift: Floats) -> Floats:
        return _ascend(shift, counts[None], rows * _tilted(usual[None], shift), 1.0 / VAGUE**2)

    shift = fixed_point(maximise, np.zeros((1, usual.shape[0])), SMALL, STEPS)
    shares = _tilted(usual[None], shift)[0]
    information = _spread(shares, rows)[1:, 1:] + np.eye(len(usual) - 1) / VAGUE**2
    return shift[0, 1:], np.diagonal(np.linalg.inv(information))
