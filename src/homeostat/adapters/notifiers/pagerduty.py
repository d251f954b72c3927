"""Notifications as events of PagerDuty (Events API v2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.text import (
    incident_page,
    one_line,
    runbook_link,
    several_lines,
    stable_key,
)
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction

EVENTS = "https://events.pagerduty.com"
LONGEST_KEY = 255
LONGEST_SUMMARY = 1024
LONGEST_DETAIL = 20_000
"""Far below the 512 KB that an event may have."""
SEVERITY = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "info"}


@dataclass(frozen=True)
class PagerDutyNotifier:
    """Triggers, acknowledges and resolves alerts of one PagerDuty service.

    ``dedup_key`` is the incident's key from trigger to resolve, so that a repeated event is no
    second page; an update is one, which the open alert's log takes up. Implements
    `homeostat.engine.ports.Notifier`; source: PagerDuty/api-schema.

    Parameters
    ----------
    poster : Poster
        To `EVENTS`, or to another region's or proxy's base address.
    routing_key : str
        Integration key of the service.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    """

    poster: Poster
    routing_key: str = field(repr=False)
    base: str = ""

    def send(self, notice: Notify) -> str:
        """Post the event; raises DeliveryError."""
        first = notice.action in {NotifyAction.TRIGGER, NotifyAction.UPDATE}
        event: dict[str, object] = {
            "routing_key": self.routing_key,
            "event_action": NotifyAction.TRIGGER.value if first else notice.action.value,
            "dedup_key": stable_key(notice.incident, LONGEST_KEY),
        }
        if first:
            event |= self._trigger(notice)
        return str(self.poster.post_json(event, path="/v2/enqueue", taken=_taken))

    def _trigger(self, notice: Notify) -> dict[str, object]:
        page, runbook = incident_page(self.base, notice), runbook_link(self.base, notice)
        links = [{"href": runbook, "text": "Runbook"}] if runbook else []
        links += [{"href": page, "text": "Incident"}] if page else []
        details = {
            "reason": several_lines(notice.body, LONGEST_DETAIL),
            "runbook": one_line(notice.runbook, LONGEST_SUMMARY),
        }
        payload = {
            "summary": one_line(notice.title, LONGEST_SUMMARY) or notice.severity.value,
            "source": "homeostat",
            "severity": SEVERITY[notice.severity],
            "timestamp": (notice.since or notice.at).isoformat(),
            "component": notice.model,
            "group": "models",
            "class": one_line(notice.rule, LONGEST_SUMMARY),
            "custom_details": details,
        }
        linked: dict[str, object] = {"client_url": page} if page else {}
        return {"payload": payload, "client": "Homeostat", "links": links, **linked}


def _taken(status: int, body: object) -> bool:
    return status == 202 and isinstance(body, dict) and body.get("status") == "success"
