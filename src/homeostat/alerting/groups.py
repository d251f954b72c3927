"""Incidents that one parent explains are told as one, in whichever order they fire.

A child that would fire while its parent is pending or open waits (`incident.is_inhibited`). If the
child fired first, each receiver that has its page is told that it is part of the parent, and who
would be paged by the parent no louder than by the child is not paged again: the page that is open
stands for both, and ends when both are over. A page whose trigger was given up stands for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from homeostat.alerting.delivery import LOUDEST
from homeostat.alerting.episode import IncidentState, Page
from homeostat.alerting.notices import notice
from homeostat.domain.effect import Effect, Notify, NotifyAction

OVER = "this and what it was part of are over"


def join(
    parent: IncidentState,
    effects: Iterable[Effect],
    children: Iterable[IncidentState],
    apart: Collection[str] = (),
    lost: Collection[tuple[str, str]] = (),
) -> tuple[IncidentState, tuple[Effect, ...]]:
    """Tell a parent's triggers through the pages of its children that are open already.

    Parameters
    ----------
    parent : IncidentState
        After this tick's events.
    effects : iterable of Effect
        Of these events.
    children : iterable of IncidentState
        Incidents that it explains and that no silence covers.
    apart : collection of str
        Receivers that group by themselves, and get each incident under its own key.
    lost : collection of tuple
        Receivers and keys of the pages that never arrived and are tried no more.
    """
    effects = tuple(effects)
    triggers = [e for e in effects if isinstance(e, Notify) and e.action is NotifyAction.TRIGGER]
    explained = [child for child in children if child.open]
    if not triggers or not explained:
        return parent, effects
    pages = sorted(
        {
            page: None
            for child in explained
            for page in child.pages
            if (page.receiver, page.key) not in lost
        },
        key=lambda page: LOUDEST.index(page.severity),
    )
    loud = LOUDEST.index(parent.severity)
    held: dict[str, Page] = {}
    for page in pages:
        if LOUDEST.index(page.severity) <= loud and page.receiver not in apart:
            held.setdefault(page.receiver, page)
    joined = tuple(held[each.receiver] for each in triggers if each.receiver in held)
    spared = {page.receiver for page in joined}
    now = triggers[0].at
    words = f"this is part of {parent.title} ({parent.key}): {triggers[0].body}"
    told = [notice(page, NotifyAction.UPDATE, words, now, parent.key) for page in pages]
    passed = [
        each for each in effects if not (isinstance(each, Notify) and each.receiver in spared)
    ]
    return replace(parent, joined=(*parent.joined, *joined)), (*told, *passed)


def part(state: IncidentState, lost: Collection[tuple[str, str]]) -> IncidentState:
    """Owe the trigger to whom the page that stands for an open incident never reached.

    Parameters
    ----------
    state : IncidentState
    lost : collection of tuple
        Receivers and keys of the pages that never arrived and are tried no more.
    """
    gone = tuple(page for page in state.joined if (page.receiver, page.key) in lost)
    if not gone or not state.open:
        return state
    kept = tuple(page for page in state.joined if page not in gone)
    owed = dict.fromkeys((*state.untold, *(page.receiver for page in gone)))
    return replace(state, joined=kept, untold=tuple(owed))


def outlast(
    state: IncidentState,
    effects: Iterable[Effect],
    others: Mapping[str, IncidentState],
    now: datetime,
) -> tuple[Effect, ...]:
    """Let each page end once, when all that it stands for is over.

    Parameters
    ----------
    state : IncidentState
        One that was open before this tick's events and is not after them.
    effects : iterable of Effect
        Of these events.
    others : mapping of rule to IncidentState
        The model's incidents, as far as known.
    now : datetime
    """
    rest = [other for name, other in others.items() if name != state.rule and other.open]
    still = {(page.receiver, page.key) for other in rest for page in other.pages}
    kept = tuple(each for each in effects if not _ends(each, still))
    gone = (page for page in state.joined if (page.receiver, page.key) not in still)
    return (*kept, *(notice(page, NotifyAction.RESOLVE, OVER, now) for page in gone))


def _ends(effect: Effect, still: set[tuple[str, str]]) -> bool:
    return (
        isinstance(effect, Notify)
        and effect.action is NotifyAction.RESOLVE
        and (effect.receiver, effect.incident) in still
    )
