"""Bets that the mean loss is above what days and hours do by themselves: on rows, and on hours.

Bets on rows hold their level only against means that no hour exceeds, which is much where an hour's
rows have an effect in common, such as a burst of one fraudster. Its mean as one observation needs
no such allowance: the effect is then a part of how observations vary.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from homeostat.detectors.performance.baseline import (
    FloatArray,
    Ints,
    LossBaseline,
    PerformanceConfig,
    Rungs,
    limits,
    rungs,
)
from homeostat.stats.evidence import Bets, bet, log_growth

HOUR = timedelta(hours=1)
CAP = 10.0  # times the threshold: bounds the time to recover


@dataclass(frozen=True, slots=True)
class Hourly:
    """Evidence of hours that are over, and the hour that is not.

    ``hour`` counts from some midnight UTC; ``total`` is the loss of its ``rows`` so far. ``bets``
    are against each rung of `rungs`, and ``evidence`` is the least of them.
    """

    hour: int | None = None
    total: float = 0.0
    rows: int = 0
    bets: tuple[Bets, ...] = ()
    evidence: float = 0.0


def bet_hourly(
    config: PerformanceConfig,
    baseline: LossBaseline,
    state: Hourly,
    values: FloatArray,
    hours: Ints,
) -> Hourly:
    """Take in rows; bet on each hour that ends with them.

    Parameters
    ----------
    config : PerformanceConfig
    baseline : LossBaseline
    state : Hourly
        ``Hourly()`` at first.
    values, hours : ndarray
        Shape (n,): losses in [0, 1], and the hour of each.

    Examples
    --------
    >>> known = LossBaseline(0.1, 1000, 0.11)
    >>> hours = np.arange(40).repeat(5)
    >>> bad = bet_hourly(PerformanceConfig(), known, Hourly(), np.full(200, 0.3), hours)
    >>> bad.hour, bad.rows, bad.evidence > 1000
    (39, 5, True)
    """
    for hour in np.unique(hours).tolist():
        mine = values[hours == hour]
        if hour != state.hour:
            state = _end(config, baseline, state, hour)
        state = Hourly(
            hour, state.total + float(mine.sum()), state.rows + mine.size, state.bets,
            state.evidence,
        )  # fmt: skip
    return state


def _end(config: PerformanceConfig, baseline: LossBaseline, state: Hourly, now: int) -> Hourly:
    """Bet on the hour that was open, and open another."""
    if state.hour is None:
        return Hourly(now)
    mean = np.array([min(1.0, state.total / state.rows)])
    passed = max(0.0, (now - state.hour) * HOUR / config.every)
    against, at = rungs(config, baseline), np.array([state.hour])
    bets, evidence = climb(config, baseline, against, state.bets, mean, at, passed)
    return Hourly(now, bets=bets, evidence=evidence)


def climb(
    config: PerformanceConfig,
    baseline: LossBaseline,
    against: Rungs,
    bets: tuple[Bets, ...],
    values: FloatArray,
    hours: Ints | None,
    start: float,
) -> tuple[tuple[Bets, ...], float]:
    """Let the bets against each rung grow; return them and the least of their evidence.

    Parameters
    ----------
    config : PerformanceConfig
    baseline : LossBaseline
    against : Rungs
    bets : tuple of Bets
        Begun afresh if there are not as many as rungs: the days were not known then.
    values : ndarray
        Shape (n,), in [0, 1].
    hours : ndarray of int64 or None
        Shape (n,).
    start : float
        Time since the last call, in units of the schedule.
    """
    if len(bets) != len(against.above):
        bets = (*bets[:1], *(Bets() for _ in against.above[len(bets[:1]) :]))
    most = CAP * config.threshold
    grown = tuple(
        bet(old, log_growth(values, limits(baseline, above, hours)), start, most / boost)
        for old, above, boost in zip(bets, against.above, against.boosts, strict=True)
    )
    worth = (b.evidence * boost for b, boost in zip(grown, against.boosts, strict=True))
    return grown, min(worth)
