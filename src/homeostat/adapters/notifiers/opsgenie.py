"""Notifications as alerts of Opsgenie and of Jira Service Management, which speaks the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.text import (
    incident_page,
    one_line,
    runbook_link,
    several_lines,
    stable_key,
    untagged,
)
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction

OPSGENIE = "https://api.opsgenie.com"
SERVICE_MANAGEMENT = "https://api.atlassian.com/jsm/ops/integration"
LONGEST_MESSAGE = 130
LONGEST_ALIAS = 512
LONGEST_DESCRIPTION = 15_000
LONGEST_TAG = 50
PRIORITY = {Severity.CRITICAL: "P1", Severity.WARNING: "P3", Severity.INFO: "P5"}
CALLS = {
    NotifyAction.ACKNOWLEDGE: "acknowledge",
    NotifyAction.RESOLVE: "close",
    NotifyAction.UPDATE: "notes",
}


@dataclass(frozen=True)
class OpsgenieNotifier:
    """Creates, acknowledges and closes alerts.

    ``alias`` is the incident's key, by which an open alert is found again: a repeated call makes
    no second one. Both services take a call first (202) and carry it out later.

    Parameters
    ----------
    poster : Poster
        To `OPSGENIE`, `SERVICE_MANAGEMENT`, or another region's base address.
    key : str
        API key of the integration.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    team : str
        Team that the alert is sent to; empty: as the integration says.
    """

    poster: Poster
    key: str = field(repr=False)
    base: str = ""
    team: str = ""

    def send(self, notice: Notify) -> str:
        """Post the call; raises DeliveryError."""
        headers = {"Authorization": f"GenieKey {self.key}"}
        alias = stable_key(notice.incident, LONGEST_ALIAS)
        if notice.action is NotifyAction.TRIGGER:
            return str(
                self.poster.post_json(self._alert(alias, notice), headers, "/v2/alerts", _taken)
            )
        path = f"/v2/alerts/{quote(alias, safe='')}/{CALLS[notice.action]}?identifierType=alias"
        note = untagged(several_lines(notice.body, LONGEST_DESCRIPTION))
        said = {"source": "homeostat", "user": "homeostat", "note": note}
        return str(self.poster.post_json(said, headers, path, _taken))

    def _alert(self, alias: str, notice: Notify) -> dict[str, object]:
        links = {
            "runbook": runbook_link(self.base, notice) or one_line(notice.runbook, 1000),
            "incident": incident_page(self.base, notice) or one_line(notice.incident, 1000),
        }
        tags = (notice.model, notice.rule, notice.severity.value)
        alert: dict[str, object] = {
            "alias": alias,
            "message": untagged(one_line(notice.title, LONGEST_MESSAGE)) or alias[:130],
            "description": untagged(several_lines(notice.body, LONGEST_DESCRIPTION)),
            "details": links,
            "source": "homeostat",
            "priority": PRIORITY[notice.severity],
            "tags": [one_line(tag, LONGEST_TAG) for tag in tags if tag],
            "entity": notice.model,
        }
        if self.team:
            alert["responders"] = [{"name": self.team, "type": "team"}]
        return alert


def _taken(status: int, body: object) -> bool:
    return status == 202 and isinstance(body, dict) and "result" in body
