"""From effects to a decision, by one rule that is written down before the data.

Ship if a success metric is better, every guardrail is not worse than its margin, and nothing is
shown to be worse (Schultzberg, Ankargren & Franberg, "Risk-aware product decisions in A/B tests
with multiple metrics", Spotify 2024). The error rate is shared among success metrics and arms only
(Holm): a guardrail adds a condition, and a condition makes wrong shipping rarer, not likelier. It
costs power instead: plan each guardrail with a power of ``1 - 0.2 / guardrails``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from homeostat.domain.text import printable
from homeostat.rollout.experiment.design import Experiment, Kind, Metric, Role
from homeostat.rollout.experiment.effects import Effect
from homeostat.rollout.experiment.report import ArmReport, Decision
from homeostat.stats.multiple import holm


def decide_arms(
    experiment: Experiment, effects: Sequence[Sequence[Effect]], *, ended: bool
) -> tuple[ArmReport, ...]:
    """Decide on each version.

    Parameters
    ----------
    experiment : Experiment
    effects : sequence of sequence of Effect
        For each treated arm, one a metric.
    ended : bool
        Whether the planned size is reached.
    """
    success = [
        (place, effect)
        for place, found in enumerate(effects)
        for effect in found
        if effect.metric.role is Role.SUCCESS
    ]
    adjusted = holm([effect.evidence.better for _, effect in success])
    proven: list[list[Effect]] = [[] for _ in effects]
    for (place, effect), p_value in zip(success, adjusted.tolist(), strict=True):
        if p_value <= experiment.alpha:
            proven[place].append(effect)
    return tuple(
        _decide(experiment, found, better, ended=ended)
        for found, better in zip(effects, proven, strict=True)
    )


def _decide(
    experiment: Experiment, effects: Sequence[Effect], better: Sequence[Effect], *, ended: bool
) -> ArmReport:
    arm = effects[0].arm
    tests = len(experiment.metrics) * len(experiment.treated)
    harmed = [e for e in effects if e.evidence.worse * tests <= experiment.alpha]
    unsafe = [e for e in effects if _guards(e) and not e.evidence.safe <= experiment.alpha]
    blind = [e for e in effects if e.problem]

    def report(decision: Decision, *reasons: str) -> ArmReport:
        return ArmReport(arm, decision, reasons, tuple(effects))

    if harmed:
        return report(Decision.STOP, *(f"worse: {words(effect)}" for effect in harmed))
    if all(e.problem for e in effects if e.metric.role is Role.SUCCESS):
        return report(Decision.NO_DATA, *map(_problem, blind))
    reached = [f"better: {words(effect)}" for effect in better]
    lacking = [_problem(e) if e.problem else f"not proven safe yet: {words(e)}" for e in unsafe]
    early = experiment.horizon == "fixed" and not ended
    if better and not unsafe and not early:
        safe = [f"within its margin: {words(e)}" for e in effects if _guards(e)]
        return report(Decision.SHIP, *reached, *safe)
    if not better:
        lacking = ["no success metric is shown to be better", *lacking]
    if early:
        lacking = ["a fixed horizon is read once, at its end", *lacking]
    lacking += [_problem(e) for e in blind if e not in unsafe]
    return report(
        Decision.INCONCLUSIVE if ended else Decision.CONTINUE,
        *reached,
        *lacking,
        *(["it is over; without proof the control stays"] if ended else []),
    )


def _guards(effect: Effect) -> bool:
    return effect.metric.role is Role.GUARDRAIL


def _problem(effect: Effect) -> str:
    return f"{printable(effect.metric.name)}: {effect.problem}"


def words(effect: Effect) -> str:
    """Say what an effect is, for someone who sells things.

    Examples
    --------
    >>> from homeostat.rollout.experiment.effects import Effect, Evidence
    >>> from homeostat.stats.intervals import Interval
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> bounds = Interval(0.042, 0.358)
    >>> words(Effect(paid, "v8", 0.1, 0.12, 0.2, bounds, 0.95, 5000, 5000, Evidence()))
    'paid 10 % to 12 % (+20.0 %, from +4.2 % to +35.8 %)'
    """
    metric = effect.metric
    figures = f"{figure_words(metric, effect.control)} to {figure_words(metric, effect.treated)}"
    change = f"{_percent(effect.change)}, from {_percent(effect.interval.lower)}"
    return f"{printable(metric.name)} {figures} ({change} to {_percent(effect.interval.upper)})"


def figure_words(metric: Metric, value: float) -> str:
    """Write a figure of a metric.

    Examples
    --------
    >>> figure_words(Metric("slow", Kind.LATENCY), 81.25)
    '81.25 (p95)'
    """
    if metric.binary:
        return f"{100.0 * value:.4g} %"
    at = f" (p{100.0 * metric.quantile:g})" if metric.kind is Kind.LATENCY else ""
    return f"{value:.4g}{at}"


def _percent(share: float) -> str:
    if math.isnan(share):
        return "unknown"
    return "any rise" if math.isinf(share) else f"{100.0 * share:+.1f} %"
