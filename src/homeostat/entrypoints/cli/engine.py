"""Options that say where work on many rows is done, and what addresses of logs mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from homeostat.entrypoints.cli.options import config_option
from homeostat.entrypoints.engines import ENGINES, LOCAL
from homeostat.entrypoints.logged import LogWindow, as_window

F = TypeVar("F", bound=Callable[..., object])


def engine_options(command: F) -> F:
    """Add ``--engine``, and ``-c/--config`` for windows of a log."""
    engine = click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=LOCAL,
        show_default=True,
        help="Where to compute: here, or on Spark, Dask or Ray, if it is installed.",
    )
    return engine(config_option(command))


def of_deployment(data: str, config: Path) -> str | LogWindow:
    """Return the window of a deployment's log if the data names one, else the data."""
    return as_window(data, config) or data
