"""Silences: incidents that somebody knows of fire, are shown, and tell nobody for a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.notices import notices, retold
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Effect, Notify, NotifyAction
from homeostat.domain.errors import DataError, NotFoundError

LONGEST = timedelta(days=30)
FARTHEST = timedelta(days=90)
LONGEST_TEXT = 500
MOST = 200
KEPT = 50
AUTOMATIC = "homeostat"


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which incidents a silence is for: those that match all of it.

    Attributes
    ----------
    model, rule : str
        Names, or shell-style patterns.
    subject : str
        The same for columns and metrics. Each one of the incident must match: when another column
        drifts too, people are told. Only ``*`` matches an incident about no column.
    severities : frozenset of Severity
        Empty: all.
    """

    model: str = "*"
    rule: str = "*"
    subject: str = "*"
    severities: frozenset[Severity] = frozenset()

    def matches(self, state: IncidentState) -> bool:
        """Whether it is for this incident.

        Examples
        --------
        >>> drift = IncidentState("fraud", "data_drift", subjects=("amount", "age"))
        >>> Matcher("fraud", subject="a*").matches(drift), Matcher(subject="age").matches(drift)
        (True, False)
        """
        return (
            self.covers(state.model)
            and _like(state.rule, self.rule)
            and (not self.severities or state.severity in self.severities)
            and (self.subject == "*" or _all_like(state.subjects, self.subject))
        )

    def covers(self, model: str) -> bool:
        """Whether it is for incidents of this model."""
        return _like(model, self.model)


def _like(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _all_like(names: tuple[str, ...], pattern: str) -> bool:
    return bool(names) and all(_like(name, pattern) for name in names)


@dataclass(frozen=True, slots=True)
class Silence:
    """Who wants not to be told of what, why, and until when.

    Attributes
    ----------
    number : int
        Its name.
    matcher : Matcher
    owner, reason : str
        Who answers for it, and why.
    start, end : datetime
        It holds from start on, and no more at its end.
    actor : str
        Who made it.
    at : datetime
        When it was made.
    ended_by : str
        Who ended it before its time.
    """

    number: int
    matcher: Matcher
    owner: str
    reason: str
    start: datetime
    end: datetime
    actor: str
    at: datetime
    ended_by: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether it holds now."""
        return self.start <= now < self.end

    def is_over(self, now: datetime) -> bool:
        """Whether it holds no more."""
        return now >= self.end


@dataclass(frozen=True, slots=True)
class Silences:
    """All silences of a deployment, oldest first; of those that are over the newest."""

    made: int = 0
    silences: tuple[Silence, ...] = ()

    def add(
        self,
        matcher: Matcher,
        owner: str,
        reason: str,
        span: tuple[datetime | None, datetime],
        actor: str,
        now: datetime,
    ) -> Silences:
        """Return them with one more, the last.

        Parameters
        ----------
        matcher : Matcher
        owner, reason : str
        span : tuple
            From when (None: now) until when.
        actor : str
        now : datetime

        Raises
        ------
        DataError
            If nobody answers for it, it has no end, or is too long or too far ahead.
        """
        start, end = span[0] or now, span[1]
        for field, text in (("owner", owner), ("reason", reason)):
            if not text.strip():
                raise DataError(f"a silence needs its {field}; say who answers for it and why")
        words = (owner, reason, matcher.model, matcher.rule, matcher.subject)
        if max(map(len, words)) > LONGEST_TEXT:
            raise DataError(f"a silence's words have at most {LONGEST_TEXT} characters each")
        if not all((matcher.model, matcher.rule, matcher.subject)):
            raise DataError("an empty pattern matches nothing; leave it out, or write *")
        if end <= max(start, now):
            raise DataError("a silence must end after it starts, and after now")
        if end - start > LONGEST:
            raise DataError(f"a silence lasts at most {LONGEST.days} days; make a new one then")
        if start - now > FARTHEST:
            raise DataError(f"a silence starts within {FARTHEST.days} days")
        if sum(not silence.is_over(now) for silence in self.silences) >= MOST:
            raise DataError(f"there are {MOST} silences already; end one that is not needed")
        number = self.made + 1
        one = Silence(number, matcher, owner.strip(), reason.strip(), start, end, actor, now)
        over = [silence for silence in self.silences if silence.is_over(now)]
        dropped = {silence.number for silence in over[: max(0, len(over) - KEPT)]}
        kept = (silence for silence in self.silences if silence.number not in dropped)
        return Silences(number, (*kept, one))

    def end(self, number: int, actor: str, now: datetime) -> Silences:
        """Return them with one ended now.

        Raises
        ------
        NotFoundError
            If there is none of this number, or it is over.
        """
        one = next((each for each in self.silences if each.number == number), None)
        if one is None or one.is_over(now):
            raise NotFoundError(f"there is no silence {number} now; see: homeostat alerts silences")
        ended = replace(one, start=min(one.start, now), end=now, ended_by=actor)
        changed = tuple(ended if each is one else each for each in self.silences)
        return replace(self, silences=changed)

    def over(self, state: IncidentState, now: datetime) -> Silence | None:
        """Return what silences an incident now: of several the one that ends last."""
        found = (s for s in self.silences if s.holds(now) and s.matcher.matches(state))
        return max(found, key=lambda silence: silence.end, default=None)


def hush(
    state: IncidentState,
    effects: Iterable[Effect],
    silence: Silence | None,
    now: datetime,
    *,
    inhibited: bool = False,
) -> tuple[IncidentState, tuple[Effect, ...], tuple[Decision, ...]]:
    """Hold back what a silence covers, and tell what is owed once nothing covers it any more.

    Who was told before the silence is told of the end; who was not is told of neither if it
    resolves meanwhile. What a parent explains by the time its silence ends waits for the parent.

    Parameters
    ----------
    state : IncidentState
        After this tick's events.
    effects : iterable of Effect
        Of these events.
    silence : Silence or None
        What covers it now.
    now : datetime
    inhibited : bool
        Whether a parent explains it.
    """
    effects = tuple(effects)
    if not state.open:
        return (state if silence is None else replace(state, silenced=silence.number)), effects, ()
    if silence is not None:
        return _held(state, effects, silence, now)
    decisions: list[Decision] = []
    if state.silenced:
        words = f"silence {state.silenced} is over"
        decisions.append(Decision(state.model, now, AUTOMATIC, "unsilence", state.key, words))
        state = replace(state, silenced=0, escalates_from=now)
    if state.untold and not inhibited:
        owed, state = state.untold, replace(state, untold=(), escalates_from=now)
        told = [replace(each, at=now) for each in retold(state) if each.receiver in owed]
        if state.stage is Stage.ACKNOWLEDGED:
            taken = notices(
                state, NotifyAction.ACKNOWLEDGE, f"{state.acknowledged_by} is on it", now
            )
            told += [each for each in taken if each.receiver in owed]
        effects = (*effects, *told)
        words = f"told {', '.join(owed)}, whom no page of it had reached"
        decisions.append(Decision(state.model, now, AUTOMATIC, "tell", state.key, words))
    return state, effects, tuple(decisions)


def _held(
    state: IncidentState, effects: tuple[Effect, ...], silence: Silence, now: datetime
) -> tuple[IncidentState, tuple[Effect, ...], tuple[Decision, ...]]:
    triggers = [e for e in effects if isinstance(e, Notify) and e.action is NotifyAction.TRIGGER]
    untold = dict.fromkeys((*state.untold, *(each.receiver for each in triggers)))
    passed = tuple(each for each in effects if each not in triggers)
    after = replace(state, untold=tuple(untold), silenced=silence.number)
    if state.silenced == silence.number:
        return (state if after == state else after), passed, ()
    words = (
        f"silence {silence.number} by {silence.owner} until {silence.end:%Y-%m-%d %H:%M} UTC: "
        f"{silence.reason}"
    )
    return after, passed, (Decision(state.model, now, AUTOMATIC, "silence", state.key, words),)
