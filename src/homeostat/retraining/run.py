"""The retraining run: requested, guarded, training, evaluating, accepted or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.domain.decision import Decision
from homeostat.domain.effect import CancelTraining, Effect
from homeostat.domain.errors import IllegalTransitionError
from homeostat.domain.window import Window
from homeostat.retraining.gate import GateResult
from homeostat.retraining.planning import Plan
from homeostat.retraining.policy import (
    GuardResult,
    Outcome,
    RetrainingPolicy,
    Trigger,
    TriggerKind,
)

AUTOMATIC = "homeostat"


class Stage(StrEnum):
    """Where a run stands; ``GUARDED`` waits, the last five are ends."""

    IDLE = "idle"
    REQUESTED = "requested"
    GUARDED = "guarded"
    TRAINING = "training"
    EVALUATING = "evaluating"
    REFITTING = "refitting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Move(StrEnum):
    """What an event amounts to."""

    REQUEST = "request"
    WAIT = "wait"
    REFUSE = "refuse"
    TRAIN = "train"
    TRAINED = "trained"
    FAIL = "fail"
    REFIT = "refit"
    ACCEPT = "accept"
    REJECT = "reject"
    SETTLE = "settle"
    CANCEL = "cancel"


TRANSITIONS: Mapping[tuple[Stage, Move], Stage] = {
    (Stage.IDLE, Move.REQUEST): Stage.REQUESTED,
    (Stage.ACCEPTED, Move.REQUEST): Stage.REQUESTED,
    (Stage.REJECTED, Move.REQUEST): Stage.REQUESTED,
    (Stage.REFUSED, Move.REQUEST): Stage.REQUESTED,
    (Stage.FAILED, Move.REQUEST): Stage.REQUESTED,
    (Stage.CANCELLED, Move.REQUEST): Stage.REQUESTED,
    (Stage.REQUESTED, Move.WAIT): Stage.GUARDED,
    (Stage.REQUESTED, Move.REFUSE): Stage.REFUSED,
    (Stage.REQUESTED, Move.TRAIN): Stage.TRAINING,
    (Stage.REQUESTED, Move.CANCEL): Stage.CANCELLED,
    (Stage.GUARDED, Move.REQUEST): Stage.REQUESTED,
    (Stage.GUARDED, Move.WAIT): Stage.GUARDED,
    (Stage.GUARDED, Move.REFUSE): Stage.REFUSED,
    (Stage.GUARDED, Move.TRAIN): Stage.TRAINING,
    (Stage.GUARDED, Move.CANCEL): Stage.CANCELLED,
    (Stage.TRAINING, Move.TRAINED): Stage.EVALUATING,
    (Stage.TRAINING, Move.FAIL): Stage.FAILED,
    (Stage.TRAINING, Move.CANCEL): Stage.CANCELLED,
    (Stage.EVALUATING, Move.ACCEPT): Stage.ACCEPTED,
    (Stage.EVALUATING, Move.REJECT): Stage.REJECTED,
    (Stage.EVALUATING, Move.FAIL): Stage.FAILED,
    (Stage.EVALUATING, Move.CANCEL): Stage.CANCELLED,
    (Stage.EVALUATING, Move.REFIT): Stage.REFITTING,
    (Stage.REFITTING, Move.SETTLE): Stage.ACCEPTED,
    (Stage.REFITTING, Move.CANCEL): Stage.CANCELLED,
}

RESTING = frozenset(
    {
        Stage.IDLE,
        Stage.ACCEPTED,
        Stage.REJECTED,
        Stage.REFUSED,
        Stage.FAILED,
        Stage.CANCELLED,
    }
)
TRAINS = frozenset({Stage.TRAINING, Stage.REFITTING})
KEPT_STARTS = 100
REPEAT_GAP = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Requested:
    """A trigger asks for a run; ``onset`` is when the change began, if that is known."""

    trigger: Trigger
    onset: datetime | None = None
    actor: str = AUTOMATIC


@dataclass(frozen=True, slots=True)
class Guarded:
    """The guards have answered; ``plan`` is needed when they say ok."""

    result: GuardResult
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class TrainingDone:
    """The trainer's artifact is registered as this version."""

    version: str


@dataclass(frozen=True, slots=True)
class TrainingFailed:
    """The trainer crashed or timed out, or its artifact cannot be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The evaluation gate has answered; ``refit``: what passed is trained once more, as planned."""

    result: GateResult
    refit: bool = False


@dataclass(frozen=True, slots=True)
class Refitted:
    """The refit serves from here on or, with an empty version, the candidate that was judged."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the run: by hand, because its trigger is gone, or because a fault covers its data."""

    reason: str
    actor: str = AUTOMATIC


Event = Requested | Guarded | TrainingDone | TrainingFailed | Evaluated | Refitted | Cancel


@dataclass(frozen=True, slots=True)
class RunState:
    """The newest retraining run of a model, as stored.

    Attributes
    ----------
    model : str
    number : int
        Counts runs from 1; a refused or cancelled run that never trained keeps its number for the
        next request.
    stage : Stage
    trigger : Trigger or None
    onset : datetime or None
        When the change began: only labels since then show the new world.
    requested_at, asked_at, started_at, ended_at : datetime or None
        ``asked_at`` is the newest repetition of the request: one that was refused and goes on
        within `REPEAT_GAP` is not recorded again.
    plan : Plan or None
        What it trains on, set when training starts.
    starts : tuple of datetime
        Starts of this model's trainings, for cooldown and budget; the newest `KEPT_STARTS`.
    candidate : str
        The version that came out of it.
    reason : str
        Why it stands where it stands.
    progress : float or None
        Part of the training that is done, where the trainer says so.
    said : str
        The last refusal or wait on record, so that it is recorded once.
    put_off : str
        The same of a trigger that no run was requested for yet.
    """

    model: str
    number: int = 0
    stage: Stage = Stage.IDLE
    trigger: Trigger | None = None
    onset: datetime | None = None
    requested_at: datetime | None = None
    asked_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    plan: Plan | None = None
    starts: tuple[datetime, ...] = ()
    candidate: str = ""
    reason: str = ""
    progress: float | None = None
    said: str = ""
    put_off: str = ""

    @property
    def run_id(self) -> str:
        """Identity of the run, also at the trainer and in the registry."""
        return f"{self.model}-{self.number:04d}"

    @property
    def training_id(self) -> str:
        """Identity, at the trainer, of the training that goes on."""
        return f"{self.run_id}-refit" if self.stage is Stage.REFITTING else self.run_id

    @property
    def resting(self) -> bool:
        """Whether a new run may be requested."""
        return self.stage in RESTING


Stepped = tuple[RunState, tuple[Effect, ...], tuple[Decision, ...]]


OUTCOME: Mapping[Outcome, Move] = {
    Outcome.OK: Move.TRAIN,
    Outcome.WAIT: Move.WAIT,
    Outcome.REFUSE: Move.REFUSE,
}
PLAIN: Mapping[type[Event], Move] = {
    Requested: Move.REQUEST,
    TrainingDone: Move.TRAINED,
    TrainingFailed: Move.FAIL,
    Refitted: Move.SETTLE,
    Cancel: Move.CANCEL,
}


def step(state: RunState, event: Event, now: datetime) -> Stepped:
    """Advance a model's retraining by one event.

    Returns
    -------
    state : RunState
    effects : tuple of Effect
        `StartTraining` when the guards let it train, `CancelTraining` when a training ends early.
    decisions : tuple of Decision
        A wait or refusal is recorded once, until the objections change.

    Raises
    ------
    IllegalTransitionError
        If `TRANSITIONS` has no entry for the stage and what the event amounts to.
    ValueError
        If the guards say ok and no plan is given.
    """
    move = classify(event)
    target = TRANSITIONS.get((state.stage, move))
    if target is None:
        raise IllegalTransitionError("retraining", state.stage, move)
    match event:
        case Requested():
            return _request(state, event, now)
        case Guarded():
            return _guarded(state, target, event, now)
        case TrainingDone(version):
            after = replace(state, stage=target, candidate=version, reason="trained", progress=None)
            return after, (), (_said(after, now, "train", version, "training finished"),)
        case Evaluated():
            return _judged(state, target, event, now)
        case Refitted():
            return _refitted(state, target, event, now)
        case _:
            return _ended(state, target, event, now)


def classify(event: Event) -> Move:
    """Return what the event amounts to."""
    match event:
        case Guarded(result):
            return OUTCOME[result.outcome]
        case Evaluated(result, refit):
            passed = Move.REFIT if refit else Move.ACCEPT
            return passed if result.accepted else Move.REJECT
        case _:
            return PLAIN[type(event)]


def overdue(state: RunState, policy: RetrainingPolicy, now: datetime) -> bool:
    """Whether the training has taken longer than the policy allows."""
    if state.stage not in TRAINS or state.started_at is None:
        return False
    return now - state.started_at > policy.timeout


def tainted(state: RunState, faults: Sequence[Window]) -> Window | None:
    """Return a fault that touches the run's data and was not known when it started, if any."""
    if state.plan is None or state.stage not in {*TRAINS, Stage.EVALUATING}:
        return None
    return state.plan.tainted(faults, refit=state.stage is Stage.REFITTING)


def _said(
    state: RunState, now: datetime, action: str, subject: str, reason: str, actor: str = AUTOMATIC
) -> Decision:
    return Decision(state.model, now, actor, action, subject, reason)


def _request(state: RunState, event: Requested, now: datetime) -> Stepped:
    trained = state.started_at is not None
    goes_on = state.asked_at is not None and now - state.asked_at <= REPEAT_GAP
    by_hand = event.trigger.kind is TriggerKind.MANUAL
    if state.said and goes_on and not by_hand and state.stage is not Stage.GUARDED:
        return replace(state, stage=Stage.REQUESTED, asked_at=now), (), ()
    after = RunState(
        model=state.model,
        number=state.number + 1 if trained or not state.number else state.number,
        stage=Stage.REQUESTED,
        trigger=event.trigger,
        onset=event.onset,
        requested_at=now,
        asked_at=now,
        starts=state.starts,
        reason=event.trigger.reason,
    )
    text = event.trigger.reason
    decision = _said(after, now, "request_retraining", after.run_id, text, event.actor)
    return after, (), (decision,)


def _guarded(state: RunState, target: Stage, event: Guarded, now: datetime) -> Stepped:
    if event.result.outcome is Outcome.OK:
        return _train(state, event.plan, now)
    return _held(state, target, event.result, now)


def _train(state: RunState, plan: Plan | None, now: datetime) -> Stepped:
    if plan is None:
        raise ValueError(f"run {state.run_id}: the guards said ok, so a plan is needed")
    after = replace(
        state,
        stage=Stage.TRAINING,
        plan=plan,
        started_at=now,
        starts=(*state.starts, now)[-KEPT_STARTS:],
        reason="training",
        said="",
    )
    effect = plan.request(state.run_id, state.model)
    why = state.trigger.reason if state.trigger else "requested"
    text = f"{why}; trains on {plan.training}, hold-out {plan.holdout}"
    return after, (effect,), (_said(after, now, "start_training", state.run_id, text),)


def _held(state: RunState, target: Stage, result: GuardResult, now: datetime) -> Stepped:
    """Wait or refuse; the same objections are recorded once, though their figures move."""
    said = f"{result.outcome}:{','.join(sorted({guard for guard, _ in result.objections}))}"
    ended = now if target is Stage.REFUSED else None
    after = replace(state, stage=target, reason=result.reason, said=said, ended_at=ended)
    if said == state.said:
        return after, (), ()
    verb = "refuse_retraining" if target is Stage.REFUSED else "wait_retraining"
    return after, (), (_said(after, now, verb, state.run_id, result.reason),)


def _judged(state: RunState, target: Stage, event: Evaluated, now: datetime) -> Stepped:
    result, effects = event.result, tuple[Effect, ...]()
    after = replace(state, stage=target, reason=result.reason, ended_at=now)
    if target is Stage.REFITTING:
        assert state.plan is not None  # it was trained by one
        after = replace(after, started_at=now, ended_at=None)
        effects = (state.plan.request_refit(after.training_id, state.model, state.candidate),)
    verb = "accept_candidate" if result.accepted else "reject_candidate"
    told = _said(after, now, verb, state.candidate, result.reason)
    return after, effects, (replace(told, evidence=result.evidence),)


def _refitted(state: RunState, target: Stage, event: Refitted, now: datetime) -> Stepped:
    kept = not event.version
    after = replace(state, stage=target, candidate=event.version or state.candidate, ended_at=now)
    stop = (CancelTraining(state.training_id, state.model),) if kept else ()
    verb = "keep_judged" if kept else "refit"
    return after, stop, (_said(after, now, verb, after.candidate, event.reason),)


def _ended(
    state: RunState, target: Stage, event: TrainingFailed | Cancel, now: datetime
) -> Stepped:
    after = replace(state, stage=target, reason=event.reason, ended_at=now, progress=None, said="")
    trains = state.stage in TRAINS
    stop = (CancelTraining(state.training_id, state.model),) if trains else ()
    verb = "fail_retraining" if target is Stage.FAILED else "cancel_retraining"
    actor = event.actor if isinstance(event, Cancel) else AUTOMATIC
    return after, stop, (_said(after, now, verb, state.run_id, event.reason, actor),)
