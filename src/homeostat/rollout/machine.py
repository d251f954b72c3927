"""The rollout state machine: candidate, shadow, canary, promoting, champion.

The champion pointer lives in `RolloutState` and nowhere else, so that there is exactly one writer.
`step` is pure: an event is first classified into a `Move` (which guard holds?), the move is looked
up in `TRANSITIONS` (a missing pair raises), and the new state is built. Drawn in
``docs/architecture/state-machines.md``.

What peers got wrong and this table rules out: a rollout that ends inconclusive or without data is
never shipped, a guardrail is heeded in every stage (a wait for approval included), an aborted
version never starts again by itself, and after a pause a step needs fresh rows of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.domain.errors import IllegalTransitionError
from homeostat.rollout.events import Event
from homeostat.rollout.guards import Move, classify
from homeostat.rollout.moves import BUILD
from homeostat.rollout.state import RolloutPolicy, RolloutState, Stage

TRANSITIONS: Mapping[tuple[Stage, Move], Stage] = {
    (Stage.EMPTY, Move.FIRST): Stage.CHAMPION,
    (Stage.EMPTY, Move.PUSH): Stage.CHAMPION,
    (Stage.CHAMPION, Move.SUBMIT): Stage.CANDIDATE,
    (Stage.CHAMPION, Move.REFUSE): Stage.CHAMPION,
    (Stage.CHAMPION, Move.PUSH): Stage.CHAMPION,
    (Stage.CHAMPION, Move.ROLL_BACK): Stage.CHAMPION,
    (Stage.CANDIDATE, Move.VERIFY): Stage.SHADOW,
    (Stage.CANDIDATE, Move.HOLD): Stage.CANDIDATE,
    (Stage.CANDIDATE, Move.ABORT): Stage.CHAMPION,
    (Stage.CANDIDATE, Move.PUSH): Stage.CHAMPION,
    (Stage.CANDIDATE, Move.ROLL_BACK): Stage.CHAMPION,
    (Stage.SHADOW, Move.HOLD): Stage.SHADOW,
    (Stage.SHADOW, Move.ADVANCE): Stage.CANARY,
    (Stage.SHADOW, Move.FINISH): Stage.PROMOTING,
    (Stage.SHADOW, Move.ABORT): Stage.CHAMPION,
    (Stage.SHADOW, Move.PUSH): Stage.CHAMPION,
    (Stage.SHADOW, Move.ROLL_BACK): Stage.CHAMPION,
    (Stage.CANARY, Move.HOLD): Stage.CANARY,
    (Stage.CANARY, Move.ADVANCE): Stage.CANARY,
    (Stage.CANARY, Move.FINISH): Stage.PROMOTING,
    (Stage.CANARY, Move.ABORT): Stage.CHAMPION,
    (Stage.CANARY, Move.PUSH): Stage.CHAMPION,
    (Stage.CANARY, Move.ROLL_BACK): Stage.CHAMPION,
    (Stage.PROMOTING, Move.HOLD): Stage.PROMOTING,
    (Stage.PROMOTING, Move.APPROVE): Stage.PROMOTING,
    (Stage.PROMOTING, Move.PROMOTE): Stage.CHAMPION,
    (Stage.PROMOTING, Move.ABORT): Stage.CHAMPION,
    (Stage.PROMOTING, Move.PUSH): Stage.CHAMPION,
    (Stage.PROMOTING, Move.ROLL_BACK): Stage.CHAMPION,
}


def step(
    state: RolloutState, event: Event, now: datetime, policy: RolloutPolicy
) -> tuple[RolloutState, tuple[Decision, ...]]:
    """Advance the rollout of one model by one event.

    Parameters
    ----------
    state : RolloutState
        As stored; `RolloutState(model)` for a model that was never seen.
    event : Event
        See `homeostat.rollout.events`.
    now : datetime
        UTC, aware.
    policy : RolloutPolicy

    Returns
    -------
    state : RolloutState
        The same object if nothing changed.
    decisions : tuple of Decision
        Empty if nothing was decided, or if the same "not yet" is already on record.

    Raises
    ------
    IllegalTransitionError
        If `TRANSITIONS` has no entry for the stage and what the event amounts to.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from homeostat.rollout.events import First, Push, RollBack
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> state, made = step(RolloutState("fraud"), First("v1"), now, RolloutPolicy())
    >>> state.stage.value, state.champion, made[0].action
    ('champion', 'v1', 'install')
    >>> state, made = step(state, Push("v2", "ana"), now, RolloutPolicy())
    >>> state.champion, state.previous
    ('v2', 'v1')
    >>> state, made = step(state, RollBack("accuracy fell"), now, RolloutPolicy())
    >>> state.champion, state.aborted, made[0].reason
    ('v1', ('v2',), 'accuracy fell; v1 serves again')
    """
    move, reason = classify(state, event, now, policy)
    target = TRANSITIONS.get((state.stage, move))
    if target is None:
        raise IllegalTransitionError("rollout", state.stage, f"{type(event).__name__} ({move})")
    after, decisions = BUILD[move](state, event, reason, now, policy)
    return (after if after is state else replace(after, stage=target)), decisions
