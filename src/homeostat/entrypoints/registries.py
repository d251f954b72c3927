"""The model registry of a deployment."""

from __future__ import annotations

from homeostat.adapters.registry.local import LocalRegistry
from homeostat.domain.clock import Clock
from homeostat.engine.ports import Registry
from homeostat.entrypoints.settings.deployment import Settings


def open_registry(settings: Settings, clock: Clock) -> Registry:
    """Return the registry that is configured: a folder, or MLflow's with copies in that folder.

    Raises
    ------
    ConfigError
        If the package for it is not installed.
    StorageError
        If the folder cannot be made.
    """
    if not settings.registry.mlflow:
        return LocalRegistry(settings.models_folder, clock)
    from homeostat.adapters.registry.mlflow import (  # noqa: PLC0415 - an extra
        MlflowRegistry,
        connect,
    )

    return MlflowRegistry(connect(settings.registry.mlflow), settings.models_folder, clock)
