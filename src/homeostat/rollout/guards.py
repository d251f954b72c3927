"""What an event amounts to in a state: the conditions of every step of a rollout."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from homeostat.rollout.events import (
    Abort,
    Approved,
    Event,
    Evidence,
    EvidenceKind,
    First,
    GuardrailBreached,
    Promoted,
    Push,
    RollBack,
    Submitted,
    Verified,
)
from homeostat.rollout.state import RolloutPolicy, RolloutState, Stage


class Move(StrEnum):
    """What an event amounts to once the guards have been looked at."""

    FIRST = "first"
    SUBMIT = "submit"
    REFUSE = "refuse"
    VERIFY = "verify"
    HOLD = "hold"
    ADVANCE = "advance"
    FINISH = "finish"
    APPROVE = "approve"
    PROMOTE = "promote"
    ABORT = "abort"
    PUSH = "push"
    ROLL_BACK = "roll_back"


def classify(
    state: RolloutState, event: Event, now: datetime, policy: RolloutPolicy
) -> tuple[Move, str]:
    """Return what the event amounts to in this state, and why, in words."""
    match event:
        case Submitted():
            return _submission(state, event)
        case Evidence():
            return _evidence(state, event, now, policy)
        case GuardrailBreached():
            return _breach(state, event, now)
        case RollBack():
            return _roll_back(state, event)
        case Promoted():
            return _promotion(state, policy)
        case _:
            return _unguarded(event)


def _unguarded(event: First | Verified | Approved | Push | Abort) -> tuple[Move, str]:
    if isinstance(event, First):
        return Move.FIRST, ""
    if isinstance(event, Verified):
        return Move.VERIFY, ""
    if isinstance(event, Approved):
        return Move.APPROVE, event.reason
    if isinstance(event, Push):
        return Move.PUSH, event.reason
    return Move.ABORT, event.reason


def _submission(state: RolloutState, event: Submitted) -> tuple[Move, str]:
    if event.version in state.aborted:
        return Move.REFUSE, f"{event.version} was aborted before; train a new version instead"
    if event.version == state.champion:
        return Move.REFUSE, f"{event.version} is the champion already"
    return Move.SUBMIT, event.reason


def _promotion(state: RolloutState, policy: RolloutPolicy) -> tuple[Move, str]:
    if policy.approval and not state.approved_by:
        return Move.HOLD, "a person has to approve the promotion first"
    return Move.PROMOTE, f"{state.challenger} passed shadow and canary"


def _breach(state: RolloutState, event: GuardrailBreached, now: datetime) -> tuple[Move, str]:
    blamed = event.version or state.challenger or state.champion
    if state.challenger and blamed == state.challenger:
        return Move.ABORT, event.reason
    if blamed == state.champion and state.on_probation(now) and state.previous:
        return Move.ROLL_BACK, event.reason
    why = "is not under rollout" if blamed != state.champion else "is not on probation"
    hold = Move.HOLD if state.challenger else Move.REFUSE
    return hold, f"a guardrail was breached, but {blamed} {why}"


def _roll_back(state: RolloutState, event: RollBack) -> tuple[Move, str]:
    if state.challenger:
        return Move.ABORT, event.reason
    if not state.previous:
        return Move.REFUSE, "there is no earlier version to go back to"
    return Move.ROLL_BACK, event.reason


def _evidence(
    state: RolloutState, event: Evidence, now: datetime, policy: RolloutPolicy
) -> tuple[Move, str]:
    if event.kind is EvidenceKind.WORSE:
        return Move.ABORT, f"worse than {state.champion} on {event.n} paired rows"
    if event.futile and state.challenger:
        return Move.ABORT, f"inconclusive: {event.futile}"
    if not state.challenger or now - (state.submitted_at or now) <= policy.patience:
        lacking = _lacking(state, event, now, policy)
        if lacking:
            return Move.HOLD, lacking
        last = state.stage is Stage.CANARY and state.step + 1 >= len(policy.ramp)
        move = Move.FINISH if last or not policy.ramp else Move.ADVANCE
        return move, f"{event.kind.replace('_', ' ')} on {event.n} rows, e-value {event.e:.4g}"
    days = policy.patience.total_seconds() / 86400
    told = f"; {event.held}" if event.held else ""
    return Move.ABORT, f"no proof within {days:g} days{told}; unproven versions are not promoted"


def _lacking(state: RolloutState, event: Evidence, now: datetime, policy: RolloutPolicy) -> str:
    """Say what is missing for the next step; empty if nothing is."""
    shadow = state.stage is Stage.SHADOW
    least_rows = policy.shadow_min_rows if shadow else policy.step_min_rows
    least_time = policy.shadow_min if shadow else policy.step_min
    promoting, weak = state.stage is Stage.PROMOTING, not event.proves(policy.alpha)
    gone = "the proof it came with no longer stands; waits for a new one"
    answers = (
        (bool(event.held), event.held),
        (state.stage is Stage.CANDIDATE, "the artifact has not been verified yet"),
        (promoting and weak, gone),
        (promoting, "waits for its promotion"),
        (event.kind is EvidenceKind.NO_DATA, "no data yet"),
        (weak, "the evidence is inconclusive so far"),
        (event.n < least_rows, "too few rows in this step so far"),
        (now - (state.since or now) < least_time, "this step has not lasted long enough"),
    )
    return next((text for lacking, text in answers if lacking), "")
