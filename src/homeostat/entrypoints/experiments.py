"""Experiments as commands and HTTP tell them: as values, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isnan

from homeostat.engine.experiments import experiments_of, report_of
from homeostat.engine.ports import Records
from homeostat.reports.experiment import ExperimentPage, FigureLine
from homeostat.reports.wording import when
from homeostat.rollout.experiment.decide import figure_words
from homeostat.rollout.experiment.design import Metric, Role
from homeostat.rollout.experiment.effects import Effect
from homeostat.rollout.experiment.life import ExperimentState, Stage
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.rollout.experiment.report import Decision, Report

ADVICE = {
    Decision.SHIP: "The rule that was agreed on before says: ship it.",
    Decision.STOP: "It does harm: it was taken back, or should be.",
    Decision.CONTINUE: "Wait; you may look as often as you like.",
    Decision.INCONCLUSIVE: "Keep the control.",
    Decision.NO_DATA: "See below what is missing.",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an experiment stands.

    Attributes
    ----------
    name, model : str
    arms : dict of version to share
        Of all entities.
    stage : str
        ``not started``, ``running``, ``waiting`` or ``ended``.
    decision : str
        Of the newest look; empty before the first.
    winner : str
    started, ended : datetime or None
    reason : str
    """

    name: str
    model: str
    arms: dict[str, float]
    stage: str = "not started"
    decision: str = ""
    winner: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""


def listed(records: Records, plans: Mapping[str, ExperimentPlan]) -> list[Standing]:
    """Return where each experiment stands: those of the settings, and others on record."""
    models = sorted({plan.model for plan in plans.values()})
    known = {model: experiments_of(records, model) for model in models}
    found = []
    for name, plan in plans.items():
        state = known[plan.model].named(name)
        fresh = Standing(name, plan.model, plan.shares)
        found.append(fresh if state is None else standing_of(state))
    return found + [
        standing_of(state)
        for each in known.values()
        for state in each.states
        if state.plan.name not in plans
    ]


def standing_of(state: ExperimentState) -> Standing:
    """Return where an experiment that was started stands."""
    plan = state.plan
    return Standing(
        plan.name, plan.model, plan.shares, state.stage, state.decision or "", state.winner,
        state.started, state.ended, state.reason,
    )  # fmt: skip


def described(records: Records, state: ExperimentState) -> dict[str, object]:
    """Return everything about an experiment, for machines."""
    report = report_of(records, state)
    plan = state.plan
    return asdict(standing_of(state)) | {
        "dropped": state.dropped,
        "looked": state.looked,
        "size": plan.design.size,
        "entities": report.entities,
        "sample_ratio_p": report.sample_ratio,
        "report": asdict(report),
        "plan": asdict(plan),
    }


def page_of(records: Records, state: ExperimentState, now: datetime) -> ExperimentPage:
    """Return an experiment as a page that a product owner can read."""
    report = report_of(records, state)
    plan = state.plan
    alpha = plan.design.alpha / (len(plan.design.metrics) * len(plan.design.treated))
    return ExperimentPage(
        title=f"Experiment {plan.name} on {plan.model}",
        headline=_headline(state, report),
        advice=_advice(state, report),
        facts=_facts(state, report),
        reasons=(state.reason,) if state.stage is Stage.ENDED else report.reasons,
        figures=tuple(
            _line(effect, _verdict(effect, alpha)) for arm in report.arms for effect in arm.effects
        ),
        segments=tuple(
            _line(part.effect, "worse here" if part.harmed else "no harm shown", part.segment)
            for part in report.segments
        ),
        log=tuple(
            (made.at, made.actor, made.action.replace("_", " "), made.reason)
            for made in records.decisions(plan.model, state.started)
            if made.subject == plan.name
        ),
        generated=now,
    )


def _headline(state: ExperimentState, report: Report) -> str:
    control = state.plan.design.control
    if state.stage is Stage.WAITING:
        return f"Version {state.winner} is better than {control}: it waits for you"
    if state.stage is Stage.ENDED:
        won = f"Version {state.winner} is better than {control}: it was handed to the rollout"
        return won if state.winner else f"It is over: version {control} stays"
    told = {
        Decision.CONTINUE: "Not decided yet",
        Decision.INCONCLUSIVE: "Not to be decided by these figures alone",
        Decision.NO_DATA: "Nothing can be judged yet",
        Decision.STOP: "A version does harm",
        Decision.SHIP: f"Version {report.winner} is better than {control}",
    }
    return told[report.decision]


def _advice(state: ExperimentState, report: Report) -> str:
    if state.stage is Stage.ENDED:
        return "Everybody is answered by the champion again."
    if state.stage is Stage.WAITING:
        name = state.plan.name
        return f"To roll it out: homeostat experiment stop {name} --promote"
    return ADVICE[report.decision]


def _facts(state: ExperimentState, report: Report) -> tuple[tuple[str, str], ...]:
    plan = state.plan
    dealt = ", ".join(f"{arm} {share:.0%}" for arm, share in plan.design.share_of.items())
    counted = f"{report.entities:,} of {plan.design.size:,}"
    split = "as planned" if not report.sample_ratio < plan.design.mismatch else "NOT as planned"
    return (
        ("compared", f"{dealt}, by {plan.traffic:.0%} of the traffic"),
        ("entities measured", counted),
        ("split", f"{split} (p = {report.sample_ratio:.3g})" if report.entities else "nobody yet"),
        ("started", f"{when(state.started)} by {state.actor}"),
        ("ended", when(state.ended) if state.ended else "-"),
        ("taken back", ", ".join(state.dropped) or "-"),
        ("accepted error", f"{plan.design.alpha:.3g}, {plan.design.horizon}"),
    )


def _line(effect: Effect, verdict: str, segment: str = "") -> FigureLine:
    metric = effect.metric
    limit = None
    if metric.role is Role.GUARDRAIL:
        limit = metric.margin if metric.falling else -metric.margin
    return FigureLine(
        effect.arm,
        f"{segment}: {metric.name}" if segment else metric.name,
        metric.role,
        _figure(metric, effect.control),
        _figure(metric, effect.treated),
        effect.problem or verdict,
        effect.change,
        effect.interval.lower,
        effect.interval.upper,
        limit,
    )


def _figure(metric: Metric, value: float) -> str:
    return "—" if isnan(value) else figure_words(metric, value)


def _verdict(effect: Effect, alpha: float) -> str:
    """Say what the evidence says, by the same limits as the decision."""
    found, guards = effect.evidence, effect.metric.role is Role.GUARDRAIL
    if found.worse <= alpha:
        return "worse by more than its margin" if guards else "worse"
    if guards:
        return "within its margin" if found.safe <= 1.0 - effect.level else "not proven safe yet"
    return "better" if found.better <= 1.0 - effect.level else "no difference shown"
