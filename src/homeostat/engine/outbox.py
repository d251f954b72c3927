"""What stands between recorded notices and their receivers: silences, quiet hours and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from homeostat.alerting.delivery import (
    Arranged,
    Manners,
    Waiting,
    arrange,
    is_ours,
    summary,
)
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.engine.ports import PendingEffect, Records, Settled
from homeostat.engine.silencing import hushed

ENDED = "it was over before the quiet hours were; nobody was told"
SILENCED = "it was over before a silence was"


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary that was told, and those of its incidents that are open still."""

    notice: Notify
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summaries:
    """The open summaries of one receiver."""

    summaries: tuple[Summary, ...] = ()


def summaries_key(receiver: str) -> str:
    """Return the state key of a receiver's summaries."""
    return f"summaries:{receiver}"


def stands_for(records: Records, notice: Notify) -> tuple[str, ...]:
    """Return the keys of the incidents that a page is about: of a summary those open still."""
    if not is_ours(notice.incident):
        return (notice.incident,)
    known = records.read(summaries_key(notice.receiver), Summaries) or Summaries()
    return tuple(
        member
        for one in known.summaries
        if one.notice.incident == notice.incident
        for member in one.members
    )


@dataclass
class Outbox:
    """Keeps the manners of receivers that have some.

    How much was sent lately is known since the process began only: after a restart a limit starts
    anew.
    """

    records: Records
    manners: Mapping[str, Manners]
    _sent: dict[str, list[datetime]] = field(default_factory=dict, init=False)

    def sent(self, notice: Notify, now: datetime) -> None:
        """Take note of a notice that was delivered."""
        if notice.action is NotifyAction.TRIGGER and notice.receiver in self.manners:
            self._sent.setdefault(notice.receiver, []).append(now)

    def sort(self, pending: Iterable[PendingEffect], now: datetime) -> frozenset[int]:
        """Write down what is told in summaries, or is told no more; return what has to wait.

        Raises
        ------
        ConflictError
            If another control plane leads, or settled one of them, meanwhile.
        """
        pending = tuple(pending)
        hush = hushed(self.records, pending, self.manners, now)
        if hush.idle:
            with self.records.begin() as uow:
                uow.settle(*(Settled(number, "done", now, SILENCED) for number in hush.idle))
        waiting: dict[str, list[Waiting]] = {}
        for each in pending:
            if each.number in hush.held | hush.idle:
                continue
            effect = each.effect
            if isinstance(effect, Notify) and effect.receiver in self.manners:
                one = Waiting(each.number, effect, each.attempts == 0)
                waiting.setdefault(effect.receiver, []).append(one)
        held = (self._sort(receiver, notices, now) for receiver, notices in waiting.items())
        return hush.held.union(*held)

    def _sort(self, receiver: str, waiting: list[Waiting], now: datetime) -> frozenset[int]:
        arranged = arrange(waiting, self.manners[receiver], self._lately(receiver, now), now)
        key = summaries_key(receiver)
        with self.records.begin() as uow:
            before = uow.load(key, Summaries) or Summaries()
            if not arranged.folded and not arranged.dropped and not before.summaries:
                return arranged.held
            after, settled, told = _folded(before, waiting, arranged, now)
            uow.settle(*(Settled(number, "done", now, said) for number, said in settled.items()))
            uow.intend(*told)
            if after != before:
                uow.save(key, after)
        return arranged.held

    def _lately(self, receiver: str, now: datetime) -> int:
        limit = self.manners[receiver].limit
        if limit is None:
            return 0
        # What lies ahead was sent before the clock was put back: it says nothing of lately.
        recent = [at for at in self._sent.get(receiver, ()) if at <= now < at + limit.per]
        self._sent[receiver] = recent
        return len(recent)


def _folded(
    before: Summaries, waiting: list[Waiting], arranged: Arranged, now: datetime
) -> tuple[Summaries, dict[int, str], list[Notify]]:
    """Return the summaries, what is settled by which words, and what is told instead."""
    settled = dict.fromkeys(arranged.dropped, ENDED)
    summaries, told = list(before.summaries), list[Notify]()
    if arranged.folded:
        notice = summary(arranged.folded, now)
        told.append(notice)
        members = tuple(each.notice.incident for each in arranged.folded)
        summaries.append(Summary(notice, members))
        settled |= {each.number: f"told in {notice.incident}" for each in arranged.folded}
    whose = {member: number for number, one in enumerate(summaries) for member in one.members}
    over: dict[int, set[str]] = {}
    for each in waiting:
        number = whose.get(each.notice.incident)
        if number is None or each.number in settled:
            continue
        settled[each.number] = f"told in {summaries[number].notice.incident}"
        if each.notice.action is NotifyAction.RESOLVE:
            over.setdefault(number, set()).add(each.notice.incident)
    for number, gone in over.items():
        one = summaries[number]
        left = tuple(member for member in one.members if member not in gone)
        summaries[number] = Summary(one.notice, left)
        if not left:
            words = "all of these are over"
            end = replace(one.notice, action=NotifyAction.RESOLVE, body=words, at=now)
            told.append(end)
    return Summaries(tuple(one for one in summaries if one.members)), settled, told
