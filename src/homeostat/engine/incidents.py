"""Steps every alert rule of a model with the newest verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from homeostat.alerting.incident import (
    Acknowledge,
    Close,
    Event,
    IncidentState,
    Observed,
    is_inhibited,
    step,
)
from homeostat.alerting.rules import AlertRule, signal
from homeostat.domain.decision import Decision, Diagnosis
from homeostat.domain.effect import Effect
from homeostat.domain.errors import IllegalTransitionError
from homeostat.domain.verdict import Verdict
from homeostat.engine.commands import Command, Request
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import UnitOfWork
from homeostat.engine.watch import incident_key

ABOUT_INCIDENTS = frozenset({Request.ACKNOWLEDGE, Request.CLOSE})


@dataclass(frozen=True, slots=True)
class Alerted:
    """Incidents after this tick, by rule, and what follows from the steps."""

    states: tuple[IncidentState, ...]
    effects: tuple[Effect, ...]
    decisions: tuple[Decision, ...]


def parents_first(rules: Iterable[AlertRule]) -> tuple[AlertRule, ...]:
    """Order rules so that each comes after the ones that inhibit it; cycles keep their order."""
    waiting, ordered = list(rules), list[AlertRule]()
    while waiting:
        names = {rule.name for rule in waiting}
        ready = [rule for rule in waiting if not names & set(rule.inhibited_by) - {rule.name}]
        ordered += ready or waiting
        waiting = [rule for rule in waiting if rule not in ordered]
    return tuple(ordered)


def alert(
    plan: ModelPlan,
    uow: UnitOfWork,
    verdicts: tuple[Verdict, ...],
    diagnosis: Diagnosis | None,
    commands: tuple[Command, ...],
    now: datetime,
) -> Alerted:
    """Step the model's incidents and save those that changed."""
    states: dict[str, IncidentState] = {}
    effects: list[Effect] = []
    decisions: list[Decision] = []
    for rule in parents_first(plan.rules):
        key = incident_key(plan.spec.name, rule.name)
        before = uow.load(key, IncidentState) or IncidentState(plan.spec.name, rule.name)
        state = before
        found = signal(rule, verdicts, before.subjects if before.open else ())
        cause = f"{diagnosis.text} {diagnosis.advice}" if diagnosis else ""
        event: Event = Observed(found.active, found.reason, found.subjects, cause)
        inhibited = is_inhibited(rule, states)
        for each in (event, *_by_hand(state, commands)):
            try:
                state, told, decided = step(state, each, now, rule, inhibited=inhibited)
            except IllegalTransitionError as error:
                decided = (_refused(plan, each, state, error, now),)
                told = ()
            effects += told
            decisions += decided
        if state is not before:
            uow.save(key, state)
        states[rule.name] = state
    decisions += _unknown(plan, states.values(), commands, now)
    return Alerted(tuple(states.values()), tuple(effects), tuple(decisions))


def _by_hand(state: IncidentState, commands: tuple[Command, ...]) -> Iterator[Acknowledge | Close]:
    for command in commands:
        if command.subject == state.key and command.request is Request.ACKNOWLEDGE:
            yield Acknowledge(command.actor)
        elif command.subject == state.key and command.request is Request.CLOSE:
            yield Close(command.actor, command.reason)


def _unknown(
    plan: ModelPlan, states: Iterable[IncidentState], commands: tuple[Command, ...], now: datetime
) -> Iterator[Decision]:
    """Refuse what is asked for incidents that are not there."""
    keys = {state.key for state in states}
    for command in commands:
        if command.request in ABOUT_INCIDENTS and command.subject not in keys:
            text = f"there is no incident {command.subject!r} now"
            yield Decision(plan.spec.name, now, command.actor, "refuse", command.subject, text)


def _refused(
    plan: ModelPlan, event: Event, state: IncidentState, error: Exception, now: datetime
) -> Decision:
    actor = "homeostat" if isinstance(event, Observed) else event.actor
    return Decision(plan.spec.name, now, actor, "refuse", state.key, str(error))
