"""What each arm has earned, from the answers on record, and whether that can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.bandit.delays import Earned, matured, weighted
from homeostat.rollout.bandit.design import Bandit, Kind
from homeostat.rollout.bandit.repeats import Repeats, repeats
from homeostat.stats.survival import Curve, kaplan_meier

Floats = NDArray[np.float64]

ENOUGH = 100
"""Rewards from which an arm's own delays are taken."""
TESTED = 30
"""An arm's own rewards from which it can be seen whether another's delays are its own."""
FAR = 3.0
"""Standard errors by which delays may be off what they are said to be."""
SILENT = 10.0
"""Expected rewards of which none came: a chance of 0.00005, in any of some hundred stretches."""


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """Answers of one arm; times in days.

    Attributes
    ----------
    ages : ndarray of float64, shape (n,)
        Time since each answer.
    rewards, delays : ndarray of float64, shape (n,)
        NaN where none came so far.
    weights : ndarray of float64, shape (n,)
        What is left of each after forgetting, in (0, 1].
    groups : ndarray of intp, shape (n,)
        Group of the entity that it was about, the same in every batch, in [0, GROUPS).
    """

    ages: Floats
    rewards: Floats
    delays: Floats
    weights: Floats
    groups: NDArray[np.intp]

    def take(self, chosen: NDArray[np.bool_]) -> Exposures:
        """Return some of them."""
        return Exposures(
            self.ages[chosen],
            self.rewards[chosen],
            self.delays[chosen],
            self.weights[chosen],
            self.groups[chosen],
        )


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch without rewards that should have come, by the ages around it; ``lasts``: still."""

    older: float
    newer: float
    lasts: bool


def earned(design: Bandit, rows: Exposures, maturity: float, curve: Curve | None) -> Earned:
    """Sum up one arm's answers.

    Parameters
    ----------
    design : Bandit
    rows : Exposures
    maturity : float
        Days.
    curve : Curve or None
        How long its rewards take; None: only matured answers count.

    Examples
    --------
    >>> nan = float("nan")
    >>> rows = Exposures(
    ...     np.array([9.0, 9.0, 1.0]),
    ...     np.array([1.0, nan, 1.0]),
    ...     np.array([2.0, nan, 0.5]),
    ...     np.ones(3),
    ...     np.arange(3),
    ... )
    >>> earned(Bandit("prices", "shop", ("v7", "v8")), rows, 7.0, None)
    Earned(n=2.0, total=1.0, squares=1.0)
    """
    if design.kind is Kind.SCORE:
        rows = rows.take(np.isfinite(rows.rewards))
    if curve is None:
        return matured(rows.ages, rows.rewards, maturity, rows.weights)
    return weighted(rows.ages, rows.rewards, curve, rows.weights)


def delay_curve(own: Floats, others: Floats, rows: Exposures) -> Curve | None:
    """Return how long an arm's rewards take, if it is known.

    By its own complete delays where there are `ENOUGH`; else by those of the model's other
    versions, once `TESTED` rewards of the arm have come and they come neither sooner nor later than
    those say: an arm whose labels are slow must not pass for a bad one.

    Parameters
    ----------
    own, others : ndarray of float64
        Delays of rewards of answers whose labels are complete, in days.
    rows : Exposures
        The arm's answers, the young ones among them.

    Examples
    --------
    >>> quick, slow = np.linspace(0.0, 1.0, 200), np.linspace(0.0, 20.0, 200)
    >>> here = slow[slow < 5.0]
    >>> young = Exposures(
    ...     np.full(50, 5.0), np.ones(50), here, np.ones(50), np.arange(50)
    ... )
    >>> delay_curve(np.empty(0), quick, young) is None
    True
    >>> delay_curve(slow, quick, young).at([10.0]).round(2).tolist()
    [0.5]
    """
    known = own if own.size >= ENOUGH else others
    if known.size < ENOUGH:
        return None
    curve = kaplan_meier(known, np.ones(known.size, dtype=bool))
    came = np.isfinite(rows.delays) & (rows.rewards != 0.0)
    if known is own:
        return curve
    if np.count_nonzero(came) < TESTED:
        return None
    delays, limits = rows.delays[came], rows.ages[came]
    below = np.nextafter(delays, -np.inf)
    # Among delays that can be seen by now each is equally likely to be anywhere on the curve.
    places = (curve.at(below) + curve.at(delays)) / 2.0 / np.maximum(curve.at(limits), 1e-9)
    off = (float(np.mean(places)) - 0.5) * math.sqrt(12.0 * places.size)
    return curve if abs(off) <= FAR else None


def repeated(design: Bandit, rows: Exposures, maturity: float, curve: Curve | None) -> Repeats:
    """Sum up by groups of entities what `earned` counts."""
    if design.kind is Kind.SCORE:
        rows = rows.take(np.isfinite(rows.rewards))
    known = known_by_now(rows, maturity, curve)
    rewards = np.nan_to_num(rows.rewards)
    return repeats(known, rewards * known if curve is None else rewards, rows.weights, rows.groups)


def known_by_now(rows: Exposures, maturity: float, curve: Curve | None) -> Floats:
    """Return how far the reward of each answer would be known: its chance to have come.

    Examples
    --------
    >>> one = np.ones(2)
    >>> known_by_now(Exposures(np.array([9.0, 1.0]), one, one, one, np.arange(2)), 7.0, None)
    array([1., 0.])
    """
    if curve is not None:
        return curve.at(rows.ages)
    return np.asarray(rows.ages >= maturity, dtype=np.float64)


def silence(ages: Floats, known: Floats, came: NDArray[np.bool_], rate: float) -> Silence | None:
    """Return the longest stretch in which none of an arm's rewards came although they should have.

    Labels that stay away are no failures. Expected is what the arm's rate outside the stretch says,
    or that of other arms where it has none.

    Parameters
    ----------
    ages : ndarray of float64, shape (n,)
        Of the arm's answers, in days.
    known : ndarray of float64, shape (n,)
        How far their rewards would be known by now, in [0, 1].
    came : ndarray of bool, shape (n,)
        Whose rewards came, of any size.
    rate : float
        Rewards of an answer of other arms.

    Examples
    --------
    >>> ages = np.arange(200.0)[::-1]
    >>> silence(ages, np.ones(200), ages >= 50.0, rate=0.0)
    Silence(older=50.0, newer=0.0, lasts=True)
    >>> silence(ages, np.ones(200), ages >= 4.0, rate=0.0) is None  # four were to be expected
    True
    """
    order = np.argsort(-ages, kind="stable")
    places = np.flatnonzero(came[order] & (known[order] > 0.0))
    edges = np.concatenate(([-1], places, [ages.size]))
    summed = np.concatenate(([0.0], np.cumsum(known[order])))
    between = summed[edges[1:]] - summed[edges[:-1] + 1]
    widest = int(between.argmax())
    outside = float(summed[-1] - between[widest])
    expected = float(between[widest]) * (places.size / outside if places.size else rate)
    if expected < SILENT:
        return None
    older = float(ages[order][edges[widest]]) if widest else float("inf")
    lasts = widest == places.size
    return Silence(older, 0.0 if lasts else float(ages[order][edges[widest + 1]]), lasts)
