"""One look at an experiment: from tallies to a report."""

from __future__ import annotations

import math
from collections.abc import Mapping

from homeostat.domain.text import printable
from homeostat.rollout.experiment.decide import decide_arms, words
from homeostat.rollout.experiment.design import Experiment, Role
from homeostat.rollout.experiment.effects import Effect, effects
from homeostat.rollout.experiment.report import ArmReport, Decision, Report, SegmentEffect
from homeostat.rollout.experiment.tally import Tally, check_tallies
from homeostat.stats.sample_ratio import sample_ratio

Tallies = Mapping[str, Tally]

EMPTY = Tally()


def analyse(
    experiment: Experiment, tallies: Tallies, segments: Mapping[str, Tallies] | None = None
) -> Report:
    """Look at an experiment, as often as one likes, and say what to do.

    The split comes first: if it is off, nothing else is believed. Then each version is compared
    with the control on every metric, and judged by `decide.decide_arms`. Segments can only hold a
    version back, never ship it.

    Parameters
    ----------
    experiment : Experiment
    tallies : mapping of arm to Tally
        Entities whose labels are due; an arm that is not there has none.
    segments : mapping of segment to mapping of arm to Tally, optional

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If an arm or metric is not of this experiment, or more entities are measured than assigned.

    Examples
    --------
    >>> from homeostat.rollout.experiment.design import Kind, Metric
    >>> from homeostat.rollout.experiment.tally import measure
    >>> import numpy as np
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> design = Experiment("checkout", ("v7", "v8"), (paid,), 10_000, shares=(0.5, 0.5))
    >>> def arm(share):
    ...     return Tally(5000, {"paid": measure(paid, np.arange(5000) < 5000 * share)})
    >>> report = analyse(design, {"v7": arm(0.1), "v8": arm(0.125)})
    >>> report.decision, report.winner, report.reasons
    (<Decision.SHIP: 'ship'>, 'v8', ('v8: better: paid 10 % to 12.5 % (+25.0 %, from +3.2 % to \
+46.8 %)',))
    """
    split = segments or {}
    for each in (tallies, *split.values()):
        check_tallies(experiment, each)
    sides = {arm: tallies.get(arm, EMPTY) for arm in experiment.arms}
    counts = [tally.assigned for tally in sides.values()]
    ended = sum(counts) >= experiment.size
    control = sides[experiment.control]
    found = [
        effects(experiment, control, sides[arm], arm, ended=ended) for arm in experiment.treated
    ]
    arms = decide_arms(experiment, found, ended=ended)
    parts = _segments(experiment, split)
    arms = tuple(_held(arm, parts) for arm in arms)
    ratio = sample_ratio(counts, list(experiment.share_of.values())).p_value
    decision, winner, reasons = _overall(experiment, arms, ratio)
    return Report(experiment.name, decision, winner, reasons, arms, parts, sum(counts), ratio)


def _segments(experiment: Experiment, segments: Mapping[str, Tallies]) -> tuple[SegmentEffect, ...]:
    tests = max(1, len(segments)) * len(experiment.metrics) * len(experiment.treated)
    return tuple(
        SegmentEffect(name, effect, harmed=effect.evidence.worse * tests <= experiment.alpha)
        for name, each in segments.items()
        for arm in experiment.treated
        for effect in effects(
            experiment,
            each.get(experiment.control, EMPTY),
            each.get(arm, EMPTY),
            arm,
            ended=False,
        )
    )


def _held(arm: ArmReport, parts: tuple[SegmentEffect, ...]) -> ArmReport:
    """Take back the decision to ship what does harm in a segment."""
    harm = tuple(
        f"worse in {printable(part.segment)}: {words(part.effect)}"
        for part in parts
        if part.harmed and part.effect.arm == arm.arm
    )
    if not harm or arm.decision is not Decision.SHIP:
        return ArmReport(arm.arm, arm.decision, (*arm.reasons, *harm), arm.effects)
    reasons = (*harm, *arm.reasons, "a person has to decide whether that matters")
    return ArmReport(arm.arm, Decision.INCONCLUSIVE, reasons, arm.effects)


def _overall(
    experiment: Experiment, arms: tuple[ArmReport, ...], ratio: float
) -> tuple[Decision, str, tuple[str, ...]]:
    if ratio < experiment.mismatch:
        why = (
            f"hold: entities are not split as planned (p = {ratio:.2g}), so the arms differ in more"
            " than the version; find out why before anything here is believed"
        )
        return Decision.INCONCLUSIVE, "", (why,)
    reasons = tuple(f"{printable(arm.arm)}: {reason}" for arm in arms for reason in arm.reasons)
    ships = [arm for arm in arms if arm.decision is Decision.SHIP]
    if ships:
        best = max(ships, key=_merit)
        chosen = tuple(f"{printable(best.arm)}: {reason}" for reason in best.reasons)
        return Decision.SHIP, best.arm, chosen
    order = (Decision.CONTINUE, Decision.INCONCLUSIVE, Decision.NO_DATA, Decision.STOP)
    present = {arm.decision for arm in arms}
    return next(decision for decision in order if decision in present), "", reasons


def _merit(arm: ArmReport) -> float:
    """Return by how much the first success metric is better at least, in its own direction."""
    first: Effect = next(e for e in arm.effects if e.metric.role is Role.SUCCESS)
    worst = -first.interval.upper if first.metric.falling else first.interval.lower
    return worst if not math.isnan(worst) else -math.inf
