"""What a loss is while nothing is wrong, how it moves by itself, and what is tolerated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.performance.within import Within, learn
from homeostat.domain.verdict import BudgetShare
from homeostat.stats.blocks import FEW_BLOCKS, HOURS, BlockEffects, fit_effects
from homeostat.stats.paired import SURE

FloatArray = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY = timedelta(days=1)
HOUR_ROWS = 100  # rows of each hour, none empty, and its neighbours that tell the rhythm of the day
OWN_ROWS = 2000  # rows of each hour from which its neighbours are not asked
ASSUMED = 0.005  # standard deviation of a day's effect where none is seen, at most
ASSUMED_SHARE = 0.07  # the same in standard deviations of a row, as drift assumes it
ASSUMED_PART = 0.1  # the same as a part of the mean loss: what is small moves by little
ASSUMED_HOUR = 0.5  # what is assumed of an hour's effect, as a part of what is of a day's
SURE_PART = 0.5  # part of the mean loss by which no day moves two versions apart
EDGE_ROWS = 10_000.0  # rows that a rise by just the margin is expected to go unreported
STEPS = (0.4, 0.2, 0.15, 0.1, 0.1, 0.05)  # what each limit of day effects may spend
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class PerformanceConfig(BudgetShare):
    """What the owner tolerates, beside its share of the alarm budget.

    Attributes
    ----------
    margin : float
        Rise of the mean loss above the baseline that does not matter, in loss units; of the error
        rate as well.
    min_rows : int
        Rows before the verdict can be ``ok``; an alarm needs no minimum, its evidence suffices.
    scale : float
        Regression only: the absolute error that counts as a loss of 1.
    """

    margin: float = 0.02
    min_rows: int = 30
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class LossBaseline:
    """Mean loss on the reference.

    Attributes
    ----------
    mean, n : float, int
        Mean over ``n`` rows.
    upper : float
        Upper confidence bound of it, as far as rows err.
    hours : tuple of float
        That bound for each hour of the day (UTC) where the reference has enough rows in all of
        them: many losses have the rhythm of the day, and a night is no drift. Otherwise empty.
    effects : BlockEffects
        How days and hours differ beyond that; no days if the rows' times are not known.
    mistakes : LossBaseline or None
        The same of the error rate, where a decision can be wrong though its loss is small.
    within : Within or None
        How hours of a day differ, where that is known well enough to see a sudden rise by it.
    """

    mean: float
    n: int
    upper: float
    hours: tuple[float, ...] = ()
    effects: BlockEffects = field(default_factory=BlockEffects)
    mistakes: LossBaseline | None = None
    within: Within | None = None

    @property
    def sure(self) -> float:
        """Mean difference of two versions' losses that no day's own effect explains."""
        return min(SURE, SURE_PART * self.mean)

    @property
    def of_hours(self) -> LossBaseline:
        """The same for means of whole hours: how these differ is no bias, it averages out."""
        return replace(self, effects=replace(self.effects, within=0.0))

    @property
    def caveat(self) -> str:
        """What a reader of a verdict should know about the reference; empty if nothing."""
        days = self.effects.days
        if not 0 < days < FEW_BLOCKS:
            return ""
        return f"; {days} days of reference tell little about how days differ"


def baseline(
    reference: ArrayLike,
    z: float = 1.645,
    hours: Ints | None = None,
    mistakes: ArrayLike | None = None,
) -> LossBaseline:
    """Summarise the losses on the reference.

    Parameters
    ----------
    reference : array_like
        Shape (n,), in [0, 1].
    z : float
        Standard errors from the mean to ``upper``.
    hours : ndarray of int64, optional
        Shape (n,): when each row was scored, in hours since some midnight UTC.
    mistakes : array_like, optional
        Shape (n,): 1 where the decision was wrong, else 0.

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> hours = np.arange(24 * 14).repeat(50)
    >>> rng = np.random.default_rng(0)
    >>> known = baseline(rng.beta(1.0, 9.0, hours.size), hours=hours)
    >>> round(known.mean, 2), known.effects.days, known.effects.between < 0.005
    (0.1, 14, True)
    """
    values = np.asarray(reference, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a baseline needs at least one matured, labelled row")
    known = LossBaseline(float(values.mean()), int(values.size), _upper(values, z))
    if mistakes is not None:
        known = replace(known, mistakes=baseline(mistakes, z, hours))
    if hours is None:
        return known
    of_day = hours % HOURS
    counts = np.bincount(of_day, minlength=HOURS)
    bounds: tuple[float, ...] = ()
    left, lost = values - known.mean, 0
    reach = 0 if int(counts.min()) >= OWN_ROWS else 2
    near = [(of_day - hour + reach) % HOURS <= 2 * reach for hour in range(HOURS)]
    if counts.all() and min(int(rows.sum()) for rows in near) >= HOUR_ROWS:
        bounds = tuple(_upper(values[rows], z) for rows in near)
        usual = np.array([values[rows].mean() for rows in near])
        left, lost = values - usual[of_day], HOURS - 1
    assumed = min(ASSUMED, ASSUMED_SHARE * float(values.std()), ASSUMED_PART * known.mean)
    effects = fit_effects(left, hours, assumed, lost)
    # Where hours visibly differ (days may turn at another hour), a rise may be one of those.
    own = effects.days > 1 and reach == 0 and not effects.within
    within = learn(values, hours, ASSUMED_HOUR * assumed) if own else None
    return replace(known, hours=bounds, effects=effects, within=within)


def _upper(values: FloatArray, z: float) -> float:
    # The variance of a few equal losses is 0 by luck; two made-up rows, one right and one wrong,
    # keep the bound honest.
    padded = np.concatenate([values, [0.0, 1.0]])
    return min(1.0, float(values.mean() + z * padded.std() / math.sqrt(values.size)))


@dataclass(frozen=True, slots=True)
class Rungs:
    """Means to bet against, one bet each, all of which have to be won.

    Attributes
    ----------
    above : tuple of float
        How far each lies above the baseline's bound.
    boosts : tuple of float
        By how much the evidence against each counts for more than it is.
    """

    above: tuple[float, ...]
    boosts: tuple[float, ...]

    @property
    def most(self) -> float:
        """Rise that may be nothing."""
        return max(self.above)


def rungs(config: PerformanceConfig, baseline: LossBaseline) -> Rungs:
    """Return the means to bet against, the owner's margin first.

    A rise that equals the margin is harmless by definition, so not to report it for `EDGE_ROWS`,
    or a day, is enough. A day's effect is no change: limits that it exceeds with ever smaller
    chances p are bet against, and evidence counts for ``s / (2 (p_before - p))`` times what it is,
    where the shares s of `STEPS` add up to 1: most for the limits that bind on most days. In the
    days between two limits the upper one's bets are fair, so that over all days the
    expected evidence is at most half of what fair bets have, and a quarter of the budget is for
    days above the last limit.

    A baseline without known days has the margin alone, at full evidence.
    """
    effects = baseline.effects
    if not effects.days:
        return Rungs((config.margin,), (1.0,))
    budget = config.threshold * (config.every / DAY)
    edge = max(1.0, EDGE_ROWS * effects.days / baseline.n)
    tails = np.geomspace(0.5, min(0.05, 0.25 / budget), len(STEPS))
    chances = -np.diff(tails, prepend=1.0)
    boosts = np.asarray(STEPS) / (2.0 * chances)
    above = (config.margin, *(effects.reach(float(tail)) for tail in tails))
    return Rungs(above, (max(1.0, budget / edge), *boosts.tolist()))


def tolerated(config: PerformanceConfig, baseline: LossBaseline) -> float:
    """Return the largest mean loss that may be fine for longer than an hour."""
    return min(1.0, max(TINY, baseline.upper + rungs(config, baseline.of_hours).most))


def limits(baseline: LossBaseline, above: float, hours: Ints | None) -> FloatArray:
    """Return the mean to bet against, for each row or for all."""
    if hours is None or not baseline.hours:
        return np.asarray(min(1.0, max(TINY, baseline.upper + above)))
    known: FloatArray = np.asarray(baseline.hours)[hours % HOURS] + above
    return known.clip(TINY, 1.0)
