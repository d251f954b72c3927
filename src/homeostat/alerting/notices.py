"""What receivers are told of an incident."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from homeostat.alerting.episode import IncidentState, Page
from homeostat.domain.effect import Notify, NotifyAction

LONGEST_TITLE = 2_000
LONGEST_BODY = 50_000
"""More than any receiver shows; names from data may be of any length, and there may be many."""


def notice(page: Page, action: NotifyAction, body: str, now: datetime, about: str = "") -> Notify:
    """Return what happens to one page."""
    return Notify(
        incident=page.key,
        action=action,
        receiver=page.receiver,
        severity=page.severity,
        model=page.model,
        title=_cut(page.title, LONGEST_TITLE),
        body=_cut(body, LONGEST_BODY),
        runbook=page.runbook,
        at=now,
        rule=page.rule,
        since=page.since,
        about=about,
    )


def notices(
    state: IncidentState, action: NotifyAction, body: str, now: datetime
) -> tuple[Notify, ...]:
    """Return one notice for each receiver that has a page under the incident's own key."""
    return tuple(notice(page, action, body, now) for page in own_pages(state))


def own_pages(state: IncidentState) -> Iterable[Page]:
    """Return the pages under the incident's own key."""
    return (page for page in state.pages if page.key == state.key)


def retold(state: IncidentState) -> tuple[Notify, ...]:
    """Return the triggers of an open incident anew, with what is known of it by now.

    Raises
    ------
    ValueError
        If it never fired.
    """
    if state.fired_at is None:
        raise ValueError(f"{state.key} never fired")
    body = in_words(state, state.reason)
    return notices(state, NotifyAction.TRIGGER, body, state.fired_at)


def in_words(state: IncidentState, reason: str) -> str:
    """Return why it fires, with its cause where that is known."""
    return f"{reason}\n{state.cause}" if state.cause else reason


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
