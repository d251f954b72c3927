"""Steps a model's rollout with the evidence of this tick."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from homeostat.domain.decision import Decision
from homeostat.domain.errors import (
    ArtifactError,
    BreakerOpenError,
    HomeostatError,
    IllegalTransitionError,
    NotFoundError,
    OverloadError,
    StorageError,
)
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request
from homeostat.engine.outcomes import paired_evidence
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Registry, Scorer
from homeostat.engine.watch import Pairing, Watch
from homeostat.rollout.events import (
    Abort,
    Approved,
    Event,
    Evidence,
    EvidenceKind,
    Promoted,
    Push,
    RollBack,
    Submitted,
    Verified,
)
from homeostat.rollout.futility import chance_of_proof
from homeostat.rollout.machine import step
from homeostat.rollout.state import RolloutState, Stage, ready_to_promote
from homeostat.stats.evidence import mixture

PROBE_ROWS = 200
AWAY = (StorageError, OverloadError, BreakerOpenError)


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rollout after some events, the decisions they led to, and why it may not move on now."""

    state: RolloutState
    decisions: tuple[Decision, ...] = ()
    held: str = ""


def roll(plan: ModelPlan, rolled: Rolled, event: Event, now: datetime) -> Rolled:
    """Step once; an event that the table does not allow becomes a recorded refusal."""
    try:
        state, made = step(rolled.state, event, now, plan.rollout)
    except IllegalTransitionError as error:
        actor = getattr(event, "actor", "homeostat")
        subject = getattr(event, "version", "") or rolled.state.challenger
        made = (Decision(plan.spec.name, now, actor, "refuse", subject, str(error)),)
        return replace(rolled, decisions=(*rolled.decisions, *made))
    return replace(rolled, state=state, decisions=(*rolled.decisions, *made))


def obey(
    plan: ModelPlan,
    rolled: Rolled,
    commands: tuple[Command, ...],
    registry: Registry,
    now: datetime,
) -> Rolled:
    """Carry out what people asked for by hand."""
    for command in commands:
        event = _event(command)
        if event is None:
            continue
        problem = _unservable(plan, command, rolled.state, registry)
        if problem:
            refusal = Decision(
                plan.spec.name, now, command.actor, "refuse", command.subject, problem
            )
            rolled = Rolled(rolled.state, (*rolled.decisions, refusal))
        else:
            rolled = roll(plan, rolled, event, now)
    return rolled


def _event(command: Command) -> Event | None:
    match command.request:
        case Request.PUSH:
            return Push(command.subject, command.actor, command.reason)
        case Request.SUBMIT:
            return Submitted(command.subject, command.reason, command.actor)
        case Request.ROLL_BACK:
            return RollBack(command.reason or "asked for by hand", command.actor)
        case Request.ABORT:
            return Abort(command.reason or "asked for by hand", command.actor)
        case Request.APPROVE:
            return Approved(command.actor, command.reason)
        case _:
            return None


def _unservable(plan: ModelPlan, command: Command, state: RolloutState, registry: Registry) -> str:
    """Say why the version that a person asks for cannot serve; empty if it can.

    A roll-back is not refused because the registry is away: gateways keep the version warm.
    """
    back = command.request is Request.ROLL_BACK and not state.challenger
    if command.request not in {Request.PUSH, Request.SUBMIT} and not (back and state.previous):
        return ""
    try:
        registry.path(plan.spec.name, state.previous if back else command.subject)
    except (ArtifactError, NotFoundError) as error:
        advice = f"{state.previous} cannot serve: {error}; push a version that can"
        return advice if back else str(error)
    except HomeostatError as error:
        return "" if back else str(error)
    return ""


@dataclass(frozen=True, slots=True)
class Means:
    """The ports by which a candidate is tried."""

    log: PredictionLog
    scorer: Scorer
    registry: Registry


def advance(
    plan: ModelPlan,
    rolled: Rolled,
    watch: Watch,
    means: Means,
    now: datetime,
    held: str = "",
) -> Rolled:
    """Move the rollout on as far as its evidence carries.

    Parameters
    ----------
    plan : ModelPlan
    rolled : Rolled
    watch : Watch
    means : Means
    now : datetime
    held : str
        Why it may not move on, whatever the evidence; empty if nothing is in its way, or what
        `rolled` says.
    """
    state, held = rolled.state, held or rolled.held
    if state.stage is Stage.CANDIDATE:
        return roll(plan, rolled, _trial(plan, state, means, now) or Verified(), now)
    if state.stage not in {Stage.SHADOW, Stage.CANARY, Stage.PROMOTING}:
        return rolled
    if ready_to_promote(state, plan.rollout):
        return _promote(plan, rolled, watch, means, now, held)
    found = replace(evidence(plan, watch, state.stage), held=held)
    found = replace(found, futile=_futile(plan, state, watch.challenger, found, now))
    rolled = roll(plan, rolled, found, now)
    if ready_to_promote(rolled.state, plan.rollout):
        return _promote(plan, rolled, watch, means, now, held)
    return rolled


def _promote(
    plan: ModelPlan, rolled: Rolled, watch: Watch, means: Means, now: datetime, held: str
) -> Rolled:
    """Promote, if the challenger can serve and the proof that it came with stands still.

    Between proof and promotion lie a person's approval and whatever held it: a data fault found
    meanwhile drops the evidence.
    """
    found = replace(evidence(plan, watch, rolled.state.stage), held=held)
    if held or not found.proves(plan.rollout.alpha):
        return roll(plan, rolled, found, now)
    return roll(plan, rolled, _trial(plan, rolled.state, means, now) or Promoted(), now)


def _trial(
    plan: ModelPlan, state: RolloutState, means: Means, now: datetime
) -> Abort | Evidence | None:
    """Load the challenger and let it score recent rows; return what stands in its way.

    A store or registry that is away says nothing about the version: that waits.
    """
    spec, version = plan.spec, state.challenger
    try:
        means.registry.path(spec.name, version)
        recent = means.log.rows(spec, Window(now - plan.drift.every, now)).slice(0, PROBE_ROWS)
        scores = means.scorer.score(spec, version, recent)
    except AWAY as error:
        return Evidence(EvidenceKind.NO_DATA, held=f"cannot be tried now: {error}")
    except (ArtifactError, NotFoundError) as error:
        return Abort(f"cannot be loaded: {error}")
    except HomeostatError as error:
        return Abort(f"cannot score recent rows: {error}")
    if not bool(np.isfinite(scores).all()):
        return Abort("gives scores that are no numbers on recent rows")
    return None


def _futile(
    plan: ModelPlan, state: RolloutState, pairing: Pairing, found: Evidence, now: datetime
) -> str:
    """Say why no proof can be expected within the rollout's patience; empty if it can."""
    policy, bets = plan.rollout, pairing.bets
    if found.kind is not EvidenceKind.INCONCLUSIVE or not policy.futility:
        return ""
    left = (state.submitted_at or now) + policy.patience - now
    remaining = max(0, left // timedelta(days=1))
    rows = (bets.better, bets.not_worse)
    days, shifts = (bets.days[0], bets.days[2]), (0.0, pairing.margin)
    chances = [
        chance_of_proof(
            one,
            found.difference + shift,
            remaining,
            2.0 / policy.alpha - mixture(logs),
            pairing.sure,
        )
        for one, logs, shift in zip(days, rows, shifts, strict=True)
    ]
    if max(chances) >= policy.futility:
        return ""
    return (
        f"after {days[0].blocks} days and {bets.n} paired rows (difference "
        f"{found.difference:.4g}) the chance of a proof within the {remaining} days left is at "
        f"most {max(chances):.2g}"
    )


def evidence(plan: ModelPlan, watch: Watch, stage: Stage = Stage.SHADOW) -> Evidence:
    """Say what the paired bets on challenger and champion amount to.

    A canary step rests on the paired rows that matured in it and on the callers served in it,
    whichever are fewer.

    Better and worse are claimed at ``1 / alpha``, where an e-value may be read at any time.
    """
    pairing = watch.challenger
    found = paired_evidence(pairing)
    enough = 1 / plan.rollout.alpha
    n = min(pairing.answered, pairing.served) if stage is Stage.CANARY else pairing.answered
    if found.n == 0:
        return Evidence(EvidenceKind.NO_DATA)
    if found.worse_e >= enough:
        return Evidence(EvidenceKind.WORSE, n, found.worse_e, found.difference)
    if found.better_e >= enough:
        return Evidence(EvidenceKind.BETTER, n, found.better_e, found.difference)
    if found.not_worse_e >= enough:
        return Evidence(EvidenceKind.NOT_WORSE, n, found.not_worse_e, found.difference)
    return Evidence(EvidenceKind.INCONCLUSIVE, n, found.better_e, found.difference)
