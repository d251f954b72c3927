"""What an arm changes on one metric, with the evidence for and against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homeostat.rollout.experiment.design import RARE, Experiment, Horizon, Kind, Metric, Role
from homeostat.rollout.experiment.tally import Measured, Tally
from homeostat.stats import moments
from homeostat.stats.difference import (
    anytime_interval,
    anytime_p,
    difference,
    relative,
    steadied,
    welch_interval,
    welch_p,
)
from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.moments import Moments, PairSums
from homeostat.stats.quantile_shift import Counted, quantile_ratio, same_quantile_p
from homeostat.stats.rare_shares import same_share_p, share_ratio

RARE_PART = 0.05
"""Share of the error rate that exact tests of rare events have; limit theorems have the rest."""

NOWHERE = Interval(NAN, NAN)

NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class Evidence:
    """P-values of what an arm might do; small is evidence for it. 1 where nothing speaks for it.

    Attributes
    ----------
    better : float
        Against "no different", 1 if it looks worse.
    safe : float
        Against "worse by more than the margin".
    worse : float
        Against "worse by no more than the margin", valid at any time whatever the horizon.
    """

    better: float = 1.0
    safe: float = 1.0
    worse: float = 1.0


@dataclass(frozen=True, slots=True)
class Effect:
    """One metric of one arm beside the control's.

    Attributes
    ----------
    metric : Metric
    arm : str
    control, treated : float
        Means, ratios or quantiles; NaN without entities.
    change : float
        Treated over control, less 1; NaN where the control has 0.
    interval : Interval
        Of the change; the level is that of the decision (`level`).
    level : float
    n_control, n_treated : int
        Entities measured.
    evidence : Evidence
    problem : str
        Why nothing can be said, or nothing.
    """

    metric: Metric
    arm: str
    control: float
    treated: float
    change: float
    interval: Interval
    level: float
    n_control: int
    n_treated: int
    evidence: Evidence
    problem: str = ""

    @property
    def refused(self) -> bool:
        """Whether there are figures that must not be compared: what is missing differs by arm."""
        return self.problem.endswith(NOT_COMPARED)


@dataclass(frozen=True, slots=True)
class Look:
    """How effects are judged at this look.

    Attributes
    ----------
    alpha : float
        Error rate of a success metric's interval, its part of the experiment's.
    harm : float
        Error rate that decides the scale of evidence for "worse".
    fixed : bool
        Whether this is the one look of a fixed horizon.
    tuned_for : float
        Entities of both arms when evidence is to be sharpest.
    """

    alpha: float
    harm: float
    fixed: bool
    tuned_for: float


def effects(
    experiment: Experiment, control: Tally, treated: Tally, arm: str, *, ended: bool
) -> tuple[Effect, ...]:
    """Compare an arm with the control on every metric.

    Parameters
    ----------
    experiment : Experiment
    control, treated : Tally
    arm : str
        Name of the treated one.
    ended : bool
        Whether the planned size is reached.
    """
    tests = sum(metric.role is Role.SUCCESS for metric in experiment.metrics)
    arms = len(experiment.treated)
    look = Look(
        alpha=experiment.alpha / (tests * arms),
        harm=experiment.alpha / (len(experiment.metrics) * arms),
        fixed=ended and experiment.horizon is Horizon.FIXED,
        tuned_for=experiment.tuned_for(arm),
    )
    return tuple(
        _effect(experiment, metric, (control, treated), arm, look) for metric in experiment.metrics
    )


def _effect(
    experiment: Experiment, metric: Metric, sides: tuple[Tally, Tally], arm: str, look: Look
) -> Effect:
    a, b = sides[0].of(metric), sides[1].of(metric)
    alpha = look.alpha if metric.role is Role.SUCCESS else experiment.alpha
    problem = _missing(experiment, metric, sides, arm)
    interval, evidence = NOWHERE, Evidence()
    if metric.kind is Kind.LATENCY:
        counts = (a.histogram.counted, b.histogram.counted)
        figures = (counts[0].quantile(metric.quantile), counts[1].quantile(metric.quantile))
        if not problem:
            interval, evidence = _of_quantiles(metric, counts, figures, alpha, look)
    else:
        sums = figures_of(metric, a.sums, b.sums)
        figures = (sums[0].mean, sums[1].mean)
        rare = _rare(metric, a, b)
        if not (problem or rare or difference(*sums).testable):
            problem = "every entity has the same value in both arms"
        if not problem:
            by = (
                _of_rare(metric, a, b, alpha, look)
                if rare
                else _of_means(metric, sums, alpha, look)
            )
            interval, evidence = by
    change = figures[1] / figures[0] - 1.0 if figures[0] else NAN
    return Effect(metric, arm, *figures, change, interval, 1.0 - alpha, a.n, b.n, evidence, problem)


def _missing(experiment: Experiment, metric: Metric, sides: tuple[Tally, Tally], arm: str) -> str:
    """Say why a metric cannot be judged; empty if it can."""
    names = (experiment.control, arm)
    counts = [side.of(metric).n for side in sides]
    if not any(counts):
        return "no data yet"
    for name, count, other in zip(names, counts, counts[::-1], strict=True):
        if not count and other >= experiment.least:
            return f"labels came for one arm only, none for {name}: {NOT_COMPARED}"
    for name, count in zip(names, counts, strict=True):
        if count < experiment.least:
            return f"{count} entities of {name} so far, {experiment.least} are needed"
    if metric.kind is Kind.RATIO and not all(side.of(metric).sums.x > 0.0 for side in sides):
        return "a ratio with nothing in its denominator"
    if all(count == side.assigned for side, count in zip(sides, counts, strict=True)):
        return ""
    return _uneven(experiment, sides, counts, arm)


def _uneven(
    experiment: Experiment, sides: tuple[Tally, Tally], counts: Sequence[int], arm: str
) -> str:
    """Say if labels are missing more in one arm than in the other."""
    shares = [
        Moments(side.assigned, p := count / side.assigned, p * (1.0 - p))
        for side, count in zip(sides, counts, strict=True)
    ]
    covered = difference(shares[0], shares[1])
    p_value = anytime_p(covered, 1.0 - experiment.mismatch, experiment.tuned_for(arm))
    if not p_value < experiment.mismatch:
        return ""
    first, second = (f"{100 * found.mean:.3g} %" for found in shares)
    return (
        f"labels cover {first} of {experiment.control} and {second} of {arm}:"
        f" what is missing differs by arm, {NOT_COMPARED}"
    )


def figures_of(metric: Metric, control: PairSums, treated: PairSums) -> tuple[Moments, Moments]:
    """Return what a metric amounts to in two arms, from their sums."""
    if metric.kind is Kind.RATIO:
        return moments.ratio(control), moments.ratio(treated)
    if metric.covariate:
        first, second = moments.adjusted((control, treated))
        return first, second
    return moments.mean(control), moments.mean(treated)


def _rare(metric: Metric, a: Measured, b: Measured) -> bool:
    return metric.binary and any(
        min(side.sums.y, side.sums.n - side.sums.y) < RARE for side in (a, b)
    )


def _limit(metric: Metric, figure: float) -> float:
    """Return what the control's figure times it is the worst that the margin allows."""
    allowed = metric.margin if metric.role is Role.GUARDRAIL else 0.0
    return 1.0 + allowed if metric.falling is (figure >= 0.0) else 1.0 - allowed


def _of_means(
    metric: Metric, sums: tuple[Moments, Moments], alpha: float, look: Look
) -> tuple[Interval, Evidence]:
    """Judge means, by limit theorems."""
    part = 1.0 - RARE_PART if metric.binary else 1.0  # the rest was for while events were rare
    level = 1.0 - alpha * part
    sums = steadied(*sums)
    gap = difference(*sums)
    beyond = difference(*sums, _limit(metric, sums[0].mean))
    sign = -1.0 if metric.falling else 1.0
    change = relative(*sums)
    if look.fixed:
        interval = welch_interval(change, level)
        better = welch_p(gap)
        safe = welch_p(beyond.times(sign), one_sided=True)
    else:
        interval = anytime_interval(change, level, look.tuned_for)
        better = anytime_p(gap, level, look.tuned_for)
        safe = anytime_p(beyond.times(sign), level, look.tuned_for, one_sided=True)
    worse = anytime_p(beyond.times(-sign), 1.0 - look.harm, look.tuned_for, one_sided=True)
    better, safe, worse = (min(1.0, p / part) for p in (better, safe, worse))
    return interval, Evidence(better if sign * gap.value > 0.0 else 1.0, safe, worse)


def _of_rare(
    metric: Metric, a: Measured, b: Measured, alpha: float, look: Look
) -> tuple[Interval, Evidence]:
    """Judge shares exactly."""
    control, treated = (a.sums.y, a.sums.n), (b.sums.y, b.sums.n)
    tuned = look.tuned_for / 2.0
    ratio = share_ratio(control, treated, 1.0 - alpha * RARE_PART, tuned)
    limit = _limit(metric, 0.0)
    better = min(1.0, same_share_p(control, treated, 1.0, tuned) / RARE_PART)
    beyond = min(1.0, same_share_p(control, treated, limit, tuned) / RARE_PART)
    first, second = control[0] / control[1], treated[0] / treated[1]
    return Interval(ratio.lower - 1.0, ratio.upper - 1.0), _sided(
        metric, first, second, limit, (better, beyond)
    )


def _of_quantiles(
    metric: Metric,
    counts: tuple[Counted, Counted],
    figures: tuple[float, float],
    alpha: float,
    look: Look,
) -> tuple[Interval, Evidence]:
    """Judge quantiles: without any limit theorem, and so in the same way at a fixed size."""
    tuned, limit = look.tuned_for / 2.0, _limit(metric, 1.0)
    ratio = quantile_ratio(*counts, metric.quantile, 1.0 - alpha, tuned)
    better = same_quantile_p(*counts, metric.quantile, tuned)
    scaled = Counted(counts[0].values * limit, counts[0].counts)
    beyond = same_quantile_p(scaled, counts[1], metric.quantile, tuned)
    return Interval(ratio.lower - 1.0, ratio.upper - 1.0), _sided(
        metric, *figures, limit, (better, beyond)
    )


def _sided(
    metric: Metric, control: float, treated: float, limit: float, p_values: tuple[float, float]
) -> Evidence:
    """Give two-sided p-values to the side that the figures are on."""
    better, beyond = p_values
    sign = -1.0 if metric.falling else 1.0
    within = sign * (treated - limit * control) > 0.0
    return Evidence(
        better if sign * (treated - control) > 0.0 else 1.0,
        beyond if within else 1.0,
        1.0 if within else beyond,
    )
