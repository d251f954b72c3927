"""From the receivers in homeostat.yaml to notifiers; secrets come from the environment."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from homeostat.adapters.notifiers.alertmanager import AlertmanagerNotifier
from homeostat.adapters.notifiers.console import ConsoleNotifier
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.opsgenie import OpsgenieNotifier
from homeostat.adapters.notifiers.pagerduty import PagerDutyNotifier
from homeostat.adapters.notifiers.slack import SlackNotifier
from homeostat.adapters.notifiers.teams import TeamsNotifier
from homeostat.adapters.notifiers.webhook import WebhookNotifier
from homeostat.domain.clock import Clock
from homeostat.engine.ports import Notifier, Records
from homeostat.entrypoints.settings import receivers as parts
from homeostat.entrypoints.settings.deployment import Settings, secret


@dataclass(frozen=True, slots=True)
class _Maker:
    settings: Settings
    clock: Clock
    records: Records | None

    def make(self, receiver: parts.Receiver, secrets: Mapping[str, str]) -> Notifier:
        """Return the notifier of a receiver."""
        base = self.settings.server.url
        match receiver:
            case parts.Console():
                return ConsoleNotifier(sys.stdout)
            case parts.Mail() | parts.Apprise():
                return self._further(receiver, secrets)
            case parts.Slack():
                return SlackNotifier(self._poster(receiver, secrets), base)
            case parts.Teams():
                return TeamsNotifier(self._poster(receiver, secrets), base)
            case _:
                return self._keyed(receiver, secrets)

    def _keyed(
        self,
        receiver: parts.Webhook | parts.PagerDuty | parts.Opsgenie | parts.Alertmanager,
        secrets: Mapping[str, str],
    ) -> Notifier:
        base, poster = self.settings.server.url, self._poster(receiver, secrets)
        match receiver:
            case parts.Webhook():
                return WebhookNotifier(poster, secrets.get("secret_env", ""), receiver.template)
            case parts.PagerDuty():
                return PagerDutyNotifier(poster, secrets["key_env"], base)
            case parts.Opsgenie():
                return OpsgenieNotifier(poster, secrets["key_env"], base, receiver.team)
            case _:
                token = secrets.get("token_env", "")
                return AlertmanagerNotifier(poster, base, receiver.kept, receiver.labels, token)

    def _further(
        self, receiver: parts.Mail | parts.Apprise, secrets: Mapping[str, str]
    ) -> Notifier:
        if isinstance(receiver, parts.Apprise):
            from homeostat.adapters.notifiers.apprise import (  # noqa: PLC0415 - seldom needed
                AppriseNotifier,
                connect,
            )

            return AppriseNotifier(connect(secrets["url_env"]), self.settings.server.url)
        from homeostat.adapters.notifiers.mail import MailNotifier  # noqa: PLC0415 - takes long
        from homeostat.entrypoints.pictures import Pictures  # noqa: PLC0415 - for mail only

        specs = {spec.name: spec for spec in self.settings.specs}
        records = self.records
        chart = None if records is None else Pictures(records, specs, self.clock).of
        return MailNotifier(
            receiver.host,
            receiver.port,
            receiver.sender,
            receiver.to,
            receiver.security,
            receiver.user,
            secrets.get("password_env", ""),
            self.settings.server.url,
            receiver.timeout,
            chart=chart,
            clock=self.clock,
        )

    def _poster(
        self,
        receiver: parts.Webhook
        | parts.PagerDuty
        | parts.Opsgenie
        | parts.Alertmanager
        | parts.Slack
        | parts.Teams,
        secrets: Mapping[str, str],
    ) -> Poster:
        url = secrets.get("url_env", "") or getattr(receiver, "url", "")
        hidden = tuple(secrets.values())
        return Poster(receiver.type, url, self.clock, receiver.timeout, hidden)


def receivers(
    settings: Settings,
    clock: Clock,
    environ: Mapping[str, str],
    names: Collection[str] | None = None,
    records: Records | None = None,
) -> dict[str, Notifier]:
    """Return a notifier for each receiver, or those named, secrets taken from the environment.

    With `records`, mails about incidents have a chart.

    Raises
    ------
    ConfigError
        If a variable is not set, or what a receiver needs is not installed.
    """
    maker = _Maker(settings, clock, records)
    read = partial(secret, environ, file=settings.file)
    found: dict[str, Notifier] = {}
    for name, receiver in settings.receivers.items():
        if names is not None and name not in names:
            continue
        secrets = {
            field: read(variable, field=f"receivers.{name}.{field}")
            for field, variable in parts.secrets_of(receiver).items()
        }
        found[name] = maker.make(receiver, secrets)
    return found
