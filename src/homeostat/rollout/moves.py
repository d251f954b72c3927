"""What each move makes of the state, and what is put on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.rollout.events import (
    AUTOMATIC,
    Abort,
    Approved,
    Event,
    Evidence,
    EvidenceKind,
    First,
    GuardrailBreached,
    Push,
    RollBack,
    Submitted,
)
from homeostat.rollout.guards import Move
from homeostat.rollout.state import RolloutPolicy, RolloutState, Stage

LINEAGE = 10
Built = tuple[RolloutState, tuple[Decision, ...]]
Builder = Callable[[RolloutState, Event, str, datetime, RolloutPolicy], Built]


def _decision(
    state: RolloutState, event: Event, now: datetime, action: str, subject: str, reason: str
) -> tuple[Decision, ...]:
    evidence: tuple[tuple[str, float], ...] = ()
    if isinstance(event, Evidence):
        evidence = (
            ("e_value", event.e),
            ("rows", float(event.n)),
            ("difference", event.difference),
        )
    elif isinstance(event, GuardrailBreached):
        evidence = event.evidence
    return (Decision(state.model, now, _actor(event), action, subject, reason, evidence),)


def _actor(event: Event) -> str:
    match event:
        case First() | Submitted() | Approved() | Push() | RollBack() | Abort():
            return event.actor
        case _:
            return AUTOMATIC


def _not_now(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    """Record a refusal or a wait, once for each time the answer changes."""
    del policy
    asked = event.version if isinstance(event, Submitted | GuardrailBreached) else ""
    subject = asked or state.challenger or state.champion
    action = "hold" if state.challenger else "refuse"
    said = f"{action} {subject}: {reason}"
    if said == state.said and _actor(event) == AUTOMATIC:
        return state, ()
    return replace(state, said=said), _decision(state, event, now, action, subject, reason)


def _first(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    del policy
    assert isinstance(event, First)
    after = replace(state, champion=event.version, since=now, said="", reason=reason)
    return after, _decision(
        state, event, now, "install", event.version, f"first version of {state.model}"
    )


def _submit(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    del policy
    assert isinstance(event, Submitted)
    after = replace(
        state, challenger=event.version, since=now, submitted_at=now, said="", reason=reason
    )
    return after, _decision(state, event, now, "submit", event.version, reason or "new candidate")


def _verify(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    del policy
    reason = reason or "artifact verified; scores copies of live requests"
    after = replace(state, since=now, said="", reason=reason)
    return after, _decision(state, event, now, "shadow", state.challenger, reason)


def _advance(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    number = state.step + 1 if state.stage is Stage.CANARY else 0
    weight = policy.ramp[number]
    after = replace(state, step=number, weight=weight, since=now, said="", reason=reason)
    text = f"{reason}; answers {weight:.0%} of entities"
    return after, _decision(state, event, now, "ramp", state.challenger, text)


def _finish(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    after = replace(state, since=now, said="", reason=reason)
    wait = "; waits for a person's approval" if policy.approval else ""
    return after, _decision(state, event, now, "ready_to_promote", state.challenger, reason + wait)


def _approve(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    del policy
    assert isinstance(event, Approved)
    if state.approved_by:
        return state, ()
    after = replace(state, approved_by=event.actor, said="")
    return after, _decision(
        state, event, now, "approve", state.challenger, reason or "promotion approved"
    )


def _crown(state: RolloutState, version: str, now: datetime, policy: RolloutPolicy) -> RolloutState:
    """Make `version` the champion and keep the one before for a way back."""
    if version == state.champion:
        return _at_rest(state, now)
    earlier = (v for v in (*state.lineage, state.champion) if v not in {"", version})
    lineage = tuple(dict.fromkeys(earlier))[-LINEAGE:]
    return replace(
        _at_rest(state, now),
        champion=version,
        lineage=lineage,
        aborted=_trusted(state, version),
        promoted_at=now,
        probation_until=now + policy.probation if lineage else None,
    )


def _at_rest(state: RolloutState, now: datetime) -> RolloutState:
    return replace(
        state,
        challenger="",
        step=0,
        weight=0.0,
        since=now,
        submitted_at=None,
        approved_by="",
        said="",
    )


def _promote(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    after = replace(_crown(state, state.challenger, now, policy), reason=reason)
    return after, _decision(
        state, event, now, "promote", state.challenger, f"{reason}; {state.champion} is kept warm"
    )


def _push(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    assert isinstance(event, Push)
    reason = reason or "pushed by hand"
    after = replace(_crown(state, event.version, now, policy), reason=reason)
    return after, _superseded(state, event, event.version, now) + _decision(
        state, event, now, "push", event.version, reason
    )


def _superseded(
    state: RolloutState, event: Event, version: str, now: datetime
) -> tuple[Decision, ...]:
    if state.challenger in {"", version}:
        return ()
    return _decision(
        state, event, now, "supersede", state.challenger, f"{version} became champion meanwhile"
    )


def _abort(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    del policy
    # What proved nothing as a challenger served well enough before: one can go back to it.
    unproven = isinstance(event, Evidence) and event.kind is not EvidenceKind.WORSE
    gone = "" if unproven else state.challenger
    after = replace(
        _at_rest(state, now),
        lineage=tuple(v for v in state.lineage if v != gone),
        aborted=_latched(state, state.challenger),
        reason=reason,
    )
    text = f"{reason}; {state.champion} keeps serving"
    return after, _decision(state, event, now, "abort", state.challenger, text)


def _latched(state: RolloutState, version: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*state.aborted, version)))


def _trusted(state: RolloutState, version: str) -> tuple[str, ...]:
    """Return what stays latched once a version serves: no champion is."""
    return tuple(v for v in state.aborted if v != version)


def _rolled_back(
    state: RolloutState, event: Event, reason: str, now: datetime, policy: RolloutPolicy
) -> Built:
    del policy
    after = replace(
        _at_rest(state, now),
        champion=state.previous,
        lineage=state.lineage[:-1],
        aborted=_trusted(replace(state, aborted=_latched(state, state.champion)), state.previous),
        promoted_at=None,
        probation_until=None,
        reason=reason,
    )
    text = f"{reason}; {state.previous} serves again"
    return after, _superseded(state, event, state.previous, now) + _decision(
        state, event, now, "roll_back", state.champion, text
    )


BUILD: Mapping[Move, Builder] = {
    Move.FIRST: _first,
    Move.SUBMIT: _submit,
    Move.REFUSE: _not_now,
    Move.VERIFY: _verify,
    Move.HOLD: _not_now,
    Move.ADVANCE: _advance,
    Move.FINISH: _finish,
    Move.APPROVE: _approve,
    Move.PROMOTE: _promote,
    Move.ABORT: _abort,
    Move.PUSH: _push,
    Move.ROLL_BACK: _rolled_back,
}
