"""Steps a model's rollout with the evidence of this tick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from homeostat.domain.decision import Cause, Decision, Diagnosis
from homeostat.domain.errors import (
    ArtifactError,
    HomeostatError,
    IllegalTransitionError,
    StorageError,
)
from homeostat.domain.verdict import DEGRADED, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request
from homeostat.engine.outcomes import paired_evidence
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Registry, Scorer
from homeostat.engine.watch import Watch
from homeostat.rollout.events import (
    Abort,
    Approved,
    Event,
    Evidence,
    EvidenceKind,
    GuardrailBreached,
    Promoted,
    Push,
    RollBack,
    Submitted,
    Verified,
)
from homeostat.rollout.machine import step
from homeostat.rollout.state import RolloutState, Stage, ready_to_promote

PROBE_ROWS = 200


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rollout after some events, and the decisions they led to."""

    state: RolloutState
    decisions: tuple[Decision, ...] = ()


def roll(plan: ModelPlan, rolled: Rolled, event: Event, now: datetime) -> Rolled:
    """Step once; an event that the table does not allow becomes a recorded refusal."""
    try:
        state, made = step(rolled.state, event, now, plan.rollout)
    except IllegalTransitionError as error:
        actor = getattr(event, "actor", "homeostat")
        subject = getattr(event, "version", "") or rolled.state.challenger
        made = (Decision(plan.spec.name, now, actor, "refuse", subject, str(error)),)
        return Rolled(rolled.state, (*rolled.decisions, *made))
    return Rolled(state, (*rolled.decisions, *made))


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
        problem = _unknown_version(plan, command, registry)
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


def _unknown_version(plan: ModelPlan, command: Command, registry: Registry) -> str:
    if command.request not in {Request.PUSH, Request.SUBMIT}:
        return ""
    try:
        registry.path(plan.spec.name, command.subject)
    except HomeostatError as error:
        return str(error)
    return ""


def guard(
    plan: ModelPlan, rolled: Rolled, watch: Watch, diagnosis: Diagnosis | None, now: datetime
) -> Rolled:
    """Take back what does harm: a bad version on probation, a canary while the service fails."""
    state = rolled.state
    bad = diagnosis is not None and diagnosis.cause is Cause.BAD_VERSION
    if bad and diagnosis is not None and state.on_probation(now) and state.previous:
        reason = diagnosis.text.rstrip(".")
        return roll(plan, rolled, GuardrailBreached(reason, state.champion), now)
    # Answers degrade for bad rows too, which are no version's fault.
    service = (v for v in watch.verdicts(Monitor.SERVICE) if v.subject != DEGRADED)
    failing = _failing(service)
    if failing and state.stage is Stage.CANARY:
        return roll(plan, rolled, GuardrailBreached(failing, state.challenger), now)
    return rolled


def _failing(verdicts: Iterable[Verdict]) -> str:
    return "; ".join(v.reason for v in verdicts if v.status is Status.DRIFT)


def advance(
    plan: ModelPlan,
    rolled: Rolled,
    watch: Watch,
    log: PredictionLog,
    scorer: Scorer,
    now: datetime,
) -> Rolled:
    """Move the rollout on as far as its evidence carries."""
    state = rolled.state
    if state.stage is Stage.CANDIDATE:
        return roll(plan, rolled, _verification(plan, state, log, scorer, now), now)
    if state.stage in {Stage.SHADOW, Stage.CANARY, Stage.PROMOTING}:
        rolled = roll(plan, rolled, evidence(plan, watch, state.stage), now)
    if ready_to_promote(rolled.state, plan.rollout):
        rolled = roll(plan, rolled, Promoted(), now)
    return rolled


def _verification(
    plan: ModelPlan, state: RolloutState, log: PredictionLog, scorer: Scorer, now: datetime
) -> Event:
    """Load the candidate and let it score recent rows before any traffic is copied to it."""
    recent = log.rows(plan.spec, Window(now - plan.drift.every, now)).slice(0, PROBE_ROWS)
    try:
        scores = scorer.score(plan.spec, state.challenger, recent)
    except StorageError:
        return Evidence(EvidenceKind.NO_DATA)  # the registry is away: no fault of the candidate
    except ArtifactError as error:
        return Abort(f"cannot be loaded: {error}")
    except HomeostatError as error:
        return Abort(f"cannot score recent rows: {error}")
    if not bool(np.isfinite(scores).all()):
        return Abort("gives scores that are no numbers on recent rows")
    return Verified()


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
