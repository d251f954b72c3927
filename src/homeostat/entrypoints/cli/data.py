"""``homeostat data``: look after what the prediction log holds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import click
import pyarrow as pa

from homeostat.adapters.predlog.delta import publish
from homeostat.adapters.predlog.erase import Erasure, Target, erase
from homeostat.adapters.predlog.export import pieces
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.repair import repair as mend
from homeostat.adapters.predlog.verify import Verified
from homeostat.adapters.predlog.verify import verify as check
from homeostat.domain.model import Handling, ModelSpec
from homeostat.domain.personal import ENTITY, handled
from homeostat.domain.text import printable
from homeostat.domain.window import EPOCH, Window
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.completion import models
from homeostat.entrypoints.cli.figure import Figure
from homeostat.entrypoints.cli.lazy import LazyGroup, Table
from homeostat.entrypoints.cli.options import Deployment, config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.cli.progress import rows_read, working
from homeostat.entrypoints.export import Format, export

FINDINGS = 1
DELTA = "delta"
PATIENCE = 10.0
"""Seconds for which an erasure waits for other processes."""
STEP = 0.25


@dataclass(frozen=True, slots=True)
class Opened:
    """A deployment with its prediction log."""

    deployment: Deployment
    log: FilePredictionLog

    def spec(self, model: str) -> ModelSpec:
        """Return a model; raises NotFoundError."""
        return self.deployment.settings.model(model).spec()

    @property
    def now(self) -> datetime:
        """The time."""
        return self.deployment.clock.now()


@contextmanager
def opened_log(config: Path) -> Iterator[Opened]:
    """Open a deployment's prediction log; raises as `deployment`."""
    with deployment(config) as opened:
        log = open_log(opened.settings, opened.records)
        try:
            yield Opened(opened, log)
        finally:
            log.close()


class Data(LazyGroup):
    """The commands of this file, and one group of another."""

    table: ClassVar[Table] = {
        "erase": (f"{__name__}:erase_command", "Erase an entity or a prediction everywhere."),
        "verify": (f"{__name__}:verify_command", "Check every byte that the log has written."),
        "repair": (f"{__name__}:repair_command", "Mend what verify finds, as far as is proven."),
        "export": (f"{__name__}:export_command", "Write rows, with their labels, to a file."),
        "tidy": (f"{__name__}:tidy_command", "Apply retention and merge small files, now."),
        "backfill": (
            "homeostat.entrypoints.cli.backfill:backfill_command",
            "Make profiles of past hours anew, or from files.",
        ),
        "quarantine": (
            "homeostat.entrypoints.cli.quarantine:quarantine",
            "List, mend, replay or drop refused rows.",
        ),
    }


@click.group(cls=Data)
def data() -> None:
    """Look after the prediction log: erase, verify, repair, export, refused rows."""


@click.command("erase")
@click.argument("model", shell_complete=models)
@click.option("--entity", default="", help="Whom to erase.")
@click.option("--prediction", default="", help="Or: the id of one prediction.")
@click.option(
    "--wait",
    type=Figure(0),
    default=PATIENCE,
    show_default=True,
    help="Seconds to wait for other processes to give their segments up.",
)
@config_option
@json_option
@click.pass_context
def erase_command(
    ctx: click.Context,
    *,
    model: str,
    entity: str,
    prediction: str,
    wait: float,
    config_path: Path,
    as_json: bool,
) -> None:
    """Erase everything about an entity, or one prediction, of MODEL, and prove it.

    Exit code 1: something is left; the report says where and what to do.

    Example: homeostat data erase fraud --entity c42
    """
    if bool(entity) == bool(prediction):
        raise click.UsageError("name either --entity or --prediction")
    with opened_log(config_path) as opened:
        spec = opened.spec(model)
        values = _forms(opened, spec, entity) if entity else (prediction,)
        target = Target(bool(entity), values)
        ends = opened.deployment.clock.monotonic() + wait
        reports: list[Erasure] = []
        while True:
            folder = opened.deployment.settings.data_folder
            actor = opened.deployment.actor
            reports.append(erase(opened.log, spec, target, actor, opened.now, folder))
            if not reports[-1].held or opened.deployment.clock.monotonic() >= ends:
                break
            threading.Event().wait(STEP)
    done = _together(reports)
    if as_json:
        print_json(asdict(done) | {"complete": done.complete})
    else:
        _tell_erasure(done)
    ctx.exit(0 if done.complete else FINDINGS)


def _forms(opened: Opened, spec: ModelSpec, entity: str) -> tuple[str, ...]:
    """Return an entity as it was sent and, where it is hashed, as it is stored."""
    ways = handled(spec)
    if Handling.HASH not in {ways.get(ENTITY), ways.get(spec.entity)}:
        return (entity,)
    return (entity, opened.log.protector.text(entity))


def _together(reports: list[Erasure]) -> Erasure:
    """Return one report of several tries: all that was removed, and the last proof."""
    first, last = reports[0], reports[-1]
    return Erasure(
        first.model,
        first.token,
        tuple(file for report in reports for file in report.files),
        sum(report.predictions for report in reports),
        sum(report.labels for report in reports),
        sum(report.quarantined for report in reports),
        sum(report.profiles for report in reports),
        tuple(path for report in reports for path in report.damaged),
        last.held,
        last.searched,
        sum(report.named for report in reports),
        last.notes,
    )


def _tell_erasure(done: Erasure) -> None:
    click.echo(
        f"{done.token}: {done.predictions:,} predictions, {done.labels:,} labels and "
        f"{done.quarantined:,} refused rows of {done.model} removed; "
        f"{done.profiles:,} profiles and {done.named:,} segments no longer name it"
    )
    print_table(
        ("rows", "of", "file"), ((f"{f.rows:,}", f.kind, f.path) for f in done.files), "no file"
    )
    for path in done.damaged:
        click.echo(f"deleted, damaged: {printable(path)}")
    searched = done.searched
    how = "every byte" if searched.by_bytes else "every value (it is too short to search bytes)"
    click.echo(
        f"searched: {how} of {searched.files:,} files ({searched.bytes:,} bytes) and "
        f"{searched.tables} tables"
    )
    for place in searched.found:
        click.echo(f"STILL FOUND: {printable(place)}")
    for name in done.held:
        click.echo(f"STILL HELD: landing/{name}, by a process that writes it; try again later")
    if searched.longer:
        click.echo(f"inside longer values only: {printable(', '.join(searched.longer))}")
    for note in done.notes:
        click.echo(f"note: {note}")
    click.echo("nothing is left" if done.complete else "not complete")


@click.command("verify")
@config_option
@json_option
@click.pass_context
def verify_command(ctx: click.Context, *, config_path: Path, as_json: bool) -> None:
    """Check every byte that the log has written, and its parts against each other.

    Exit code 1: there are problems; `homeostat data repair` mends what can be mended.

    Example: homeostat data verify --json
    """
    with opened_log(config_path) as opened, working("checking"):
        found = check(opened.log.upkeep)
    if as_json:
        print_json(asdict(found))
    else:
        _tell_verified(found)
    ctx.exit(FINDINGS if found.problems else 0)


def _tell_verified(found: Verified) -> None:
    rows = ((p.trouble, p.path, p.text) for p in found.problems)
    print_table(("problem", "where", "what"), rows, "no problems")
    for name in found.strangers:
        click.echo(f"not part of the log: {printable(name)}")
    click.echo(
        f"checked: {found.rows:,} rows in {found.files:,} files, {found.segments:,} segments, "
        f"{found.profiles:,} profiles"
    )
    if found.unchecked:
        click.echo(f"{found.unchecked:,} files are older than checksums: their pages were read")


@click.command("repair")
@config_option
@json_option
@click.pass_context
def repair_command(ctx: click.Context, *, config_path: Path, as_json: bool) -> None:
    """Mend what `verify` finds: nothing is guessed, damaged files are kept in damaged/.

    Exit code 1: rows are lost, or problems are left.

    Example: homeostat data repair
    """
    with opened_log(config_path) as opened:
        done = mend(opened.log.upkeep, opened.deployment.actor, opened.now)
    if as_json:
        print_json(asdict(done) | {"lost": done.lost})
    else:
        for one in done.mended:
            click.echo(
                f"{printable(one.path)}: {printable(one.text)}; "
                f"{one.recovered:,} rows recovered, {one.lost:,} lost"
            )
        _tell_verified(done.left)
    ctx.exit(FINDINGS if done.lost or done.left.problems else 0)


@click.command("tidy")
@config_option
@json_option
def tidy_command(*, config_path: Path, as_json: bool) -> None:
    """Apply retention and merge small files, as `serve` does in the background.

    Example: homeostat data tidy
    """
    with opened_log(config_path) as opened:
        retained = opened.log.retain(opened.now)
        merged = opened.log.tidy(opened.now)
    if as_json:
        print_json(asdict(retained) | {"merged": merged})
        return
    click.echo(
        f"{retained.stripped:,} files lost their features, {retained.removed:,} were removed with "
        f"{retained.rows:,} rows, {merged:,} were merged"
    )


@click.command("export")
@click.argument("model", shell_complete=models)
@click.option("--from", "start", type=click.DateTime(), help="First time, in UTC; default: all.")
@click.option("--to", "end", type=click.DateTime(), help="Time before which it ends; default: now.")
@click.option(
    "--format",
    "form",
    type=click.Choice([*(form.value for form in Format), DELTA]),
    default=Format.PARQUET.value,
    show_default=True,
    help="Kind of file; delta: tables that grow with each call.",
)
@click.option("-o", "--output", required=True, help="File, or Delta folder; -: to stdout.")
@click.option("--labels/--no-labels", default=True, show_default=True, help="Join labels.")
@click.option("--as-of", type=click.DateTime(), help="Labels as known then; default: now.")
@click.option("--again", is_flag=True, help="Delta: look at all files, after a restored backup.")
@config_option
def export_command(
    *,
    model: str,
    start: datetime | None,
    end: datetime | None,
    form: str,
    output: str,
    labels: bool,
    as_of: datetime | None,
    again: bool,
    config_path: Path,
) -> None:
    """Write MODEL's rows of a time, in its order, with the labels known at one moment.

    Format delta: add what is new since the last time to the Delta tables predictions and labels in
    a folder, or at an address such as s3://bucket/fraud. Repeat it as often as you like.

    Example: homeostat data export fraud --from 2026-01-01 -o january.parquet
    """
    if form == DELTA and (start or end or as_of or not labels or output == "-"):
        raise click.UsageError("delta publishes all that is new: give only --output and --again")
    if again and form != DELTA:
        raise click.UsageError("--again is for --format delta")
    with opened_log(config_path) as opened:
        now = opened.now
        if form == DELTA:
            done = publish(opened.log, opened.spec(model), output, now, everything=again)
            click.echo(f"{done.predictions:,} predictions, {done.labels:,} labels added")
            return
        since, until = _utc(start) or EPOCH, _utc(end) or now
        if until <= since:
            raise click.BadParameter("--to must be after --from")
        moment = (_utc(as_of) or now) if labels else None
        found = pieces(opened.log, opened.spec(model), Window(since, until), moment)
        target = sys.stdout.buffer if output == "-" else Path(output)
        with rows_read("exporting") as advance:
            rows = export(_counted(found, advance), target, Format(form))
    click.echo(f"{rows:,} rows", err=output == "-")


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _counted(pieces: Iterable[pa.Table], advance: Callable[[int], None]) -> Iterator[pa.Table]:
    for piece in pieces:
        yield piece
        advance(piece.num_rows)
