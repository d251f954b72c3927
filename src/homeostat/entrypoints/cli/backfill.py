"""``homeostat data backfill``: profiles of past hours made anew, here or on an engine."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from homeostat.adapters.profilers.backfill import RawColumns, backfill_files, backfill_log
from homeostat.domain.window import Window, floor
from homeostat.entrypoints.cli.data import opened_log
from homeostat.entrypoints.cli.engine import engine_options
from homeostat.entrypoints.cli.output import json_option, print_json
from homeostat.entrypoints.engines import EngineName, engine_of

HOUR = timedelta(hours=1)


@click.command("backfill")
@click.argument("model")
@click.option("--from", "start", type=click.DateTime(), help="First hour, in UTC.")
@click.option("--to", "end", type=click.DateTime(), help="Hour before which it ends; default: now.")
@click.option("--files", default="", help="Take the rows from these files, not from the log.")
@click.option("--timestamp", default="timestamp", show_default=True, help="Their column of times.")
@click.option("--by-version", "version", default="", help="Their column of versions.")
@click.option("--version", "versioned", default="", help="Or: the version that answered all.")
@engine_options
@json_option
def backfill_command(
    *,
    model: str,
    start: datetime | None,
    end: datetime | None,
    files: str,
    timestamp: str,
    version: str,
    versioned: str,
    engine: EngineName,
    config_path: Path,
    as_json: bool,
) -> None:
    r"""Make MODEL's hourly profiles anew, from the log's rows or from --files.

    For hours from before the model had its segments, and for history that the log does not have.
    Profiles of rows that have left the log stay as they are, and so does what the log has when
    --files are read.

    \b
    Examples:
      homeostat data backfill fraud --from 2026-10-01 --to 2026-11-01 --engine spark
      homeostat data backfill fraud --files s3://bucket/scored --timestamp at --version 3
    """
    if bool(files) == bool(start):
        raise click.UsageError("give either --from or --files")
    if files and bool(version) == bool(versioned):
        raise click.UsageError("with --files, give either --by-version or --version")
    chosen = engine_of(engine)
    with opened_log(config_path) as opened:
        spec = opened.spec(model)
        if files:
            columns = RawColumns(timestamp, version, versioned)
            done = backfill_files(opened.log, spec, files, columns, chosen, opened.now)
        else:
            last = end.replace(tzinfo=UTC) if end else floor(opened.now, HOUR)
            window = _window(start, last)
            done = backfill_log(opened.log, spec, window, chosen)
    if as_json:
        print_json(asdict(done))
        return
    click.echo(
        f"{done.hours:,} hours with {done.rows:,} rows: {done.changed:,} profiles are new, "
        f"{done.segments:,} of segments; {done.left:,} hours left as they were"
    )


def _window(start: datetime | None, end: datetime) -> Window:
    assert start is not None
    begin = start.replace(tzinfo=UTC)
    if end <= begin:
        raise click.BadParameter("--to must be after --from")
    return Window(begin, end)
