"""What probabilities came true in the reference, score by score, and how well that is known.

A model need not be calibrated to be healthy: the owner lives with what the reference shows. How
often a score came true there is learnt as a curve, not as one shift, since a shift that is right on
average is wrong for nearly every row where the scores are too extreme or too timid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.verdict import BudgetShare
from homeostat.stats.calibration import EXTREME, log_odds, reliability
from homeostat.stats.ranking import Ranking, rank
from homeostat.stats.special import chi2_isf, logit

Floats = NDArray[np.float64]

_PRIOR = (0.1, 1.0, 1.0)  # precision of shift, slope and bend about "as the score says"
_SETTLED = 1e-10  # gain of the mean loss below which a step is the last
_FAR = 500.0  # log-odds whose chance differs from 0 or 1 by nothing
_STEP = 0.25  # log-odds between knots: a chord misses the curve by less than 0.005
_CELLS = 20  # of similar score, in which the curve is checked
_EACH = 10.0  # labels of the rarer kind that make a cell
_SURE = 0.8  # how sure it is that the truth winds no more about the curve than is allowed for
_LEAST = 0.01  # variance about the curve, at least, in units of a cell's sampling
_FEW = 1e-12  # rows, at least, to divide by or to take the logarithm of


@dataclass(frozen=True, slots=True)
class CalibrationConfig(BudgetShare):
    """What the owner tolerates, beside its share of the alarm budget.

    Attributes
    ----------
    tolerance : float
        Miscalibration that does not matter, in log-odds: 0.2 is a chance of 0.45 or 0.55 where the
        score says 0.5, and of 0.008 or 0.012 where it says 0.01.
    cells : int
        Cells of similar score; 1: only look at all rows together.
    min_rows : int
        Rows before the verdict can be ``ok``; an alarm needs no minimum, its evidence suffices.
    """

    tolerance: float = 0.2
    cells: int = 5
    min_rows: int = 100


@dataclass(frozen=True, slots=True)
class CalibrationReference:
    """Miscalibration that is there from the start and that the owner lives with.

    Attributes
    ----------
    edges : tuple of float
        Scores that part the cells, ascending: one fewer than there are cells.
    knots : tuple of float
        Log-odds of scores, ascending.
    low, high : tuple of float
        Log-odds, lowest and highest, from claim to truth at each knot; straight in between and
        level beyond. They differ where the rows are not as the curve says.
    error : tuple of float
        Covariance of the curve's shift, slope and bend, and of what is off it at each of `joints`,
        row by row, times the square of the standard errors to allow for.
    n : int
        Rows.
    joints : tuple of float
        Log-odds, ascending, at which the truth may be off the curve; straight in between and level
        beyond.
    """

    edges: tuple[float, ...] = ()
    knots: tuple[float, ...] = (0.0,)
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (0.0,)
    error: tuple[float, ...] = (0.0,) * 9
    n: int = 0
    joints: tuple[float, ...] = ()

    @property
    def places(self) -> int:
        """Where bets are made: over all rows, and in each cell."""
        return len(self.edges) + 2

    def bounds(self, scores: Floats, tolerance: float) -> tuple[Floats, Floats]:
        """Return the smallest and the largest chance of a label of 1 that is fine, of each row.

        They reach from the score to the truth of the reference and further by the tolerance and by
        the error of the curve. That error is the one over these rows together, weighted as a bet
        weighs them: a product of bets on several rows cannot gain in expectation unless the mean of
        their chances, each in units of its bound, is above 1.

        Examples
        --------
        >>> low, high = CalibrationReference().bounds(np.array([0.5]), 0.2)
        >>> low.round(2).tolist(), high.round(2).tolist()
        ([0.45], [0.55])
        """
        odds = log_odds(scores)
        low, high = (np.interp(odds, self.knots, ends) for ends in (self.low, self.high))
        terms = _terms(odds, self.joints)
        error = np.array(self.error).reshape(terms.shape[1], -1)
        below = _reach(error, terms, _chance(odds + low))
        above = _reach(error, terms, _chance(-odds - high))
        return (
            _chance(odds + np.minimum(0.0, low - below) - tolerance),
            _chance(odds + np.maximum(0.0, high + above) + tolerance),
        )


def fit(
    labels: ArrayLike, scores: ArrayLike, config: CalibrationConfig, z: float = 2.58
) -> CalibrationReference:
    """Learn cells of about equally many rows, and how far the reference is off at each score.

    The log-odds of the truth are those of the score and a shift, a slope and a bend: the beta map
    of Kull, Silva Filho & Flach (AISTATS 2017), here with a weak prior on that scores come true, so
    that there is an answer for few rows and for classes that are told apart without fault. Its
    error is that of Laplace's approximation. The truth winds about this
    curve, as much as twenty cells of similar score do not contradict: what it is off at each is
    learnt beside the curve, with the error that this leaves.

    Parameters
    ----------
    labels, scores : array_like
        Shape (n,): 0 or 1, and probabilities.
    config : CalibrationConfig
    z : float
        Standard errors that the tolerated offset reaches beyond the reference's own.

    Raises
    ------
    ValueError
        If there are no rows, or one is not as said.

    Notes
    -----
    Assumes that labels are independent given the scores, and that the truth is within the tolerance
    of what is learnt: where it winds within a cell, that uses up some of the tolerance.

    Examples
    --------
    Scores that are twice too extreme are lived with, wherever they are:

    >>> rng = np.random.default_rng(0)
    >>> odds = rng.normal(0.0, 2.0, 20_000)
    >>> labels = rng.random(odds.size) < 1.0 / (1.0 + np.exp(-odds / 2.0))
    >>> found = fit(labels, 1.0 / (1.0 + np.exp(-odds)), CalibrationConfig())
    >>> low, high = found.bounds(np.array([0.1, 0.9]), 0.0)
    >>> bool(low[0] < 0.25 < high[0]), bool(low[1] < 0.75 < high[1]), len(found.edges)
    (True, True, 4)
    """
    true, said = checked(labels, scores)
    if not true.size:
        raise ValueError("a reference of calibration needs at least one labelled row")
    ranking = rank(true, said)
    joints, prior = _winding(ranking)
    values, spread = _curve(ranking, joints, prior)
    knots = np.unique(np.append(np.arange(*_ends(), _STEP), joints))
    middle = tuple((_terms(knots, joints) @ values).tolist())
    return CalibrationReference(
        edges=tuple(cell.lowest for cell in reliability(ranking, config.cells)[1:]),
        knots=tuple(knots.tolist()),
        low=middle,
        high=middle,
        error=tuple((z * z * spread).ravel().tolist()),
        n=int(true.size),
        joints=joints,
    )


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return both as floats, or say what is wrong with them."""
    true = np.asarray(labels, dtype=np.float64)
    said = np.asarray(scores, dtype=np.float64)
    if true.shape != said.shape:
        raise ValueError(f"{said.size} scores for {true.size} labels")
    if not bool(np.all((true == 0.0) | (true == 1.0))):
        raise ValueError("calibration needs labels of 0 or 1: drop the rows of other ones")
    if not bool(np.all((said >= 0.0) & (said <= 1.0))):
        raise ValueError("calibration needs scores in [0, 1]: drop the rows of other ones")
    return true, said


def _reach(error: Floats, terms: Floats, weights: Floats) -> float:
    """Return the error of the curve's weighted mean over rows; 0 for no rows."""
    mean = weights @ terms / max(float(weights.sum()), _FEW)
    return math.sqrt(max(0.0, float(mean @ error @ mean)))


def _ends() -> tuple[float, float]:
    furthest = -logit(EXTREME)
    return -furthest, furthest + _STEP


def _chance(odds: Floats) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -_FAR, _FAR)))
    return chance


def _terms(odds: Floats, joints: tuple[float, ...] = ()) -> Floats:
    """Return what shift, slope, bend and what is off at each joint are factors of."""
    terms = np.ones((odds.size, 3 + len(joints)))
    terms[:, 1] = odds
    # Half of log(1 + exp(odds)) + log(1 + exp(-odds)).
    terms[:, 2] = np.abs(odds) / 2.0 + np.log1p(np.exp(-np.abs(odds)))
    if joints:
        order = np.arange(float(len(joints)))
        between = np.interp(odds, joints, order)
        terms[:, 3:] = np.maximum(0.0, 1.0 - np.abs(between[:, None] - order))
    return terms


def _curve(
    ranking: Ranking, joints: tuple[float, ...] = (), wound: float = 0.0
) -> tuple[Floats, Floats]:
    """Return the likeliest shift, slope, bend and offs given the prior, and their covariance."""
    odds = log_odds(ranking.scores)
    terms, prior = _terms(odds, joints), np.array([*_PRIOR, *[wound] * len(joints)])
    weights = ranking.positive + ranking.negative

    def loss(values: Floats) -> float:
        claimed = odds + terms @ values
        each = weights @ np.logaddexp(0.0, claimed) - ranking.positive @ claimed
        return float(each + prior @ values**2 / 2.0)

    def curvature(chance: Floats) -> Floats:
        found: Floats = (terms.T * (weights * chance * (1.0 - chance))) @ terms + np.diag(prior)
        return found

    values, gain = np.zeros(prior.size), math.inf
    before = loss(values)
    while gain > _SETTLED * float(weights.sum()):
        chance = _chance(odds + terms @ values)
        slope = terms.T @ (weights * chance - ranking.positive) + prior * values
        step = np.linalg.solve(curvature(chance), slope)
        # Halved until it helps: from far away a full step may overshoot.
        while (after := loss(values - step)) > before:
            step = step / 2.0
        values, before, gain = values - step, after, before - after
    spread = np.linalg.inv(curvature(_chance(odds + terms @ values)))
    return values, spread.astype(np.float64)


def _winding(ranking: Ranking) -> tuple[tuple[float, ...], float]:
    """Return the joints, and the precision of what is off at them about the curve.

    One over the largest variance that cells of similar score do not contradict. Few labels of one
    kind make few cells; as many as the curve has parameters tell nothing.
    """
    odds = log_odds(ranking.scores)
    weights = ranking.positive + ranking.negative
    rarer = min(float(ranking.positive.sum()), float(ranking.negative.sum()))
    cells = reliability(ranking, int(min(_CELLS, max(1.0, rarer / _EACH))))
    freedom = len(cells) - len(_PRIOR)
    if freedom < 1:
        return (), 1.0
    starts = np.searchsorted(ranking.scores, [cell.lowest for cell in cells])
    chance = _chance(odds + _terms(odds) @ _curve(ranking)[0])
    expected, variance, hits, rows, sums = (
        np.add.reduceat(part, starts)
        for part in (
            weights * chance, weights * chance * (1.0 - chance), ranking.positive, weights,
            weights * odds,
        )
    )  # fmt: skip
    variance = np.maximum(variance, _FEW)
    misfit = float(((hits - expected) ** 2 / variance).sum())
    excess = misfit / chi2_isf(freedom, _SURE) - 1.0
    joints = tuple(np.unique(sums / rows).tolist())
    return joints, float(variance.mean()) / max(excess, _LEAST)
