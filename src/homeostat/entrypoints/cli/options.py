"""What commands share: their options, and access to a deployment's records."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError, NotFoundError
from homeostat.entrypoints.bootstrap import open_records
from homeostat.entrypoints.cli.completion import models
from homeostat.entrypoints.cli.output import json_option
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.settings import Settings, load

F = TypeVar("F", bound=Callable[..., object])

SQLITE = "sqlite:///"

__all__ = [
    "Deployment",
    "config_option",
    "deployment",
    "json_option",
    "listen_options",
    "model_option",
    "warn_of_unknown",
]


def config_option(command: F) -> F:
    """Add ``-c/--config``."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        default=Path("homeostat.yaml"),
        show_default=True,
        help="The deployment's configuration.",
    )(command)


def model_option(command: F) -> F:
    """Add ``-m/--model``."""
    return click.option(
        "-m", "--model", default="", shell_complete=models,
        help="Which model; not needed if there is only one.",
    )(command)  # fmt: skip


reason_option = click.option("--reason", default="", help="Why; kept in the decision log.")


def steering_options(command: F) -> F:
    """Add what every command that steers takes: ``-c``, ``-m`` and ``--reason``."""
    return config_option(model_option(reason_option(command)))


def chosen(settings: Settings, model: str) -> list[str]:
    """Return the named model, or all of them if none is."""
    return [settings.model(model).name] if model else [part.name for part in settings.models]


def listen_options(command: F) -> F:
    """Add ``--host`` and ``--port``, which go before the configuration."""
    host = click.option("--host", help="Address to listen on; default: as configured.")
    port = click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0: any free one.")
    return host(port(command))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A configuration with its records open."""

    settings: Settings
    records: DatabaseRecords
    clock: Clock

    @property
    def actor(self) -> str:
        """Who runs the command, for the decision log."""
        return f"{getpass.getuser()} (command line)"


@contextmanager
def deployment(config: Path, *, create: bool = False) -> Iterator[Deployment]:
    """Open a deployment.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    NotFoundError
        If nothing has been recorded yet and `create` is not set.
    """
    settings = load(config)
    url = settings.records_url(os.environ)
    path = Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None
    if path is not None and not path.exists() and not create:
        raise NotFoundError(
            f"nothing is recorded at {path} yet; start with: homeostat serve -c {config}"
        )
    clock = SystemClock()
    records = open_records(settings, clock)
    try:
        yield Deployment(settings, records, clock)
    finally:
        records.close()


def warn_of_unknown(opened: Deployment, model: str, version: str) -> None:
    """Tell on stderr if no such version is registered; it may be later."""
    try:
        open_registry(opened.settings, opened.clock).get(model, version)
    except HomeostatError as error:
        click.echo(f"warning: {error}", err=True)
