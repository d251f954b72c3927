"""Whether what is given a probability of p comes true p of the time.

Cells hold rows of similar score, about equally many each. All errors are those of the sample: the
truth meant is that of the same cells over endlessly many rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import estimates, special
from homeostat.stats.estimates import LEVEL, Estimate, missing, within
from homeostat.stats.intervals import Interval
from homeostat.stats.ranking import Ranking

Floats = NDArray[np.float64]

CELLS = 15
CELL_ROWS = 10
"""Fewest rows of a cell, on average: a small sample gets fewer cells."""

FEW = 20.0
"""Effective rows of its rarer class below which a cell's own variance is not trusted."""

EXTREME = 1e-6
"""Scores are kept this far from 0 and 1 before their log-odds are taken."""

_FAR = 500.0  # log-odds whose chance differs from 0 or 1 by nothing
_SETTLED = 1e-13  # gain of the mean loss below which a step is the last
_PERFECT = 1e-6  # mean loss that only scores reach which separate the classes


@dataclass(frozen=True, slots=True)
class CalibrationCell:
    """Rows of similar score: what was claimed, and what came true.

    Attributes
    ----------
    n : int
        Rows.
    share : float
        Their part of the total weight.
    lowest, highest, mean_score : float
    observed : float
        Share of positives among them, with Wilson's interval ``lower`` to ``upper``.
    variance : float
        Of `observed`, without bias.
    rows : float
        Effective rows.
    """

    n: int
    share: float
    lowest: float
    highest: float
    mean_score: float
    observed: float
    lower: float
    upper: float
    variance: float
    rows: float

    @property
    def gap(self) -> float:
        """How much more came true than was claimed."""
        return self.observed - self.mean_score

    @property
    def spread(self) -> float:
        """Variance of `observed` for intervals.

        Where few rows are of one class, the sample hardly shows it: it is no less there than it
        would be if the scores were right.
        """
        fewer = min(self.observed, 1.0 - self.observed) * self.rows
        claimed = self.mean_score * (1.0 - self.mean_score) / self.rows
        return self.variance if fewer >= FEW else max(self.variance, claimed)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything about the calibration of one set of rows.

    Attributes
    ----------
    cells : tuple of CalibrationCell
        The reliability curve, by ascending score.
    ece : float
        Expected calibration error as it is usually taken: the mean size of the cells' gaps. Above 0
        by chance alone, the more the fewer rows there are.
    ece_debiased : Estimate
        What is left of it once chance is taken off, as after Kumar, Liang & Ma (2019).
    rms_debiased : Estimate
        Root of the mean squared gap without bias (Bröcker 2012; Ferro & Fricker 2012): the
        reliability part of the Brier score.
    intercept, slope : Estimate
        Of the logistic recalibration ``logit(P) = intercept + slope * logit(score)`` (Cox 1958): 0
        and 1 if calibrated; a slope below 1 means that scores are too extreme.
    in_the_large : Estimate
        The intercept with the slope held at 1: how many log-odds the scores are too low overall.
    """

    cells: tuple[CalibrationCell, ...]
    ece: float
    ece_debiased: Estimate
    rms_debiased: Estimate
    intercept: Estimate
    slope: Estimate
    in_the_large: Estimate


def calibrate(ranking: Ranking, cells: int = CELLS) -> Calibration:
    """Return all of it.

    Examples
    --------
    >>> from homeostat.stats.ranking import rank
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.random(2000)
    >>> found = calibrate(rank((rng.random(2000) < scores).astype(float), scores))
    >>> round(found.ece, 3), round(found.ece_debiased.lower, 3), 1.0 in found.slope.interval
    (0.03, 0.0, True)
    """
    curve = reliability(ranking, cells)
    intercept, slope = recalibration(ranking)
    return Calibration(
        curve,
        ece(curve),
        debiased_ece(curve),
        debiased_rms(curve),
        intercept,
        slope,
        in_the_large(ranking),
    )


def reliability(ranking: Ranking, cells: int = CELLS) -> tuple[CalibrationCell, ...]:
    """Return claimed against observed shares in cells of about equal weight.

    Equal scores are never parted, so that there may be fewer cells than asked for.
    """
    weights = ranking.positive + ranking.negative
    total = float(weights.sum())
    if not total:
        return ()
    n = ranking.positives + ranking.negatives
    wanted = max(1, min(cells, n // CELL_ROWS))
    middles = (np.cumsum(weights) - weights / 2.0) / total
    edges = np.searchsorted(middles, np.arange(wanted) / wanted)
    starts = np.unique(np.minimum(edges, weights.size - 1))
    sums = [
        np.add.reduceat(values, starts).tolist()
        for values in (
            weights,
            weights * ranking.scores,
            ranking.positive,
            ranking.positive_squares,
            ranking.negative_squares,
            ranking.rows,
        )
    ]
    lasts = np.append(starts[1:], weights.size) - 1
    bounds = zip(ranking.scores[starts].tolist(), ranking.scores[lasts].tolist(), strict=True)
    return tuple(
        _cell(total, low, high, *values)
        for (low, high), *values in zip(bounds, *sums, strict=True)
        if values[0]
    )


def ece(cells: tuple[CalibrationCell, ...]) -> float:
    """Return the expected calibration error: the mean size of the gaps; NaN without cells."""
    return sum(cell.share * abs(cell.gap) for cell in cells) if cells else math.nan


def debiased_ece(cells: tuple[CalibrationCell, ...]) -> Estimate:
    """Return the expected calibration error less what chance adds to it.

    A gap of true size m that is seen with a normal error of s is on average that of a folded normal
    distribution, which is larger. The value is less the excess at ``m = gap`` (the limit of what
    Kumar, Liang & Ma 2019 resample), which leaves about half of it where calibration is perfect;
    `debiased_rms` leaves none. For the lower bound the excess is taken at ``gap - 2 s``, where it
    is larger, and for the upper bound not at all, so that the interval covers where gaps are real
    and where there are none.
    """
    problem = _too_few(cells)
    if problem.problem:
        return problem
    likely = most = 0.0
    for cell in cells:
        likely += cell.share * _excess(abs(cell.gap), math.sqrt(cell.variance))
        sigma = math.sqrt(cell.spread)
        most += cell.share * _excess(max(abs(cell.gap) - 2.0 * sigma, 0.0), sigma)
    plain = ece(cells)
    noise = math.sqrt(sum(cell.share**2 * cell.spread for cell in cells))
    reach = special.normal_quantile((1.0 + LEVEL) / 2.0) * noise
    upper = max(plain + reach, _furthest_overall(cells))
    bounds = Interval(max(plain - most - reach, 0.0), min(upper, 1.0))
    return within(max(plain - likely, 0.0), bounds, problem.n)


def debiased_rms(cells: tuple[CalibrationCell, ...]) -> Estimate:
    """Return the root of the mean squared gap less its expectation by chance.

    The mean square is unbiased; its error is that of sums of squares of normal variables. The
    upper bound is the largest value, spread evenly over the cells, that is no further off than the
    quantile times its own error.
    """
    problem = _too_few(cells)
    if problem.problem:
        return problem
    z = special.normal_quantile((1.0 + LEVEL) / 2.0)
    square = sum(cell.share * (cell.gap**2 - cell.variance) for cell in cells)
    # The same, its variance, and parts of that, with the spread that intervals are to allow for.
    held = sum(cell.share * (cell.gap**2 - cell.spread) for cell in cells)
    spread = sum(
        2.0 * cell.share**2 * cell.spread * max(2.0 * cell.gap**2 - cell.spread, cell.spread)
        for cell in cells
    )
    linear = 4.0 * sum(cell.share**2 * cell.spread for cell in cells)
    fixed = 2.0 * sum(cell.share**2 * cell.spread**2 for cell in cells)
    middle = square + z * z * linear / 2.0
    furthest = middle + z * math.sqrt(max((z * linear / 2.0) ** 2 + linear * square + fixed, 0.0))
    value, lower, upper = (
        math.sqrt(max(bound, 0.0)) for bound in (square, held - z * math.sqrt(spread), furthest)
    )
    bounds = Interval(lower, min(max(upper, _furthest_overall(cells)), 1.0))
    return within(value, bounds, problem.n)


def _too_few(cells: tuple[CalibrationCell, ...]) -> Estimate:
    """Return why nothing can be told of these cells, and of how many rows."""
    n = sum(cell.n for cell in cells)
    return missing("" if n > 1 else estimates.ONE_ROW if n else estimates.NO_ROWS, n)


def _furthest_overall(cells: tuple[CalibrationCell, ...]) -> float:
    """Return how far off all scores together may be: no less than that is the error of the cells.

    It holds where no cell has seen a positive, and so none a gap.
    """
    observed, claimed, variance, inverse = (
        math.fsum(part)
        for part in zip(
            *(
                (
                    cell.share * cell.observed,
                    cell.share * cell.mean_score,
                    cell.share**2 * cell.variance,
                    cell.share**2 / cell.rows,
                )
                for cell in cells
            ),
            strict=True,
        )
    )
    share = min(max(observed, 0.0), 1.0)
    around = estimates.share(share, math.sqrt(variance), 0, 1.0 / inverse)
    return max(around.upper - claimed, claimed - around.lower)


def recalibration(ranking: Ranking) -> tuple[Estimate, Estimate]:
    """Return intercept and slope of the logistic recalibration, with Wald's intervals.

    Errors are robust: they hold though the recalibrated scores still are not right.
    """
    n = ranking.positives + ranking.negatives
    problem = ranking.one_class or ranking.few
    if not problem and ranking.scores[0] == ranking.scores[-1]:
        problem = "every score is the same"
    if problem:
        return missing(problem, n), missing(problem, n)
    odds = log_odds(ranking.scores)
    features = np.stack((np.ones(odds.size), odds))
    found = _fit(ranking, features, np.zeros(odds.size), np.zeros(2))
    if found is None:
        problem = "the scores separate the classes without fault: there is no finite slope"
        return missing(problem, n), missing(problem, n)
    values, errors = found
    intercept, slope = (
        _wald(value, error, n)
        for value, error in zip(values.tolist(), errors.tolist(), strict=True)
    )
    return intercept, slope


def in_the_large(ranking: Ranking) -> Estimate:
    """Return by how many log-odds the scores are too low, all alike."""
    n = ranking.positives + ranking.negatives
    problem = ranking.one_class or ranking.few
    if problem:
        return missing(problem, n)
    odds = log_odds(ranking.scores)
    found = _fit(ranking, np.ones((1, odds.size)), odds, np.zeros(1))
    if found is None:
        return missing("no finite shift of the log-odds fits", n)
    return _wald(float(found[0][0]), float(found[1][0]), n)


def _cell(
    total: float,
    low: float,
    high: float,
    weight: float,
    claimed: float,
    positive: float,
    positive_squares: float,
    negative_squares: float,
    n: float,
) -> CalibrationCell:
    share = positive / weight
    squares = positive_squares + negative_squares
    rows = weight**2 / squares
    spread = positive_squares * (1.0 - share) ** 2 + negative_squares * share**2
    variance = spread / weight**2 * (rows / (rows - 1.0) if rows > 1.0 else 1.0)
    bounds = estimates.share(share, math.sqrt(spread) / weight, int(n), rows)
    mean = min(max(claimed / weight, low), high)
    return CalibrationCell(
        int(n), weight / total, low, high, mean, share, bounds.lower, bounds.upper, variance, rows
    )


def log_odds(chances: Floats, edge: float = EXTREME) -> Floats:
    """Return the log-odds of chances, which are held `edge` away from 0 and 1 first.

    Examples
    --------
    >>> log_odds(np.array([0.0, 0.5]), 0.01).round(2).tolist()
    [-4.6, 0.0]
    """
    held = np.clip(chances, edge, 1.0 - edge)
    odds: Floats = np.log(held) - np.log1p(-held)
    return odds


def _excess(size: float, sigma: float) -> float:
    """Return how much larger than `size` its normal estimate is on average, signs left off."""
    if not sigma > 0.0:
        return 0.0
    ratio = size / sigma
    density = sigma * math.sqrt(2.0 / math.pi) * math.exp(-ratio * ratio / 2.0)
    return density - 2.0 * size * special.normal_sf(ratio)


def _fit(
    ranking: Ranking, features: Floats, offset: Floats, start: Floats
) -> tuple[Floats, Floats] | None:
    """Fit a logistic regression of few features by Newton's method; None if it has no end."""
    weights = ranking.positive + ranking.negative
    total = float(weights.sum())

    def loss(values: Floats) -> float:
        log_odds = values @ features + offset
        return float(weights @ np.logaddexp(0.0, log_odds) - ranking.positive @ log_odds)

    def chances(values: Floats) -> Floats:
        odds = np.clip(values @ features + offset, -_FAR, _FAR)
        found: Floats = 1.0 / (1.0 + np.exp(-odds))
        return found

    def curvature(chances: Floats) -> Floats:
        found: Floats = (features * (weights * chances * (1.0 - chances))) @ features.T
        return found

    values, before, gain = start, loss(start), math.inf
    while gain > _SETTLED * total:
        fitted = chances(values)
        curved = curvature(fitted)
        if not np.linalg.cond(curved) < 1e12 or before < _PERFECT * total:
            return None
        step = np.linalg.solve(curved, features @ (weights * fitted - ranking.positive))
        # Halved until it helps: from far away a full step may overshoot.
        while (after := loss(values - step)) > before:
            step = step / 2.0
        values, before, gain = values - step, after, before - after
    fitted = chances(values)
    return values, _robust(ranking, features, fitted, curvature(fitted))


def _robust(ranking: Ranking, features: Floats, chances: Floats, curvature: Floats) -> Floats:
    """Return standard errors that do not need the model to be right (White 1982)."""
    squares = (
        ranking.positive_squares * (1.0 - chances) ** 2 + ranking.negative_squares * chances**2
    )
    inverse = np.linalg.inv(curvature)
    spread = inverse @ ((features * squares) @ features.T) @ inverse
    errors: Floats = np.sqrt(np.diag(spread))
    return errors


def _wald(value: float, error: float, n: int) -> Estimate:
    reach = special.normal_quantile((1.0 + LEVEL) / 2.0) * error
    return within(value, Interval(value - reach, value + reach), n)
