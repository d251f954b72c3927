"""Notifications as messages of Slack, through an incoming webhook."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.text import (
    fitted,
    incident_page,
    mrkdwn,
    one_line,
    runbook_link,
    several_lines,
    unmentioned,
    untagged,
)
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction

LONGEST_HEADER = 150
LONGEST_SECTION = 3000
LONGEST_LABEL = 2000
SIGN = {
    Severity.CRITICAL: "\U0001f534",
    Severity.WARNING: "\U0001f7e0",
    Severity.INFO: "\U0001f535",
}
OVER = {
    NotifyAction.ACKNOWLEDGE: "\U0001f440",
    NotifyAction.RESOLVE: "\U0001f7e2",
    NotifyAction.UPDATE: "\U0001f517",
}


@dataclass(frozen=True)
class SlackNotifier:
    """Posts a message for each trigger, acknowledgement and resolve.

    Slack knows no keys: a delivery whose answer was lost may be seen twice.

    Parameters
    ----------
    poster : Poster
        To the incoming webhook.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    """

    poster: Poster
    base: str = ""

    def send(self, notice: Notify) -> str:
        """Post the message; raises DeliveryError."""
        return str(self.poster.post_json(message(notice, self.base), taken=_taken))


def message(notice: Notify, base: str) -> dict[str, object]:
    """Return the message: plain text, and the blocks that are shown instead of it."""
    head = f"{OVER.get(notice.action) or SIGN[notice.severity]} {notice.action.value.upper()}"
    title = f"{head} {one_line(notice.title, LONGEST_SECTION)}"
    facts = f"{notice.severity.value} · {notice.model} · {one_line(notice.incident, 300)}"
    runbook = one_line(notice.runbook, 1000)
    blocks: list[dict[str, object]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": fitted(title, LONGEST_HEADER, harmless)},
        },
        _section(several_lines(notice.body, LONGEST_SECTION) or facts),
        {
            "type": "context",
            "elements": [_mrkdwn(f"{facts} · runbook: {runbook}", LONGEST_LABEL)],
        },
    ]
    links = (("Runbook", runbook_link(base, notice)), ("Incident", incident_page(base, notice)))
    buttons = [
        {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url[:3000]}
        for label, url in links
        if url
    ]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": fitted(title, LONGEST_SECTION, mrkdwn), "blocks": blocks}


def harmless(text: str) -> str:
    """Take from plain text, in which Slack reads no links, what might yet be read as one."""
    return untagged(unmentioned(text))


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _mrkdwn(text, LONGEST_SECTION)}


def _mrkdwn(text: str, most: int) -> dict[str, object]:
    return {"type": "mrkdwn", "text": fitted(text, most, mrkdwn), "verbatim": True}


def _taken(_status: int, body: object) -> bool:
    """Slack says ``ok``, and so does what speaks as it does; some in JSON."""
    if isinstance(body, dict):
        return body.get("ok") is True or body.get("success") is True
    return isinstance(body, str) and body.strip() == "ok"
