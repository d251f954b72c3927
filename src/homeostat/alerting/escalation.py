"""Escalation: critical incidents that nobody takes on are told to further people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.notices import retold
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify

AUTOMATIC = "homeostat"


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """Who is told, and how long after the first were told.

    Raises
    ------
    ValueError
        If it tells nobody, or at once.
    """

    after: timedelta
    receivers: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.after <= timedelta(0) or not self.receivers:
            raise ValueError("a step of escalation tells somebody, some time after")


def escalate(
    state: IncidentState,
    steps: Sequence[EscalationStep],
    now: datetime,
    *,
    inhibited: bool = False,
) -> tuple[IncidentState, tuple[Notify, ...], tuple[Decision, ...]]:
    """Take the steps that are due, each once in an episode.

    Only a critical incident escalates, while nobody has taken it on, no silence holds and no parent
    explains it; after a silence, or a parent, time counts from its end. The key is the incident's,
    so that one acknowledgement stops all and the resolve reaches everybody who was told. Who was
    told already is not told again.

    Parameters
    ----------
    state : IncidentState
    steps : sequence of EscalationStep
        By time.
    now : datetime
    inhibited : bool
        Whether a parent explains it.

    Examples
    --------
    >>> from datetime import UTC
    >>> hour, fired = timedelta(hours=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> steps = (EscalationStep(hour / 4, ("second",)), EscalationStep(hour, ("boss",)))
    >>> state = IncidentState("fraud", "model_down", Stage.FIRING, 1, Severity.CRITICAL, ("duty",),
    ...     fired_at=fired, title="down", reason="no answers")
    >>> state, told, _ = escalate(state, steps, fired + hour / 2)
    >>> [notice.receiver for notice in told], state.told
    (['second'], ('duty', 'second'))
    """
    if state.open and state.inhibited is not inhibited:
        since = state.escalates_from if inhibited else now
        state = replace(state, inhibited=inhibited, escalates_from=since)
    waits = inhibited or state.stage is not Stage.FIRING or state.severity is not Severity.CRITICAL
    since = state.escalates_from or state.fired_at
    if waits or state.silenced or state.untold or since is None:
        return state, (), ()
    told: list[Notify] = []
    decisions: list[Decision] = []
    for number, step in enumerate(steps[state.escalated :], state.escalated + 1):
        if now - since < step.after:
            break
        known = {*state.receivers}
        new = tuple(name for name in dict.fromkeys(step.receivers) if name not in known)
        state = replace(state, receivers=(*state.receivers, *new), escalated=number)
        told += [replace(each, at=now) for each in retold(state) if each.receiver in new]
        words = f"step {number}: nobody took it on within {step.after}; told {', '.join(new)}"
        if not new:
            words = f"step {number}: nobody took it on within {step.after}; all know of it"
        decisions.append(Decision(state.model, now, AUTOMATIC, "escalate", state.key, words))
    return state, tuple(told), tuple(decisions)
