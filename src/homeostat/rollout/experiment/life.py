"""The life of an experiment: what a look at it leads to.

Running, until it is shown what to do, or is over. A version that ships is rolled out at once
(``auto_promote``) or waits for a person; while it waits, harm is looked for as before. Ended is
ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.domain.decision import Decision as Entry
from homeostat.domain.text import printable
from homeostat.rollout.experiment.decide import words
from homeostat.rollout.experiment.design import Horizon
from homeostat.rollout.experiment.effects import Effect, effects
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.rollout.experiment.report import Decision, Report
from homeostat.rollout.experiment.tally import Tally
from homeostat.stats.sample_ratio import sample_ratio

AUTOMATIC = "homeostat"
PATIENCE = timedelta(days=14)
"""How long a person is waited for."""


class Stage(StrEnum):
    """Where an experiment stands."""

    RUNNING = "running"
    WAITING = "waiting"
    """A version is to ship, and a person has to say so."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """An experiment that was started.

    Attributes
    ----------
    plan : ExperimentPlan
        As it was when it began, without the arms that were taken back since.
    stage : Stage
    actor : str
        Who started it.
    started : datetime
    reason : str
        Why it stands where it stands.
    decision : Decision or None
        Of the newest look.
    winner : str
        Version that is to ship, or did.
    looked : datetime or None
        Up to where entities were looked at.
    ended : datetime or None
    dropped : tuple of str
        Arms that were taken back.
    held : tuple of str
        Metrics of arms that the newest look refused to compare.
    asked : datetime or None
        Since when a person is waited for.
    """

    plan: ExperimentPlan
    stage: Stage
    actor: str
    started: datetime
    reason: str = ""
    decision: Decision | None = None
    winner: str = ""
    looked: datetime | None = None
    ended: datetime | None = None
    dropped: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    asked: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it has arms."""
        return self.stage is not Stage.ENDED


@dataclass(frozen=True, slots=True)
class Early:
    """What is known of entities before their outcomes are due.

    Attributes
    ----------
    entities : int
    sample_ratio : float
        P-value of the planned split of all who were met.
    harmed : tuple of Effect
        Metrics of serving that are shown to be worse.
    """

    entities: int
    sample_ratio: float
    harmed: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Stepped:
    """An experiment after a look, the entries of the decision log, and the version to roll out."""

    state: ExperimentState
    entries: tuple[Entry, ...] = ()
    submit: str = ""


def look_early(plan: ExperimentPlan, tallies: dict[str, Tally]) -> Early:
    """Look at how answers were given, and at the split, of all entities that were met.

    The same evidence as that of `analyse`, only earlier: it holds at any time, so at this one too.

    Parameters
    ----------
    plan : ExperimentPlan
    tallies : dict of arm to Tally
        Of all entities that were observed to the end, whether their outcomes are due or not.
    """
    design = plan.design
    sides = {arm: tallies.get(arm, Tally()) for arm in design.arms}
    counts = [tally.assigned for tally in sides.values()]
    names = {metric.name for metric in plan.immediate}
    tests = len(design.metrics) * len(design.treated)
    found = [
        effect
        for arm in design.treated
        for effect in effects(design, sides[design.control], sides[arm], arm, ended=False)
        if effect.metric.name in names and effect.evidence.worse * tests <= design.alpha
    ]
    ratio = sample_ratio(counts, list(design.share_of.values())).p_value
    return Early(sum(counts), ratio, tuple(found))


def step(state: ExperimentState, report: Report, early: Early, now: datetime) -> Stepped:
    """Do what a look shows.

    Parameters
    ----------
    state : ExperimentState
        Open.
    report : Report
        On entities whose outcomes are due.
    early : Early
    now : datetime

    Returns
    -------
    Stepped
        With an entry for everything that changed.
    """
    design = state.plan.design
    looked = replace(state, decision=report.decision)
    uneven = [p for p in (early.sample_ratio, report.sample_ratio) if p < design.mismatch]
    if uneven:
        why = (
            f"entities are not split as planned (p = {uneven[0]:.2g}): the arms differ in more than"
            " the version, and nothing that was measured is to be believed; the champion serves"
        )
        return _ended(looked, why, report, now)
    harm = {e.arm: f"worse: {words(e)}" for e in reversed(early.harmed)}
    for arm in report.arms:
        if arm.decision is Decision.STOP:
            harm[arm.arm] = arm.reasons[0]
    if harm:
        return _taken_back(looked, harm, report, now)
    if state.stage is Stage.WAITING and now - (state.asked or now) >= PATIENCE:
        why = f"nobody decided for {PATIENCE.days} days, the control stays; {state.reason}"
        return _ended(looked, why, report, now)
    if report.decision is Decision.SHIP:
        return _shipped(looked, report, now)
    if state.stage is Stage.WAITING:
        return _reopened(looked, state.decision, report, now)
    return _over(_noted(looked, report, now), report, now)


def _reopened(
    state: ExperimentState, before: Decision | None, report: Report, now: datetime
) -> Stepped:
    """Go on where what was to ship is no longer; a fixed horizon was read once, at its end."""
    if state.plan.design.horizon is Horizon.FIXED:
        return Stepped(replace(state, decision=before))
    why = f"no longer to ship: {_told(report.reasons)}"
    after = replace(state, stage=Stage.RUNNING, winner="", reason=why, asked=None)
    return _over(Stepped(after, (_entry(after, "reopen_experiment", report, now),)), report, now)


def stop(state: ExperimentState, actor: str, why: str, now: datetime) -> Stepped:
    """End an experiment by hand; the champion serves everybody.

    Examples
    --------
    >>> from datetime import UTC
    >>> from homeostat.rollout.experiment.design import Experiment, Kind, Metric
    >>> from homeostat.rollout.experiment.plan import Source
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> design = Experiment("checkout", ("v7", "v8"), (paid,), size=10_000)
    >>> plan = ExperimentPlan("fraud", design, (Source("paid", of="bought"),))
    >>> day = datetime(2024, 1, 1, tzinfo=UTC)
    >>> state = ExperimentState(plan, Stage.RUNNING, "ana", day)
    >>> stop(state, "ana", "enough", day).state.stage
    <Stage.ENDED: 'ended'>
    """
    after = replace(state, stage=Stage.ENDED, ended=now, reason=why)
    entry = Entry(state.plan.model, now, actor, "stop_experiment", state.plan.name, why)
    return Stepped(after, (entry,))


def _told(reasons: tuple[str, ...]) -> str:
    return "; ".join(reasons)


def _entry(state: ExperimentState, action: str, report: Report, now: datetime) -> Entry:
    evidence = [("entities", float(report.entities)), ("sample_ratio_p", report.sample_ratio)]
    for arm in report.arms:
        for effect in arm.effects:
            name = f"{arm.arm}.{effect.metric.name}"
            evidence += [
                (f"{name}.change", effect.change),
                (f"{name}.lower", effect.interval.lower),
                (f"{name}.upper", effect.interval.upper),
            ]
    plan = state.plan
    kept = tuple((name, value) for name, value in evidence if math.isfinite(value))
    return Entry(plan.model, now, AUTOMATIC, action, plan.name, state.reason, kept)


def _ended(
    state: ExperimentState, why: str, report: Report, now: datetime, submit: str = ""
) -> Stepped:
    after = replace(state, stage=Stage.ENDED, ended=now, reason=why, winner=submit)
    return Stepped(after, (_entry(after, "end_experiment", report, now),), submit)


def _taken_back(
    state: ExperimentState, harm: dict[str, str], report: Report, now: datetime
) -> Stepped:
    """Withdraw the arms that do harm; without any other it is over."""
    told = "; ".join(f"{printable(arm)}: {reason}" for arm, reason in harm.items())
    dropped = (*state.dropped, *harm)
    plan = state.plan
    if set(plan.design.treated) <= set(harm):
        return _ended(replace(state, dropped=dropped), f"{told}; it is taken back", report, now)
    for arm in harm:
        plan = plan.without(arm)
    after = replace(
        state, plan=plan, dropped=dropped, stage=Stage.RUNNING, winner="", asked=None,
        reason=f"{told}; taken back, the others go on",
    )  # fmt: skip
    return Stepped(after, (_entry(after, "drop_arm", report, now),))


def _shipped(state: ExperimentState, report: Report, now: datetime) -> Stepped:
    told = _told(report.reasons)
    if state.plan.auto_promote:
        why = f"{told}; submitted to the rollout, which promotes it as any challenger"
        return _ended(state, why, report, now, report.winner)
    why = f"{told}; waits for a person: homeostat experiment stop --promote"
    after = replace(
        state, stage=Stage.WAITING, winner=report.winner, reason=why, asked=state.asked or now
    )
    if (state.stage, state.winner) == (Stage.WAITING, report.winner):
        return Stepped(after)
    return Stepped(after, (_entry(after, "ship_experiment", report, now),))


def _noted(state: ExperimentState, report: Report, now: datetime) -> Stepped:
    """Keep what a look says; put on record what is new: a figure that cannot be compared."""
    held = tuple(
        f"{effect.arm}: {effect.metric.name}"
        for arm in report.arms
        for effect in arm.effects
        if effect.refused
    )
    after = replace(state, reason=_told(report.reasons), held=held)
    if set(held) - set(state.held):
        return Stepped(after, (_entry(after, "hold_experiment", report, now),))
    return Stepped(after)


def _over(stepped: Stepped, report: Report, now: datetime) -> Stepped:
    """End what has reached its size or its time without proof."""
    state = stepped.state
    plan = state.plan
    late = now - state.started >= plan.longest
    if report.entities < plan.design.size and not late:
        return stepped
    ends = "its longest time" if report.entities < plan.design.size else "its size"
    why = f"{ends} is reached without proof, the control stays: {state.reason}"
    ended = _ended(state, why, report, now)
    return replace(ended, entries=(*stepped.entries, *ended.entries))
