"""What model artifacts may do in a deployment."""

from __future__ import annotations

from collections.abc import Mapping

from homeostat.adapters.models import Loader
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.plan import breaker_config


def loader(settings: Settings, environ: Mapping[str, str]) -> Loader:
    """Return what loads artifacts, and lets them do what the configuration allows."""
    parts = [model.serving for model in settings.models]
    return Loader(
        trusted_types=frozenset(name for part in parts for name in part.trusted_types),
        allow_pickle=frozenset(digest for part in parts for digest in part.allow_pickle),
        hosts=frozenset(settings.gateway.upstream_hosts),
        environ=environ,
        breaker=breaker_config(settings),
    )
