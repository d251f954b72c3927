"""``homeostat monitoring``: files for Prometheus, Alertmanager and Grafana."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.entrypoints.cli.options import config_option
from homeostat.entrypoints.monitoring.export import write_monitoring
from homeostat.entrypoints.settings import load


@click.group()
def monitoring() -> None:
    """Make files for Prometheus, Alertmanager and Grafana."""


@monitoring.command()
@config_option
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("monitoring"),
    show_default=True,
    help="Folder to write to; files of the same names are replaced.",
)
@click.option(
    "--gateway/--no-gateway",
    default=True,
    help="Whether models are served by homeostat gateway; else its rules are left out.",
)
def export(*, config_path: Path, folder: Path, gateway: bool) -> None:
    """Write rules, routes and dashboards for the models of a configuration.

    Limits follow from it: monitors.service.max_latency and max_fallback, a threshold on accuracy,
    retraining.floor and schedule, labels.maturity. Addresses are those of server and gateway.

    Example: homeostat monitoring export -c homeostat.yaml -o monitoring
    """
    written = write_monitoring(load(config_path), folder, gateway=gateway)
    click.echo(f"{len(written)} files in {folder}; docs/guide/monitoring.md says where they go")
