"""Steps a model's alert rules through a tape as the engine does, and writes down what fired."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from homeostat.alerting.conditions.signal import Signal
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.incident import (
    Close,
    Observed,
    is_inhibited,
    keep_firing,
    spell,
    step,
)
from homeostat.alerting.replay import Episode
from homeostat.alerting.rules import AlertRule, parents_first
from homeostat.domain.verdict import Monitor, Verdict
from homeostat.engine.incidents import SILENT
from homeostat.engine.tape import Change, Closed, Tape

Progress = Callable[[datetime], None]


def replay(
    rules: Iterable[AlertRule], tape: Tape, progress: Progress = lambda _: None
) -> tuple[Episode, ...]:
    """Return the incidents that rules would have had, by when they fired.

    Every rule goes through its own state machine: hold, keep-firing, flap damping and inhibition
    are the engine's. What a person closed by hand ends there too. Only ticks at which something
    can change are taken: those of new verdicts, and the first after a duration has passed.

    Parameters
    ----------
    rules : iterable of AlertRule
    tape : Tape
    progress : callable
        Is told the time that was reached.
    """
    return _Player(parents_first(rules), tape).play(progress)


def with_parents(rules: Iterable[AlertRule], name: str) -> tuple[AlertRule, ...]:
    """Return a rule with all that may inhibit it, directly or through others."""
    known = {rule.name: rule for rule in rules}
    wanted, found = [name], dict[str, AlertRule]()
    while wanted:
        rule = known.get(wanted.pop())
        if rule is not None and rule.name not in found:
            found[rule.name] = rule
            wanted += rule.inhibited_by
    return tuple(found.values())


@dataclass
class _Player:
    rules: tuple[AlertRule, ...]
    tape: Tape
    _states: dict[str, IncidentState] = field(init=False)
    _latest: dict[Monitor, dict[str, Verdict]] = field(default_factory=dict, init=False)
    _news: dict[Monitor, int] = field(default_factory=dict, init=False)
    _signals: dict[str, tuple[tuple[int, tuple[str, ...]], Signal]] = field(
        default_factory=dict, init=False
    )
    _heard: dict[str, Signal] = field(default_factory=dict, init=False)
    _open: dict[str, int] = field(default_factory=dict, init=False)
    _episodes: list[Episode] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        model = self.tape.model
        self._states = {rule.name: IncidentState(model, rule.name) for rule in self.rules}

    def play(self, progress: Progress) -> tuple[Episode, ...]:
        ticks, changes = self.tape.ticks, self.tape.changes
        done, place, closed = 0, -1, tuple[Closed, ...]()
        while True:
            # What a person closes fires again at the next tick if it goes on.
            due = place + 1 if closed else self._due(place)
            if done < len(changes):
                due = min(due, bisect_left(ticks, changes[done].at))
            if due >= len(ticks):
                return tuple(sorted(self._episodes, key=lambda e: (e.began, e.rule)))
            if due - 1 > place >= 0 and self._inhibited:
                self._step(ticks[due - 1])  # the hold duration starts afresh at each tick
            place, closed = due, ()
            if done < len(changes) and changes[done].at <= ticks[place]:
                self._learn(changes[done])
                closed = changes[done].closed
                done += 1
            self._step(ticks[place], closed)
            progress(ticks[place])

    @property
    def _inhibited(self) -> bool:
        return any(s.stage is Stage.PENDING and s.inhibited for s in self._states.values())

    def _due(self, place: int) -> int:
        """Return the place of the next tick at which a duration has passed."""
        ticks, found = self.tape.ticks, len(self.tape.ticks)
        for rule in self.rules:
            state = self._states[rule.name]
            for moment in _moments(state, rule):
                if moment > ticks[place]:
                    found = min(found, bisect_left(ticks, moment))
        return found

    def _learn(self, change: Change) -> None:
        self._heard.update(change.signals)
        for monitor in change.forgotten:
            self._latest.pop(monitor, None)
            self._news[monitor] = self._news.get(monitor, 0) + 1
        for verdict in change.verdicts:
            self._latest.setdefault(verdict.monitor, {})[verdict.subject] = verdict
            self._news[verdict.monitor] = self._news.get(verdict.monitor, 0) + 1

    def _step(self, now: datetime, closed: tuple[Closed, ...] = ()) -> None:
        stepped: dict[str, IncidentState] = {}
        for rule in self.rules:
            before = self._states[rule.name]
            found = self._signal(rule, before.subjects if before.open else ())
            event = Observed(found.active, found.reason, found.subjects)
            inhibited = is_inhibited(rule, stepped)
            state, _, _ = step(before, event, now, rule, inhibited=inhibited)
            self._note(before, state, now)
            for each in closed:
                if each.rule == rule.name and state.open:
                    ended, _, _ = step(state, Close(each.actor, each.reason), now, rule)
                    self._note(state, ended, now)
                    state = ended
            stepped[rule.name] = self._states[rule.name] = state

    def _signal(self, rule: AlertRule, about: tuple[str, ...]) -> Signal:
        condition = rule.condition
        if not isinstance(condition, Verdicts):
            return self._heard.get(rule.name, SILENT)
        news = (self._news.get(condition.monitor, 0), about)
        known = self._signals.get(rule.name)
        if known is None or known[0] != news:
            verdicts = self._latest.get(condition.monitor, {}).values()
            known = self._signals[rule.name] = (news, condition.tell(verdicts, about))
        return known[1]

    def _note(self, before: IncidentState, after: IncidentState, now: datetime) -> None:
        """Write down that an incident fired or resolved."""
        if after.episode > before.episode:
            self._open[after.rule] = len(self._episodes)
            self._episodes.append(
                Episode(
                    after.model,
                    after.rule,
                    after.severity,
                    now,
                    reason=after.reason,
                    subjects=after.subjects,
                    receivers=after.receivers,
                    flap=after.flaps > 0,
                )
            )
        elif before.open and not after.open:
            place = self._open.pop(after.rule)
            self._episodes[place] = replace(self._episodes[place], ended=now)


def _moments(state: IncidentState, rule: AlertRule) -> tuple[datetime, ...]:
    """Return when an incident may move by itself; after an inhibition the longer one counts."""
    if state.unknown_since:
        return (state.unknown_since + spell(state, rule),)
    if state.stage is Stage.PENDING and state.pending_since:
        return state.pending_since + rule.hold, state.pending_since + spell(state, rule)
    if state.open and state.clear_since:
        return (state.clear_since + keep_firing(state, rule),)
    return ()
