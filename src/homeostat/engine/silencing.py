"""Silences on record, and who is told of an incident: silences, groups and escalation together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from homeostat.alerting.delivery import Manners, is_ours
from homeostat.alerting.episode import IncidentState
from homeostat.alerting.escalation import EscalationStep, escalate
from homeostat.alerting.groups import join, outlast, part
from homeostat.alerting.rules import AlertRule
from homeostat.alerting.silences import Matcher, Silence, Silences, hush
from homeostat.domain.decision import Decision
from homeostat.domain.effect import Effect, Notify, NotifyAction
from homeostat.domain.errors import ConflictError
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PendingEffect, Records, UnitOfWork
from homeostat.engine.unreached import Unreached, forget, unreached_key
from homeostat.engine.watch import incident_key

SILENCES = "silences"
ATTEMPTS = 5


@dataclass
class Telling:
    """Decides who is told of one model's incidents in one tick."""

    silences: Silences
    now: datetime
    peers: dict[str, IncidentState] = field(default_factory=dict)
    rules: Sequence[AlertRule] = ()
    escalation: Sequence[EscalationStep] = ()
    apart: Collection[str] = ()
    unreached: Unreached = field(default_factory=Unreached)

    @classmethod
    def of(
        cls,
        plan: ModelPlan,
        uow: UnitOfWork,
        known: Mapping[str, IncidentState | None],
        now: datetime,
    ) -> Telling:
        """Return what a tick of the model needs.

        Parameters
        ----------
        plan : ModelPlan
        uow : UnitOfWork
        known : mapping of rule to IncidentState or None
            The model's incidents before the tick.
        now : datetime
        """
        unreached = uow.load(unreached_key(plan.spec.name), Unreached) or Unreached()
        made = cls.removed(uow, known, now)
        return replace(
            made, rules=plan.rules, escalation=plan.escalation, apart=plan.apart,
            unreached=unreached,
        )  # fmt: skip

    @classmethod
    def removed(
        cls, uow: UnitOfWork, known: Mapping[str, IncidentState | None], now: datetime
    ) -> Telling:
        """Return what it takes to end the incidents of a model that is not configured any more."""
        silences = uow.load(SILENCES, Silences) or Silences()
        return cls(silences, now, {name: each for name, each in known.items() if each})

    def settle(self, uow: UnitOfWork, model: str) -> None:
        """Forget what is over; to be called when all incidents have been told."""
        forget(uow, model, self.unreached, self.peers.values())

    def tell(
        self,
        rule: AlertRule,
        before: IncidentState,
        state: IncidentState,
        effects: Iterable[Effect],
        *,
        inhibited: bool,
    ) -> tuple[IncidentState, tuple[Effect, ...], tuple[Decision, ...]]:
        """Return the incident after all that bears on who is told, and what is told.

        Parameters
        ----------
        rule : AlertRule
        before, state : IncidentState
            Before and after this tick's events.
        effects : iterable of Effect
            Of these events.
        inhibited : bool
            Whether a parent explains it.
        """
        concerned = state.open or before.open
        silence = self.silences.over(state, self.now) if concerned else None
        state = part(state, self.unreached.pages)
        state, told, decided = hush(state, effects, silence, self.now, inhibited=inhibited)
        ended = not state.open and before.open
        if ended:
            told = outlast(state, told, self.peers, self.now)
        state, further, why = escalate(state, self.escalation, self.now, inhibited=inhibited)
        told, decided = (*told, *further), (*decided, *why)
        if any(isinstance(e, Notify) and e.action is NotifyAction.TRIGGER for e in told):
            state, told = join(state, told, self._children(rule), self.apart, self.unreached.pages)
        self.peers[rule.name] = state
        return state, told, decided

    def _children(self, rule: AlertRule) -> Iterable[IncidentState]:
        names = (each.name for each in self.rules if rule.name in each.inhibited_by)
        found = (self.peers[name] for name in names if name in self.peers and name != rule.name)
        return [child for child in found if self.silences.over(child, self.now) is None]


def all_silences(records: Records) -> tuple[Silence, ...]:
    """Return the silences on record, the newest first."""
    found = records.read(SILENCES, Silences) or Silences()
    return found.silences[::-1]


@dataclass(frozen=True)
class Silencing:
    """Makes and ends silences; durable on return, and in the decision log of each model concerned.

    Parameters
    ----------
    records : Records
    models : sequence of str
        All that are under care.
    """

    records: Records
    models: Sequence[str]

    def add(
        self,
        matcher: Matcher,
        owner: str,
        reason: str,
        span: tuple[datetime | None, datetime],
        actor: str,
        now: datetime,
    ) -> Silence:
        """Make a silence; the engine heeds it from its next tick on.

        Raises
        ------
        DataError
            If it is for no model, or is one that `Silences.add` refuses.
        ConflictError
            If other writers were first several times in a row.
        """
        for _ in range(ATTEMPTS - 1):
            with suppress(ConflictError):
                return self._add(matcher, owner, reason, span, actor, now)
        return self._add(matcher, owner, reason, span, actor, now)

    def end(self, number: int, actor: str, now: datetime) -> Silence:
        """End a silence before its time.

        Raises
        ------
        NotFoundError
            If there is none of this number, or it is over.
        ConflictError
            If other writers were first several times in a row.
        """
        for _ in range(ATTEMPTS - 1):
            with suppress(ConflictError):
                return self._end(number, actor, now)
        return self._end(number, actor, now)

    def _add(
        self,
        matcher: Matcher,
        owner: str,
        reason: str,
        span: tuple[datetime | None, datetime],
        actor: str,
        now: datetime,
    ) -> Silence:
        with self.records.begin() as uow:
            before = uow.load(SILENCES, Silences) or Silences()
            after = before.add(matcher, owner, reason, span, actor, now)
            made = after.silences[-1]
            uow.save(SILENCES, after)
            until = f"until {made.end:%Y-%m-%d %H:%M} UTC, for {made.owner}"
            self._decide(uow, made, actor, "add_silence", f"{until}: {made.reason}", now)
        return made

    def _end(self, number: int, actor: str, now: datetime) -> Silence:
        with self.records.begin() as uow:
            before = uow.load(SILENCES, Silences) or Silences()
            after = before.end(number, actor, now)
            ended = next(each for each in after.silences if each.number == number)
            uow.save(SILENCES, after)
            self._decide(uow, ended, actor, "end_silence", f"{actor} ended it", now)
        return ended

    def _decide(
        self, uow: UnitOfWork, made: Silence, actor: str, action: str, words: str, now: datetime
    ) -> None:
        subject = f"silence {made.number}"
        concerned = (name for name in self.models if made.matcher.covers(name))
        uow.decide(*(Decision(name, now, actor, action, subject, words) for name in concerned))


@dataclass(frozen=True, slots=True)
class Hushed:
    """Of waiting notices, by their numbers: those that a silence holds, and those it made idle."""

    held: frozenset[int] = frozenset()
    idle: frozenset[int] = frozenset()


def hushed(
    records: Records,
    pending: Iterable[PendingEffect],
    manners: Mapping[str, Manners],
    now: datetime,
) -> Hushed:
    """Return which notices wait, or are told no more, because of silences.

    A trigger that could not be sent before its incident was silenced wakes nobody meanwhile, and
    nobody afterwards if it resolved. It may have arrived nevertheless, if this process was killed
    then: its resolve is sent, unless quiet hours have kept it back since it fired.

    Parameters
    ----------
    records : Records
    pending : iterable of PendingEffect
        Oldest first.
    manners : mapping of receiver name to Manners
    now : datetime
    """
    silences = records.read(SILENCES, Silences)
    if silences is None:
        return Hushed()
    held: set[int] = set()
    idle: set[int] = set()
    incidents = _Incidents(records)
    for lane in _lanes(pending):
        first, trigger = lane[0]
        if trigger.action is not NotifyAction.TRIGGER or not _may_be(silences, trigger):
            continue
        state = incidents.of(trigger)
        if state is None or not _silent(silences, state, trigger, now):
            continue
        borne = incidents.borne(state, trigger)
        if not all(_silent(silences, each, trigger, now) for each in borne):
            continue
        own = manners.get(trigger.receiver)
        quiet = first.attempts == 0 and own is not None and own.silent(trigger, trigger.at)
        for each, notice in lane:
            if borne:
                held.add(each.number)
            elif quiet or notice.action is not NotifyAction.RESOLVE:
                idle.add(each.number)
    return Hushed(frozenset(held), frozenset(idle))


def _lanes(pending: Iterable[PendingEffect]) -> Iterable[list[tuple[PendingEffect, Notify]]]:
    """Return the notices of each receiver about each incident, in order."""
    lanes: dict[tuple[str, str], list[tuple[PendingEffect, Notify]]] = {}
    for each in pending:
        notice = each.effect
        if isinstance(notice, Notify) and not is_ours(notice.incident):
            lanes.setdefault((notice.receiver, notice.incident), []).append((each, notice))
    return lanes.values()


def _silent(silences: Silences, state: IncidentState, trigger: Notify, now: datetime) -> bool:
    """Whether a silence covers an incident; of the page's own one, also if it held at its end."""
    held = state.silenced and (state.open or state.key == trigger.incident)
    return bool(held) or silences.over(state, now) is not None


def _may_be(silences: Silences, trigger: Notify) -> bool:
    """Whether a silence may cover the page: those that were over before it cost no look at it."""
    return any(s.end > trigger.at and s.matcher.covers(trigger.model) for s in silences.silences)


@dataclass
class _Incidents:
    """Reads a model's incidents when one of them is asked for first, all at once."""

    records: Records
    _by_rule: dict[str, dict[str, IncidentState]] = field(default_factory=dict, init=False)
    _joined: dict[tuple[str, str, str], list[IncidentState]] = field(
        default_factory=dict, init=False
    )

    def of(self, trigger: Notify) -> IncidentState | None:
        """Return the incident of the rule that a page is about."""
        if trigger.model not in self._by_rule:
            self._by_rule[trigger.model] = self._read(trigger.model)
        return self._by_rule[trigger.model].get(trigger.rule)

    def borne(self, state: IncidentState, trigger: Notify) -> list[IncidentState]:
        """Return the open incidents that a page stands for; `of` must have been asked."""
        own = [state] if state.open and state.key == trigger.incident else []
        return own + self._joined.get((trigger.model, trigger.receiver, trigger.incident), [])

    def _read(self, model: str) -> dict[str, IncidentState]:
        keys = self.records.keys(incident_key(model, ""))
        with self.records.begin() as uow:  # to read many states together; nothing is written
            uow.prepare(keys)
            found = [uow.load(key, IncidentState) for key in keys]
        states = [state for state in found if state is not None]
        for state in states:
            pages = {(page.receiver, page.key) for page in state.joined} if state.open else set()
            for receiver, key in pages:
                self._joined.setdefault((model, receiver, key), []).append(state)
        return {state.rule: state for state in states}
