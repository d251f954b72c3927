"""From the receivers in homeostat.yaml to how their calls are recognised."""

from __future__ import annotations

from collections.abc import Mapping

from homeostat.entrypoints.http.paging import Inbound
from homeostat.entrypoints.settings.deployment import Settings, secret
from homeostat.entrypoints.settings.receivers import Opsgenie, PagerDuty, Webhook


def inbound(settings: Settings, environ: Mapping[str, str]) -> dict[str, Inbound]:
    """Return how calls are recognised that come back from receivers; raises ConfigError."""
    found: dict[str, Inbound] = {}
    for name, receiver in settings.receivers.items():
        if not isinstance(receiver, PagerDuty | Opsgenie | Webhook):
            continue
        variable = receiver.inbound_env
        if variable is not None:
            key = secret(environ, variable, f"receivers.{name}.inbound_env", settings.file)
            found[name] = Inbound(receiver.type, key)
    return found
