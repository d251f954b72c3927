"""Bets that the mean loss rose at some moment of the day: rows after it against rows before it.

Bets against what whole days do by themselves must allow for the worst day, of which a short
hold-out knows little. A rise within the day is no effect of the day: the rows before it have the
same one. What is left to allow for is how hours of one day differ, of which there are many to learn
from, and what the day's rows so far leave open.

So for each of the day's moments the rows since are compared with a mean that is known up to an
error: the Bayes factor of "higher by some amount" against "as before, give or take the error". It
is an e-value while hours differ as the reference has them (normally), whatever the day's own effect
is; the sum over moments, each weighted by the time that passed before the next, is an e-detector
(Shin, Ramdas & Rinaldo 2023), so that the budget holds in time. Losses between 0 and 1 are taken
for chances of a loss of 1: bets on them pay at most as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from homeostat.detectors.performance.baseline import (
    FloatArray,
    Ints,
    LossBaseline,
    PerformanceConfig,
)
from homeostat.detectors.performance.within import Within
from homeostat.stats.blocks import HOURS

STAKES = np.array([0.05, 0.1, 0.2, 0.4])
"""A stake pays best for a rise by about as much, whatever the rate before it."""

DENSITY = 0.2
"""Moments are kept at ages so far apart, relative to their age."""

REACH = 2
"""Hours, the one that goes on included, in which a rise may have begun."""

_TINY = 1e-6
_LOG_MAX = 600.0

NODES = np.arange(-4.0, 6.01, 0.4)
LIKELY = -(NODES**2) / 2.0 - math.log(float(np.exp(-(NODES**2) / 2.0).mean()))
"""Standard deviations of the mean that are looked at, and the logarithms of their weights."""


@dataclass(frozen=True, slots=True)
class Today:
    """Rows of the day so far in pieces, in order of time.

    Attributes
    ----------
    hours : tuple of int
        Hour of each, counted from some midnight UTC.
    rows, totals : tuple of int, tuple of float
        How many, and their losses.
    begun : tuple of float
        Capital of the bets that begin with it; 0 where none do.
    evidence : float
        Of a rise within the day.
    before : float
        Mean above the usual one of the hour, before the likeliest rise.
    """

    hours: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    totals: tuple[float, ...] = ()
    begun: tuple[float, ...] = ()
    evidence: float = 0.0
    before: float = 0.0


def bet_sudden(
    config: PerformanceConfig,
    known: Within,
    state: Today,
    values: FloatArray,
    hours: Ints,
    elapsed: float,
) -> Today:
    """Take in the rows of one call, and bet on a rise before them or among them.

    Parameters
    ----------
    config : PerformanceConfig
    known : Within
        Its own knowledge of hours.
    state : Today
        ``Today()`` at first.
    values, hours : ndarray
        Shape (n,): losses in [0, 1], and the hour of each.
    elapsed : float
        Time since the last call, in units of the schedule.

    Examples
    --------
    >>> known, state = Within((0.1,) * 24, 0.09, 1e-6), Today()
    >>> for rate in [0.1] * 60 + [0.2] * 3:
    ...     rows = (np.arange(600) < 600 * rate).astype(float)
    ...     hours = np.full(600, 5)
    ...     state = bet_sudden(PerformanceConfig(), known, state, rows, hours, 1 / 1440)
    >>> state.evidence > 1e6, round(state.before, 3)
    (True, 0.0)
    """
    for hour, rows in zip(*np.unique(hours, return_counts=True), strict=True):
        total, share = float(values[hours == hour].sum()), float(rows) / hours.size
        state = add(state, int(hour), int(rows), total, elapsed * share)
    worth, before = weigh(config.margin, known, state, np.array(state.totals))
    likeliest = float(before[int(np.argmax(worth))])
    return replace(state, evidence=float(worth.sum()), before=likeliest)


def calm_rise(config: PerformanceConfig, baseline: LossBaseline, today: Today) -> float:
    """Return how far above the baseline's bound a mean may be that is no longer the sudden rise.

    What it was before, and the margin or what one day in twenty does by itself.
    """
    usual = max(config.margin, baseline.of_hours.effects.reach(0.05))
    return max(0.0, today.before) + usual


def add(state: Today, hour: int, rows: int, total: float, begun: float) -> Today:
    """Return the day with one more piece.

    A day begins afresh. Pieces are joined as they age, by numbers of rows alone, so that which
    moments are kept says nothing of losses; rows of an hour that is over count for the one after.
    """
    if state.hours and state.hours[-1] // HOURS != hour // HOURS:
        state = Today()
    hours = [*state.hours, max((hour, *state.hours[-1:]))]
    sizes, totals = [*state.rows, rows], [*state.totals, total]
    capital = [*state.begun, begun]
    place, after = len(hours) - 2, rows
    while place > 0:
        older, size = place - 1, sizes[place]
        joint = hours[older] == hours[place]
        late = hours[place] <= hours[-1] - REACH
        if joint and (late or sizes[older] + size <= DENSITY * after):
            sizes[older] += sizes.pop(place)
            totals[older] += totals.pop(place)
            del hours[place], capital[place]
        else:
            after += size
        place -= 1
    capital = [0.0 if h <= hours[-1] - REACH else c for h, c in zip(hours, capital, strict=True)]
    return Today(tuple(hours), tuple(sizes), tuple(totals), tuple(capital))


def weigh(
    margin: float, known: Within, state: Today, totals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the evidence of a rise at each piece, and the mean before it above the usual one.

    Parameters
    ----------
    margin : float
        Rise that does not matter.
    known : Within
    state : Today
    totals : ndarray
        Shape (pieces,): the losses.
    """
    hours, rows = np.array(state.hours), np.array(state.rows, dtype=np.float64)
    mean, error = known.level(hours, rows, totals)
    usual, last = np.array(known.usual), hours[-1:]
    same = (hours[:, None] == hours) & np.triu(np.ones((hours.size,) * 2, dtype=bool))
    later = hours > hours[:, None]
    whole = np.column_stack((rows, totals))
    here, there = same.astype(np.float64) @ whole, later.astype(np.float64) @ whole
    error = error + np.where(there[:, 0] > 0.0, 2.0 * known.effect, 0.0)
    able = np.isfinite(error) & (hours > last - REACH)
    spread = np.sqrt(np.where(able, error, 0.0))
    grown, size = np.zeros((hours.size, STAKES.size)), np.zeros(hours.size)
    fine = np.zeros((hours.size, NODES.size)) + LIKELY
    for of, part in ((hours, here), (last, there)):
        middle = usual[of % HOURS] + mean
        shifted = (middle + known.rising(of))[:, None] + spread[:, None] * NODES
        fine += _log_chance(shifted, part)
        grown += _log_chance(middle[:, None] + STAKES * (1.0 - middle[:, None]), part)
        size += part[:, 1] - part[:, 0] * usual[of % HOURS]
    able &= size / (here + there)[:, 0] - np.maximum(0.0, mean) >= margin
    logs = np.minimum(_log_mean(grown) - _log_mean(fine), _LOG_MAX)
    worth: FloatArray = np.array(state.begun) * np.exp(np.where(able, logs, -np.inf))
    return worth, mean


def _log_chance(means: FloatArray, part: FloatArray) -> FloatArray:
    """Return the log-likelihood of rows and losses, shape (moments, means), if they were 0 or 1."""
    chances = means.clip(_TINY, 1.0 - _TINY)
    found: FloatArray = part[:, 1:] * np.log(chances)
    found += (part[:, :1] - part[:, 1:]) * np.log1p(-chances)
    return found


def _log_mean(logs: FloatArray) -> FloatArray:
    top = logs.max(axis=1)
    found: FloatArray = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return found
