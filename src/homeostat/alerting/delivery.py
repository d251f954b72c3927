"""How a receiver wants to be told: not at night, and not of everything one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.alerting.hours import Hours
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction

LOUDEST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
NAMED = 20
OURS = "~"
"""Begins the keys of notices about no incident: summaries and tests. No model's name begins so."""
SUMMARY = f"{OURS}summary:"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many new incidents are told one by one in any such period."""

    notices: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class Manners:
    """Of one receiver.

    Attributes
    ----------
    limit : Limit or None
        The last notice that it allows is a summary of all that wait.
    quiet : tuple of Hours
        In these, what is not critical waits.
    """

    limit: Limit | None = None
    quiet: tuple[Hours, ...] = ()

    def silent(self, notice: Notify, moment: datetime) -> bool:
        """Whether the receiver does not want to be told of this at that moment."""
        loud = notice.severity is Severity.CRITICAL
        return not loud and any(hours.hold(moment) for hours in self.quiet)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that is to be sent; ``fresh`` if that was never tried."""

    number: int
    notice: Notify
    fresh: bool


@dataclass(frozen=True, slots=True)
class Arranged:
    """What becomes of waiting notices, by their numbers; the others are sent.

    Attributes
    ----------
    held : frozenset of int
        They wait on.
    dropped : tuple of int
        Over before the quiet hours were.
    folded : tuple of Waiting
        Told together, in a summary.
    """

    held: frozenset[int] = frozenset()
    dropped: tuple[int, ...] = ()
    folded: tuple[Waiting, ...] = ()


def arrange(waiting: Sequence[Waiting], manners: Manners, sent: int, now: datetime) -> Arranged:
    """Decide about the notices that wait for one receiver.

    Only triggers that were never tried are dropped or folded, or held by a limit, with what follows
    them: who may know that something began is told that it is over. One that was tried in vain
    waits through quiet hours as others do, and nothing that is critical waits for room.

    Parameters
    ----------
    waiting : sequence of Waiting
        Oldest first.
    manners : Manners
    sent : int
        Triggers sent within the limit's period.
    now : datetime

    Examples
    --------
    >>> from datetime import UTC
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> def trigger(number):
    ...     words = ("ops", Severity.WARNING, "fraud", "drift", "moved", "r.md")
    ...     return Waiting(number, Notify(f"f:{number}:1", NotifyAction.TRIGGER, *words, now), True)
    >>> manners = Manners(Limit(3, timedelta(hours=1)))
    >>> found = arrange([trigger(number) for number in range(5)], manners, 0, now)
    >>> [each.number for each in found.folded]
    [2, 3, 4]
    """
    held: set[int] = set()
    dropped: list[int] = []
    new: list[Waiting] = []
    for lane in _lanes(waiting):
        first = lane[0]
        about = first.notice
        if about.action is not NotifyAction.TRIGGER or is_ours(about.incident):
            continue
        if not first.fresh:
            if manners.silent(about, now):
                held.update(each.number for each in lane)
            continue
        over = lane[-1].notice.action is NotifyAction.RESOLVE
        if over and manners.silent(first.notice, first.notice.at):
            dropped += (each.number for each in lane)
        elif manners.silent(first.notice, now):
            held.update(each.number for each in lane)
        else:
            new.append(first)
    folded, late = _over(new, manners.limit, sent)
    return Arranged(frozenset(held | late), tuple(dropped), folded)


def _lanes(waiting: Iterable[Waiting]) -> Iterable[list[Waiting]]:
    lanes: dict[str, list[Waiting]] = {}
    for each in waiting:
        lanes.setdefault(each.notice.incident, []).append(each)
    return lanes.values()


def _over(
    new: list[Waiting], limit: Limit | None, sent: int
) -> tuple[tuple[Waiting, ...], set[int]]:
    """Return what is told in a summary, and what waits because there is no room even for one."""
    if limit is None:
        return (), set()
    room = limit.notices - sent
    if len(new) <= room:
        return (), set()
    if room < 1:
        loud = [each for each in new if each.notice.severity is Severity.CRITICAL]
        late = {each.number for each in new} - {each.number for each in loud}
        return tuple(loud) if len(loud) > 1 else (), late
    loudest = sorted(new, key=lambda each: (LOUDEST.index(each.notice.severity), each.number))
    return tuple(sorted(loudest[room - 1 :], key=lambda each: each.number)), set()


def is_ours(incident: str) -> bool:
    """Whether a key is that of a summary or a test: these are sent whenever they are asked for."""
    return incident.startswith(OURS)


def summary(folded: Sequence[Waiting], now: datetime) -> Notify:
    """Return one trigger that stands for many; its key is the same whenever it is made of them."""
    notices = [each.notice for each in folded]
    loudest_first = sorted(notices, key=lambda notice: LOUDEST.index(notice.severity))
    loudest = loudest_first[0]
    models = dict.fromkeys(notice.model for notice in notices)
    lines = [f"{notice.severity.value}: {notice.title}" for notice in loudest_first[:NAMED]]
    more = [f"and {len(notices) - NAMED} more"] if len(notices) > NAMED else []
    of = f"of {loudest.model}" if len(models) == 1 else f"of {len(models)} models"
    return Notify(
        incident=f"{SUMMARY}{loudest.receiver}:{folded[0].number}",
        action=NotifyAction.TRIGGER,
        receiver=loudest.receiver,
        severity=loudest.severity,
        model=loudest.model,
        title=f"{len(notices)} more incidents {of}",
        body="\n".join([*lines, *more]),
        runbook=loudest.runbook,
        at=now,
        rule="summary",
        since=now,
    )
