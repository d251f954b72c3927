"""Notifications as cards of Microsoft Teams, through a workflow's webhook."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.adapters.notifiers.http import Poster, no_page
from homeostat.adapters.notifiers.text import (
    incident_page,
    one_line,
    runbook_link,
    several_lines,
    unmentioned,
)
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction

CARD = "application/vnd.microsoft.card.adaptive"
SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
LONGEST_TITLE = 500
LONGEST_TEXT = 4000
"""A message may have 28 KB; with it, its escapes in JSON have room."""
COLOUR = {Severity.CRITICAL: "attention", Severity.WARNING: "warning", Severity.INFO: "accent"}


@dataclass(frozen=True)
class TeamsNotifier:
    """Posts an Adaptive Card for each trigger, acknowledgement and resolve.

    All text is in text runs, in which nothing is read as Markdown or as a mention. Teams knows no
    keys: a delivery whose answer was lost may be seen twice.

    Parameters
    ----------
    poster : Poster
        To the address that the workflow "Post to a channel when a webhook request is received" has.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    """

    poster: Poster
    base: str = ""

    def send(self, notice: Notify) -> str:
        """Post the card; raises DeliveryError."""
        return str(self.poster.post_json(message(notice, self.base), taken=no_page))


def message(notice: Notify, base: str) -> dict[str, object]:
    """Return the message with one card."""
    colour = "good" if notice.action is NotifyAction.RESOLVE else COLOUR[notice.severity]
    head = f"{notice.action.value.upper()} {one_line(notice.title, LONGEST_TITLE)}"
    facts = f"{notice.severity.value} · {notice.model} · {one_line(notice.incident, 300)}"
    runbook = f"runbook: {one_line(notice.runbook, LONGEST_TITLE)}"
    body = several_lines(notice.body, LONGEST_TEXT).splitlines()[:40]
    lines = [_line(head, weight="bolder", size="medium", color=colour)]
    lines += [_line(line) for line in (*body, facts, runbook)]
    links = (("Runbook", runbook_link(base, notice)), ("Incident", incident_page(base, notice)))
    card = {
        "$schema": SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": unmentioned(head),
        "body": lines,
        "actions": [
            {"type": "Action.OpenUrl", "title": label, "url": url} for label, url in links if url
        ],
    }
    attachment = {"contentType": CARD, "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _line(text: str, **style: str) -> dict[str, object]:
    run = {"type": "TextRun", "text": unmentioned(text), **style}
    return {"type": "RichTextBlock", "inlines": [run]}
