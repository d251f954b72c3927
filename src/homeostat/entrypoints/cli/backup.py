"""``homeostat backup`` and ``homeostat restore``."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from homeostat.adapters.backup import Backup, back_up
from homeostat.adapters.backup import restore as bring_back
from homeostat.entrypoints.bootstrap import log_place, open_log
from homeostat.entrypoints.cli.options import config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, when
from homeostat.entrypoints.cli.progress import working


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@config_option
@json_option
@click.option(
    "--copy", is_flag=True, help="Copy every byte, also where a file could have two names."
)
def backup(*, target: Path, config_path: Path, as_json: bool, copy: bool) -> None:
    """Back the records, the log and the models up to TARGET, while all goes on.

    TARGET is a folder, or with the ending .tar a file. It holds everything that was acknowledged
    before. On the same disk files get a second name instead of a copy (not with --copy): that
    costs nothing, and does not help if the disk breaks.

    Example: homeostat backup /mnt/backups/monday -c homeostat.yaml
    """
    with deployment(config_path) as opened:
        log = open_log(opened.settings, opened.records)
        try:
            models, now = opened.settings.models_folder, opened.clock.now()
            with working("backing up"):
                made = back_up(opened.records, log, models, target, now, link=not copy)
        finally:
            log.close()
    _tell(made, f"{target}: backed up", as_json=as_json)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@config_option
@json_option
def restore(*, source: Path, config_path: Path, as_json: bool) -> None:
    """Bring the backup SOURCE into a deployment in which there is nothing yet.

    Every file is compared with its checksum first; nothing is overwritten. The records may go to
    another database than they came from, such as from SQLite to PostgreSQL.

    Example: homeostat restore /mnt/backups/monday -c homeostat.yaml
    """
    with deployment(config_path, create=True) as opened:
        settings = opened.settings
        folders = settings.log_folder, settings.models_folder
        with working("restoring"):
            made = bring_back(opened.records, *folders, source, log_place(settings, os.environ))
    _tell(made, f"{source}: restored", as_json=as_json)


def _tell(made: Backup, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(made))
        return
    click.echo(f"{done} {made.files} files, {made.bytes / 1e6:,.1f} MB, as of {when(made.began)}")
