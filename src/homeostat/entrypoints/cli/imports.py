"""``homeostat import``: rows from files into the prediction log."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.datasets.plain import PlainFile, plain_files
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError
from homeostat.domain.text import printable
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.options import config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, when
from homeostat.entrypoints.cli.progress import rows_read
from homeostat.entrypoints.imports.bring import (
    MOST_REFUSED,
    DryStore,
    LogStore,
    Order,
    Tally,
    bring,
)
from homeostat.entrypoints.imports.naming import Naming, Rows, listed
from homeostat.entrypoints.imports.times import Times, zone_of
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.model import Model

FINDINGS = 1
SHOWN = 10
TABLE, CALLS = "table", "inference-table"


@click.command("import")
@click.argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--kind",
    type=click.Choice([rows.value for rows in Rows]),
    default=Rows.PREDICTIONS.value,
    show_default=True,
    help="What the rows are.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([TABLE, CALLS]),
    default=TABLE,
    show_default=True,
    help="inference-table: calls with JSON bodies, as Databricks and MLflow keep them.",
)
@click.option(
    "--map", "maps", multiple=True, metavar="THEIRS=OURS", help="Say which column is which."
)
@click.option("--version", default="", help="Version of predictions that name none.")
@click.option("--zone", default="UTC", show_default=True, help="Of times that name none.")
@click.option(
    "--time-unit",
    type=click.Choice(["s", "ms", "us", "ns"]),
    help="Of times that are numbers; default: told by their size.",
)
@click.option("--time-format", default="", help="Of times that are text, such as %d/%m/%Y.")
@click.option(
    "--arrival", default="", help="When labels became known that do not say; default: file's time."
)
@click.option(
    "--most-refused",
    type=click.IntRange(0),
    default=MOST_REFUSED,
    show_default=True,
    help="Stop beyond so many refused rows.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing, only say what would be done.")
@config_option
@json_option
@click.pass_context
def import_command(
    ctx: click.Context,
    *,
    model: str,
    files: tuple[str, ...],
    kind: str,
    form: str,
    maps: tuple[str, ...],
    version: str,
    zone: str,
    time_unit: str | None,
    time_format: str,
    arrival: str,
    most_refused: int,
    dry_run: bool,
    config_path: Path,
    as_json: bool,
) -> None:
    """Bring rows of FILES into MODEL's log: CSV, Parquet, Arrow, JSON lines; folders and patterns.

    A control plane may be running. The same file again counts once, and so does one that was
    interrupted. Refused rows are told by row and column, and kept in quarantine.

    Exit code 1: some rows were refused.

    Example: homeostat import fraud 2023/*.parquet --version 7 --map is_fraud=label --kind labels
    """
    if form == CALLS and kind != Rows.PREDICTIONS:
        raise click.UsageError("an inference table holds predictions; leave --kind out")
    settings, times = load(config_path), Times(zone_of(zone), time_unit or "", time_format)
    part = settings.model(model)
    order = Order(
        part.spec(), Rows(kind), times, dict(map(_pair, maps)), part.history, version,
        _moment(arrival), form == CALLS, most_refused,
    )  # fmt: skip
    found = [file for name in files for file in _files(name)]
    tally, notes = Tally(), list[str]()
    with _store(config_path, dry=dry_run) as (store, clock):
        try:
            with rows_read(kind) as advance:
                for file in found:

                    def named(naming: Naming, file: PlainFile = file) -> None:
                        notes.extend(_naming_notes(file, naming))

                    for rows in bring(order, file, store, clock.now(), tally, named):
                        advance(rows)
        finally:
            store.finish()
            notes += _notes(order, part, tally, clock.now())
            _tell(tally, notes, model, dry=dry_run, as_json=as_json)
    ctx.exit(FINDINGS if tally.refused else 0)


def _pair(text: str) -> tuple[str, str]:
    theirs, found, ours = text.rpartition("=")
    if not found or not theirs or not ours:
        raise click.UsageError(f"--map {text!r} is not THEIRS=OURS, such as is_fraud=label")
    return theirs, ours


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2024-01-31T12:00Z") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone, such as 2024-01-31T12:00Z")
    return moment


def _files(name: str) -> Sequence[PlainFile]:
    if "://" not in name and not Path(name).exists() and glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - a pattern may be absolute
        if not matches:
            raise DataError(f"no file matches {name}; check the pattern")
        return [file for match in matches for file in plain_files(match)]
    return plain_files(name)


@contextmanager
def _store(config: Path, *, dry: bool) -> Iterator[tuple[LogStore | DryStore, Clock]]:
    if dry:
        clock = SystemClock()
        yield DryStore(clock), clock
        return
    with deployment(config, create=True) as opened:
        log = open_log(opened.settings, opened.records)
        try:
            yield LogStore(log, opened.clock), opened.clock
        finally:
            log.close()


def _naming_notes(file: PlainFile, naming: Naming) -> list[str]:
    renamed = [
        f"{ours} from {theirs!r}{' (a guess)' if ours in naming.guessed else ''}"
        for ours, theirs in naming.columns.items()
        if ours != theirs
    ]
    notes = [f"{file.name}: {', '.join(renamed)}"] if renamed else []
    if naming.unused:
        notes.append(f"{file.name}: not used: {listed(naming.unused)}")
    if naming.absent:
        notes.append(f"{file.name}: missing in all rows: {listed(naming.absent)}")
    return notes


def _notes(order: Order, part: Model, tally: Tally, now: datetime) -> list[str]:
    kept = part.retention.retention(part.labels.maturity, part.retraining)
    notes = []
    if tally.oldest is not None and tally.oldest < now - kept.records:
        notes.append(
            f"rows before {when(now - kept.records)} are older than retention.records of "
            f"{order.spec.name}: they will be deleted again; raise it first if you want them"
        )
    elif tally.oldest is not None and tally.oldest < now - kept.features:
        notes.append(
            f"rows before {when(now - kept.features)} are older than retention.features of "
            f"{order.spec.name}: they will lose their features"
        )
    if order.rows is not Rows.PREDICTIONS and tally.left_out:
        notes.append(f"{tally.left_out:,} rows say nothing and were left out")
    elif tally.left_out:
        notes.append(f"{tally.left_out:,} calls failed and were left out")
    return notes


def _tell(tally: Tally, notes: Sequence[str], model: str, *, dry: bool, as_json: bool) -> None:
    if as_json:
        body = asdict(tally)
        print_json(body | {"refusals": body.pop("told"), "notes": list(notes), "dry_run": dry})
        return
    for note in dict.fromkeys(notes):
        click.echo(printable(note))
    taken = "would be taken" if dry else "taken"
    known = f"{tally.duplicates:,} known already, {tally.refused:,} refused"
    click.echo(f"{tally.rows:,} rows read: {tally.accepted:,} {taken}, {known}")
    for one in tally.told[:SHOWN]:
        click.echo(printable(f"  {one.file}, row {one.row:,}: {one.column} {one.reason}"))
    if tally.refused > SHOWN:
        click.echo(f"  and {tally.refused - SHOWN:,} more")
    if tally.refused and not dry:
        click.echo(f"look at them with: homeostat data quarantine list {model}")
