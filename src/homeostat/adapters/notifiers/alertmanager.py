"""Notifications as alerts of Prometheus' Alertmanager (API v2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homeostat.adapters.notifiers.http import Poster, no_page
from homeostat.adapters.notifiers.text import (
    incident_page,
    no_pairs,
    one_line,
    runbook_link,
    stable_key,
)
from homeostat.domain.effect import Notify, NotifyAction

SOURCE = {"source": "homeostat"}
"""As alerts of Homeostat's rules for Prometheus have it: the same routes are for both."""
KEPT = timedelta(hours=1)
MOST = 1000
"""Alerts in one call, so that it is done in time."""
LONGEST_LABEL = 250
LONGEST_ANNOTATION = 4000
LONGEST_SUMMARY = 1000
"""All of them together fit into what Alertmanager's own receivers take, such as Opsgenie."""


@dataclass(frozen=True)
class AlertmanagerNotifier:
    """Posts alerts that end by themselves unless they are sent again, as Prometheus does.

    Alertmanager keeps alerts in memory only, so one that fires is sent again at each tick
    (`renew`); its end is then moved on, and lies in the past once it is resolved. The labels, which
    are its identity, are the same each time. An acknowledgement changes nothing there, nor does an
    update.

    Parameters
    ----------
    poster : Poster
        To the base address.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    kept : timedelta
        How long after the last renewal an alert ends, should Homeostat stop.
    labels : mapping
        Further labels of every alert.
    token : str
        Bearer token, if Alertmanager is behind something that asks for one.
    """

    poster: Poster
    base: str = ""
    kept: timedelta = KEPT
    labels: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)

    def send(self, notice: Notify) -> str:
        """Post the alert; raises DeliveryError."""
        if notice.action is NotifyAction.ACKNOWLEDGE:
            return "Alertmanager has no acknowledgement"
        if notice.action is NotifyAction.UPDATE:
            return "Alertmanager has no updates"
        if notice.action is NotifyAction.RESOLVE:
            return self._post([self._alert(notice, notice.at)])
        return self.renew([notice], notice.at)

    def renew(self, notices: Sequence[Notify], now: datetime) -> str:
        """Post triggers that were sent before, whose alerts still fire; raises DeliveryError."""
        alerts = [self._alert(notice, now + self.kept) for notice in notices]
        said = (self._post(alerts[first : first + MOST]) for first in range(0, len(alerts), MOST))
        return list(said)[-1]

    def _post(self, alerts: list[dict[str, object]]) -> str:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return str(self.poster.post_json(alerts, headers, "/api/v2/alerts", no_page))

    def _alert(self, notice: Notify, ends: datetime) -> dict[str, object]:
        runbook = runbook_link(self.base, notice) or notice.runbook
        own = {
            "alertname": notice.rule or "homeostat",
            "model": notice.model,
            "severity": notice.severity.value,
            "incident": stable_key(notice.incident, LONGEST_LABEL),
        }
        labels = {name: one_line(value, LONGEST_LABEL) for name, value in own.items()}
        annotations = {
            "summary": no_pairs(one_line(notice.title, LONGEST_SUMMARY)),
            "description": no_pairs(one_line(notice.body, LONGEST_ANNOTATION)),
            "runbook_url": one_line(runbook, LONGEST_SUMMARY),
        }
        starts = min(notice.since or notice.at, ends)
        page = incident_page(self.base, notice)
        alert: dict[str, object] = {
            "labels": {**SOURCE, **self.labels, **labels},
            "annotations": annotations,
            "startsAt": starts.isoformat(),
            "endsAt": ends.isoformat(),
        }
        return {**alert, "generatorURL": page} if page else alert
