"""How large an experiment has to be, from what the traffic was like before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homeostat.rollout.experiment.design import RARE, Experiment, Horizon, Kind, Metric, Role
from homeostat.rollout.experiment.effects import figures_of
from homeostat.rollout.experiment.tally import Measured
from homeostat.stats.intervals import NAN
from homeostat.stats.power import rows_for_means, rows_when_looking
from homeostat.stats.quantile_shift import Counted, same_quantile_p
from homeostat.stats.special import normal_quantile

MOST = 2**34
FINEST = 0.01
"""Least relative change of a time that its histogram can show."""
_STEPS = 12  # of bisection: to 2 % of a doubling


@dataclass(frozen=True, slots=True)
class Need:
    """What one metric needs.

    Attributes
    ----------
    metric : str
    role : Role
    figure : float
        Of the traffic before.
    effect : float
        Relative change that is to be found, or margin that is to be kept.
    entities : float
        Of all arms together; NaN if that cannot be said.
    problem : str
        Why not, or what to bear in mind.
    """

    metric: str
    role: Role
    figure: float
    effect: float
    entities: float
    problem: str = ""


def needs(
    design: Experiment, before: Sequence[Measured], effect: float, power: float = 0.8
) -> tuple[Need, ...]:
    """Say how many entities each metric needs.

    Parameters
    ----------
    design : Experiment
        Its shares, error rate and horizon count; its size does not.
    before : sequence of Measured
        Of entities before the experiment, one a metric.
    effect : float
        Relative change of success metrics that is to be found, positive.
    power : float
        In (0, 1): of each success metric; guardrails share what is missing to 1, as all of them
        have to be proven.

    Examples
    --------
    >>> from homeostat.rollout.experiment.tally import measure
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> design = Experiment("checkout", ("v7", "v8"), (paid,), 10_000, shares=(0.5, 0.5))
    >>> found = needs(design, [measure(paid, np.arange(5000) < 500)], effect=0.2)
    >>> round(found[0].entities, -2)
    13500.0
    """
    guards = sum(metric.role is Role.GUARDRAIL for metric in design.metrics)
    tests = (len(design.metrics) - guards) * len(design.treated)
    found = []
    for metric, measured in zip(design.metrics, before, strict=True):
        if metric.role is Role.SUCCESS:
            found.append(_need(design, metric, measured, effect, (design.alpha / tests, power)))
        else:
            rates = (design.alpha, 1.0 - (1.0 - power) / guards)
            found.append(_need(design, metric, measured, metric.margin, rates))
    return tuple(found)


def _need(
    design: Experiment,
    metric: Metric,
    measured: Measured,
    effect: float,
    rates: tuple[float, float],
) -> Need:
    if not effect > 0.0:
        why = "a margin of 0 is never proven: give the guardrail a margin"
        return Need(metric.name, metric.role, NAN, effect, NAN, why)
    if metric.kind is Kind.LATENCY and effect < FINEST:
        why = "times are known to 0.8 %: nothing so small is ever found"
        return Need(metric.name, metric.role, NAN, effect, NAN, why)
    if metric.kind is Kind.LATENCY:
        counts = measured.histogram.counted
        figure = counts.quantile(metric.quantile)
        rows = _rows_of_quantile(design, metric, counts, effect, rates) if counts.n >= RARE else NAN
    else:
        moments = figures_of(metric, measured.sums, measured.sums)[0]
        figure = moments.mean
        rows = _rows_of_mean(design, figure * effect, moments.variance, rates)
    if math.isnan(rows):
        why = "too little is on record, or it never varies"
        return Need(metric.name, metric.role, figure, effect, NAN, why)
    control, least = _extremes(design)
    entities = rows / control
    problem = ""
    if metric.binary and min(figure, 1.0 - figure) * entities * least < RARE:
        problem = f"fewer than {RARE} events in an arm: judged exactly, which takes more"
    return Need(metric.name, metric.role, figure, effect, entities, problem)


def _extremes(design: Experiment) -> tuple[float, float]:
    """Return the shares of the control and of the smallest other arm."""
    shares = design.share_of
    return shares[design.control], min(shares[arm] for arm in design.treated)


def _rows_of_mean(
    design: Experiment, effect: float, variance: float, rates: tuple[float, float]
) -> float:
    """Return the control's rows; NaN where there is nothing to go by."""
    if not (variance > 0.0 and abs(effect) > 0.0):
        return NAN
    control, least = _extremes(design)
    alpha, power = rates
    rows = rows_for_means if design.horizon is Horizon.FIXED else rows_when_looking
    return rows(abs(effect), math.sqrt(variance), power, alpha, least / control)


def _rows_of_quantile(
    design: Experiment, metric: Metric, counts: Counted, effect: float, rates: tuple[float, float]
) -> float:
    """Return the control's rows by which the test itself would be through, by bisection.

    The treated arm is as it should be, less what chance takes in as many cases as the power allows.
    """
    low, high = 1.0, 1.0
    while not _through(design, metric, counts, effect, rates, high):
        low, high = high, 2.0 * high
        if high > MOST:
            return NAN
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        if _through(design, metric, counts, effect, rates, middle):
            high = middle
        else:
            low = middle
    return high


def _through(
    design: Experiment,
    metric: Metric,
    counts: Counted,
    effect: float,
    rates: tuple[float, float],
    rows: float,
) -> bool:
    control, least = _extremes(design)
    treated = rows * least / control
    q, (alpha, power) = metric.quantile, rates
    spread = math.sqrt(q * (1.0 - q) * (1.0 / rows + 1.0 / treated))
    figure = counts.quantile(q)
    unlucky = counts.quantile(min(q + normal_quantile(power) * spread, 1.0)) / figure
    gap = (1.0 + effect) / unlucky
    if gap <= 1.0:
        return False
    sides = (_scaled(counts, rows, gap), _scaled(counts, treated, 1.0))
    if not (sides[0].n and sides[1].n):
        return False
    return same_quantile_p(*sides, q, (rows + treated) / 4.0) <= alpha  # tuned as it will be


def _scaled(counts: Counted, rows: float, factor: float) -> Counted:
    """Return as many rows as are asked for, spread as the given ones."""
    upto = np.rint(np.cumsum(counts.counts) * (rows / counts.n)).astype(np.int64)
    there = np.diff(upto, prepend=0)
    return Counted(counts.values[there > 0] * factor, there[there > 0])
