"""Steps every alert rule of a model with the newest verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from homeostat.alerting.conditions.signal import Signal
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.incident import (
    AUTOMATIC,
    Acknowledge,
    Close,
    Observed,
    is_inhibited,
    step,
)
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Decision, Diagnosis
from homeostat.domain.effect import Effect
from homeostat.domain.errors import IllegalTransitionError
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.engine.commands import Command, Request
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import UnitOfWork
from homeostat.engine.signals import Heard
from homeostat.engine.signals_figures import DRIFTED, OPERATIONAL
from homeostat.engine.silencing import Telling
from homeostat.engine.watch import incident_key

GONE = "its rule was removed, or is about something else now"
NOTHING = Heard()
NOBODY: Mapping[str, Close] = {}
SILENT = Signal(None, "not evaluated")
ABOUT_INCIDENTS = frozenset({Request.ACKNOWLEDGE, Request.CLOSE})


@dataclass(frozen=True, slots=True)
class Alerted:
    """Incidents after this tick, by rule, and what follows from the steps."""

    states: tuple[IncidentState, ...]
    effects: tuple[Effect, ...]
    decisions: tuple[Decision, ...]


def alert(
    plan: ModelPlan,
    uow: UnitOfWork,
    verdicts: tuple[Verdict, ...],
    diagnosis: Diagnosis | None,
    commands: tuple[Command, ...],
    now: datetime,
    heard: Heard = NOTHING,
) -> Alerted:
    """Step the model's incidents and save those that changed."""
    states: dict[str, IncidentState] = {}
    model = plan.spec.name
    known = peers_of(plan, uow)
    telling = Telling.of(plan, uow, known, now)
    effects: list[Effect] = []
    decisions: list[Decision] = []
    cause = f"{diagnosis.text} {diagnosis.advice}" if diagnosis else ""
    by_monitor: dict[Monitor, list[Verdict]] = {}
    for verdict in verdicts:
        by_monitor.setdefault(verdict.monitor, []).append(verdict)
    drifting = {v.monitor.value for v in verdicts if v.status is Status.DRIFT}
    for rule in plan.stepped:
        stored = known[rule.name]
        if stored is None and rule.series is None and rule.about not in drifting:
            continue
        about = stored.subjects if stored is not None and stored.open else ()
        found = _signal(rule, by_monitor, heard, about)
        if stored is None and not found.active:
            continue
        before = state = stored or IncidentState(model, rule.name)
        why = "" if _unexplained(rule) else cause
        event = Observed(found.active, found.reason, found.subjects, why)
        inhibited = is_inhibited(rule, states)
        state, told, decided = step(state, event, now, rule, inhibited=inhibited)
        mine = list(told)
        decisions += decided
        for each in _by_hand(state, commands):
            try:
                state, told, decided = step(state, each, now, rule, inhibited=inhibited)
            except IllegalTransitionError as error:
                decided = (_refused(plan, each, state, error, now),)
                told = ()
            mine += told
            decisions += decided
        if mine or before.open or state.open:
            state, told, decided = telling.tell(rule, before, state, mine, inhibited=inhibited)
            effects += told
            decisions += decided
        if state is not before:
            uow.save(incident_key(model, rule.name), state)
        states[rule.name] = state
    telling.settle(uow, model)
    decisions += _unknown(plan, states.values(), commands, now)
    return Alerted(tuple(states.values()), tuple(effects), tuple(decisions))


def _unexplained(rule: AlertRule) -> bool:
    """Whether a diagnosis, which is about data and model, says nothing of what a rule is about."""
    return rule.series is not None and rule.series.name in OPERATIONAL - {DRIFTED}


def peers_of(plan: ModelPlan, uow: UnitOfWork) -> dict[str, IncidentState | None]:
    """Return the incidents of the model's rules as they are on record."""
    model = plan.spec.name
    return {r.name: uow.load(incident_key(model, r.name), IncidentState) for r in plan.rules}


def _signal(
    rule: AlertRule,
    verdicts: Mapping[Monitor, Sequence[Verdict]],
    heard: Heard,
    about: tuple[str, ...],
) -> Signal:
    condition = rule.condition
    if isinstance(condition, Verdicts):
        return condition.tell(verdicts.get(condition.monitor, ()), about)
    return heard.signals.get(rule.name, SILENT)


def end(plan: ModelPlan, uow: UnitOfWork, names: Iterable[str], now: datetime) -> Alerted:
    """End the incidents of rules that their owner took away: nobody would take them back."""
    model = plan.spec.name
    found = tuple(
        name for name in names if _ends(uow.load(incident_key(model, name), IncidentState))
    )
    if not found:
        return Alerted((), (), ())
    known = peers_of(plan, uow)
    return end_all(model, uow, found, Telling.of(plan, uow, known, now), now)


def end_all(
    model: str,
    uow: UnitOfWork,
    names: Iterable[str],
    telling: Telling,
    now: datetime,
    asked: Mapping[str, Close] = NOBODY,
    reason: str = GONE,
) -> Alerted:
    """End incidents whose rules are not stepped any more, and save them.

    Parameters
    ----------
    model : str
    uow : UnitOfWork
    names : iterable of str
        Of the rules; what is neither open nor pending stays as it is.
    telling : Telling
        Of the model.
    now : datetime
    asked : mapping of str to Close
        What people asked for meanwhile, by the incident's key.
    reason : str
        Of the others.
    """
    states: list[IncidentState] = []
    effects: list[Effect] = []
    decisions: list[Decision] = []
    for name in names:
        key = incident_key(model, name)
        state = uow.load(key, IncidentState)
        if state is None or not _ends(state):
            continue
        rule = AlertRule(name, Verdicts(Monitor.METRIC), state.severity, state.runbook or name)
        close = asked.get(state.key, Close(AUTOMATIC, reason))
        event = close if state.open else Observed(False)
        after, told, decided = step(state, event, now, rule)
        state, told, more = telling.tell(rule, state, after, told, inhibited=False)
        decided = (*decided, *more)
        uow.save(key, state)
        states.append(state)
        effects += told
        decisions += decided
    return Alerted(tuple(states), tuple(effects), tuple(decisions))


def _ends(state: IncidentState | None) -> bool:
    return state is not None and (state.open or state.stage is Stage.PENDING)


def _by_hand(state: IncidentState, commands: tuple[Command, ...]) -> Iterator[Acknowledge | Close]:
    """Yield what people ask for; who takes on a page takes on all that it stands for."""
    asked = {c.subject for c in commands if c.request is Request.ACKNOWLEDGE}
    joins = state.stage is Stage.FIRING and state.key not in asked
    others = {page.key for page in state.joined} if joins else set[str]()
    for command in commands:
        if command.request is Request.ACKNOWLEDGE and command.subject in {state.key, *others}:
            yield Acknowledge(command.actor)
            others = set()
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
    plan: ModelPlan,
    event: Acknowledge | Close,
    state: IncidentState,
    error: Exception,
    now: datetime,
) -> Decision:
    return Decision(plan.spec.name, now, event.actor, "refuse", state.key, str(error))
