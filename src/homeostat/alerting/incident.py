"""The incident state machine: inactive, pending, firing, acknowledged, resolved.

One incident per model and rule. It is triggered once per episode, resolved exactly once and only if
it was triggered. Missing data neither fires nor resolves: silence is not recovery. A short gap is
bridged; one as long as a hold or keep-firing duration ends the spell that was being timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.notices import in_words, notices
from homeostat.alerting.routes import receivers_at
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Effect, NotifyAction
from homeostat.domain.errors import IllegalTransitionError

AUTOMATIC = "homeostat"
MOST_DOUBLINGS = 5
FLAP_SPAN = 4
LONGEST_FADING = timedelta(hours=1)


class Move(StrEnum):
    """What an event amounts to once the durations have been looked at."""

    ACTIVE = "active"
    FIRE = "fire"
    CLEAR = "clear"
    RECOVER = "recover"
    UNKNOWN = "unknown"
    LAPSE = "lapse"
    ACKNOWLEDGE = "acknowledge"
    CLOSE = "close"


TRANSITIONS: Mapping[tuple[Stage, Move], Stage] = {
    (Stage.INACTIVE, Move.ACTIVE): Stage.PENDING,
    (Stage.INACTIVE, Move.FIRE): Stage.FIRING,
    (Stage.INACTIVE, Move.CLEAR): Stage.INACTIVE,
    (Stage.INACTIVE, Move.UNKNOWN): Stage.INACTIVE,
    (Stage.PENDING, Move.ACTIVE): Stage.PENDING,
    (Stage.PENDING, Move.FIRE): Stage.FIRING,
    (Stage.PENDING, Move.CLEAR): Stage.INACTIVE,
    (Stage.PENDING, Move.UNKNOWN): Stage.PENDING,
    (Stage.PENDING, Move.LAPSE): Stage.INACTIVE,
    (Stage.FIRING, Move.ACTIVE): Stage.FIRING,
    (Stage.FIRING, Move.CLEAR): Stage.FIRING,
    (Stage.FIRING, Move.RECOVER): Stage.RESOLVED,
    (Stage.FIRING, Move.UNKNOWN): Stage.FIRING,
    (Stage.FIRING, Move.ACKNOWLEDGE): Stage.ACKNOWLEDGED,
    (Stage.FIRING, Move.CLOSE): Stage.RESOLVED,
    (Stage.ACKNOWLEDGED, Move.ACTIVE): Stage.ACKNOWLEDGED,
    (Stage.ACKNOWLEDGED, Move.CLEAR): Stage.ACKNOWLEDGED,
    (Stage.ACKNOWLEDGED, Move.RECOVER): Stage.RESOLVED,
    (Stage.ACKNOWLEDGED, Move.UNKNOWN): Stage.ACKNOWLEDGED,
    (Stage.ACKNOWLEDGED, Move.CLOSE): Stage.RESOLVED,
    (Stage.RESOLVED, Move.ACTIVE): Stage.PENDING,
    (Stage.RESOLVED, Move.FIRE): Stage.FIRING,
    (Stage.RESOLVED, Move.CLEAR): Stage.RESOLVED,
    (Stage.RESOLVED, Move.UNKNOWN): Stage.RESOLVED,
}


@dataclass(frozen=True, slots=True)
class Observed:
    """The rule's signal at this tick.

    ``active`` is None where the data do not tell. ``cause`` is the diagnosis in words, if there is
    one; ``subjects`` are the columns or metrics concerned.
    """

    active: bool | None
    reason: str = ""
    subjects: tuple[str, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person takes the incident on."""

    actor: str


@dataclass(frozen=True, slots=True)
class Close:
    """A person ends the incident by hand, for example because its rule or column is gone."""

    actor: str
    reason: str


Event = Observed | Acknowledge | Close


Stepped = tuple[IncidentState, tuple[Effect, ...], tuple[Decision, ...]]


def is_inhibited(rule: AlertRule, states: Mapping[str, IncidentState]) -> bool:
    """Whether a parent of the rule is pending or open.

    Parameters
    ----------
    rule : AlertRule
    states : mapping of str to IncidentState
        The model's incidents by rule name, parents already stepped in this tick.
    """
    parents = (states[name] for name in rule.inhibited_by if name in states)
    return any(parent.open or parent.stage is Stage.PENDING for parent in parents)


def step(
    state: IncidentState,
    event: Event,
    now: datetime,
    rule: AlertRule,
    *,
    inhibited: bool = False,
) -> Stepped:
    """Advance one incident by one event.

    Returns
    -------
    state : IncidentState
        The same object if nothing changed.
    effects : tuple of Effect
        One `Notify` per receiver when it fires, is acknowledged, or resolves.
    decisions : tuple of Decision

    Raises
    ------
    IllegalTransitionError
        For example when an incident that does not fire is acknowledged.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from homeostat.alerting.rules import default_rules
    >>> rule, now = default_rules(("console",))[0], datetime(2024, 1, 1, tzinfo=UTC)
    >>> state = IncidentState("fraud", rule.name)
    >>> state, effects, _ = step(state, Observed(True, "amount is 100 times too big"), now, rule)
    >>> state.stage.value, effects[0].key
    ('firing', 'notify:console:fraud:data_fault:1:trigger')
    >>> state, effects, _ = step(state, Observed(None), now, rule)
    >>> state.stage.value, effects
    ('firing', ())
    """
    before = state
    if isinstance(event, Observed) and event.active is not None and state.unknown_since:
        state, _, _ = step(state, Observed(None), now, rule)  # what the gap ended, comes first
        state = replace(state, unknown_since=None)
    move = classify(state, event, now, rule, inhibited=inhibited)
    target = TRANSITIONS.get((state.stage, move))
    if target is None:
        raise IllegalTransitionError("incident", state.stage, move)
    if isinstance(event, Acknowledge):
        actor = event.actor
        taken = replace(state, stage=target, acknowledged_at=now, acknowledged_by=actor)
        return _tell(taken, NotifyAction.ACKNOWLEDGE, f"{actor} is on it", now, actor)
    if isinstance(event, Close):
        return _resolve(replace(state, stage=target), event.reason, now, event.actor)
    after, effects, decisions = _observed(
        state, event, move, target, now, rule, inhibited=inhibited
    )
    return (before if after == before else after), effects, decisions


def classify(
    state: IncidentState, event: Event, now: datetime, rule: AlertRule, *, inhibited: bool
) -> Move:
    """Return what the event amounts to in this state."""
    if isinstance(event, Acknowledge):
        return Move.ACKNOWLEDGE
    if isinstance(event, Close):
        return Move.CLOSE
    if event.active is None:
        lapsed = state.stage is Stage.PENDING and _gap(state, now) >= spell(state, rule)
        return Move.LAPSE if lapsed else Move.UNKNOWN
    if event.active:
        held = now - (state.pending_since or now) >= _wait(state, rule)
        return Move.FIRE if held and not inhibited and not state.open else Move.ACTIVE
    clear_for = now - (state.clear_since or now)
    return Move.RECOVER if state.open and clear_for >= keep_firing(state, rule) else Move.CLEAR


def spell(state: IncidentState, rule: AlertRule) -> timedelta:
    """How long what is timed now must last, and a gap without data may not."""
    return keep_firing(state, rule) if state.open else _wait(state, rule)


def _gap(state: IncidentState, now: datetime) -> timedelta:
    return now - (state.unknown_since or now)


def _wait(state: IncidentState, rule: AlertRule) -> timedelta:
    """How long the condition must last.

    What a parent explained has, from the parent's end, as long as it would need to be called over,
    an hour at most: its evidence may take longer to fade, and is no second page. What is critical
    does not wait for that.
    """
    explained = state.inhibited and state.stage is Stage.PENDING
    if not explained or rule.severity is Severity.CRITICAL:
        return rule.hold
    return max(rule.hold, min(rule.keep_firing, LONGEST_FADING))


def keep_firing(state: IncidentState, rule: AlertRule) -> timedelta:
    """How long this incident must be clear before it resolves: flapping doubles it."""
    doublings = min(state.flaps, MOST_DOUBLINGS)
    return rule.keep_firing * (1 << doublings)


def _observed(
    state: IncidentState,
    event: Observed,
    move: Move,
    target: Stage,
    now: datetime,
    rule: AlertRule,
    *,
    inhibited: bool,
) -> Stepped:
    if move is Move.FIRE:
        return _fire(replace(state, stage=target), event, now, rule)
    if move is Move.RECOVER:
        return _resolve(replace(state, stage=target), event.reason, now, AUTOMATIC)
    if move is Move.ACTIVE and not state.open:
        return _pend(state, event, target, now, inhibited=inhibited)
    if move is Move.ACTIVE:
        after = _still_active(state, event)
    elif move is Move.UNKNOWN:
        after = _unknown(state, now, rule)
    elif state.open:
        after = replace(state, clear_since=state.clear_since or now)
    else:  # clear, or lapsed
        after = replace(state, stage=target, pending_since=None, unknown_since=None)
    return after, (), ()


def _unknown(state: IncidentState, now: datetime, rule: AlertRule) -> IncidentState:
    """Take note of when a gap began, if something is timed through it."""
    if state.stage is not Stage.PENDING and state.clear_since is None:
        return state
    if state.open and _gap(state, now) >= spell(state, rule):
        return replace(state, clear_since=None, unknown_since=None)
    return replace(state, unknown_since=state.unknown_since or now)


def _still_active(state: IncidentState, event: Observed) -> IncidentState:
    subjects = tuple(dict.fromkeys((*state.subjects, *event.subjects)))
    cause = event.cause or state.cause
    return replace(state, clear_since=None, subjects=subjects, reason=event.reason, cause=cause)


def _pend(
    state: IncidentState, event: Observed, target: Stage, now: datetime, *, inhibited: bool
) -> Stepped:
    """Wait for the hold duration, which starts afresh when an inhibition ends."""
    restart = inhibited or state.pending_since is None
    if state.stage is not Stage.PENDING:
        state = replace(state, subjects=(), cause="", inhibited=False)
    after = replace(
        _still_active(state, event),
        stage=target,
        pending_since=now if restart else state.pending_since,
        inhibited=inhibited or state.inhibited,
    )
    if not inhibited or state.inhibited:
        return after, (), ()
    text = f"not fired while another incident explains it: {event.reason}"
    subject = f"{state.model}:{state.rule}"
    return after, (), (Decision(state.model, now, AUTOMATIC, "inhibit", subject, text),)


def _fire(state: IncidentState, event: Observed, now: datetime, rule: AlertRule) -> Stepped:
    soon = FLAP_SPAN * keep_firing(state, rule)
    flapping = state.resolved_at is not None and now - state.resolved_at < soon
    subjects = tuple(dict.fromkeys(event.subjects))
    what = f" ({', '.join(subjects)})" if subjects else ""
    after = replace(
        state,
        episode=state.episode + 1,
        severity=rule.severity,
        receivers=receivers_at(rule.routes, rule.receivers, now),
        runbook=rule.runbook,
        title=f"{state.model}: {rule.name.replace('_', ' ')}{what}",
        reason=event.reason,
        cause=event.cause,
        subjects=subjects,
        pending_since=None,
        fired_at=now,
        acknowledged_at=None,
        acknowledged_by="",
        clear_since=None,
        resolved_at=None,
        flaps=state.flaps + 1 if flapping else 0,
        inhibited=False,
        untold=(),
        joined=(),
        silenced=0,
        escalated=0,
        began=state.pending_since or now,
        escalates_from=now,
    )
    return _tell(after, NotifyAction.TRIGGER, event.reason, now, AUTOMATIC)


def _resolve(state: IncidentState, reason: str, now: datetime, actor: str) -> Stepped:
    after = replace(state, resolved_at=now, clear_since=None, unknown_since=None)
    return _tell(after, NotifyAction.RESOLVE, reason or "back to normal", now, actor)


def _tell(
    state: IncidentState, action: NotifyAction, reason: str, now: datetime, actor: str
) -> Stepped:
    body = in_words(state, reason) if action is NotifyAction.TRIGGER else reason
    effects = notices(state, action, body, now)
    verb = "fire" if action is NotifyAction.TRIGGER else action.value
    decision = Decision(state.model, now, actor, verb, state.key, reason)
    return state, effects, (decision,)
