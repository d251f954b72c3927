"""``homeostat data quarantine``: list, mend, replay or drop refused rows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from homeostat.adapters.predlog.catalogue import Quarantined
from homeostat.domain.text import printable
from homeostat.entrypoints.cli.completion import models
from homeostat.entrypoints.cli.data import FINDINGS, opened_log
from homeostat.entrypoints.cli.options import config_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.quarantine import Replayed, fix, quarantine_of, replay, replay_all

MOST = 100
numbers_argument = click.argument("numbers", type=int, nargs=-1)


@click.group()
def quarantine() -> None:
    """List, mend, replay or drop refused rows."""


@quarantine.command("list")
@click.argument("model", shell_complete=models)
@click.option("--limit", type=click.IntRange(1), default=MOST, show_default=True, help="Newest.")
@click.option("--counts", is_flag=True, help="Only how many there are, by reason.")
@config_option
@json_option
def list_rows(*, model: str, limit: int, counts: bool, config_path: Path, as_json: bool) -> None:
    """List MODEL's refused rows, newest first, and how many there are by reason.

    Example: homeostat data quarantine list fraud
    """
    with opened_log(config_path) as opened:
        spec = opened.spec(model)
        reasons = quarantine_of(opened.log, spec).counts()
        entries = () if counts else opened.log.quarantined(spec.name, limit)
    if as_json:
        print_json(
            {"counts": [asdict(r) for r in reasons], "quarantine": list(map(_body, entries))}
        )
        return
    print_table(
        ("rows", "sent as", "column", "reason"),
        ((f"{r.rows:,}", r.kind, r.column, r.reason) for r in reasons),
        "no refused rows",
    )
    if entries:
        click.echo()
        cells = ((str(e.number), when(e.at), e.column, e.reason) for e in entries)
        print_table(("number", "at", "column", "reason"), cells, "")


@quarantine.command()
@click.argument("model", shell_complete=models)
@numbers_argument
@config_option
@json_option
def show(*, model: str, numbers: tuple[int, ...], config_path: Path, as_json: bool) -> None:
    """Show refused rows of MODEL as they were sent.

    Example: homeostat data quarantine show fraud 12 13
    """
    with opened_log(config_path) as opened:
        entries = quarantine_of(opened.log, opened.spec(model)).get(numbers)
    if as_json:
        print_json({"quarantine": list(map(_body, entries))})
        return
    for entry in entries:
        click.echo(f"{entry.number}: {printable(f'{entry.column} {entry.reason}')}")
        click.echo(printable(entry.row))


@quarantine.command("fix")
@click.argument("model", shell_complete=models)
@click.argument("number", type=int)
@click.option("--set", "changes", multiple=True, metavar="COLUMN=JSON", help="Change a column.")
@click.option("--remove", multiple=True, metavar="COLUMN", help="Take a column out.")
@click.option("--edit", is_flag=True, help="Open the row in your editor.")
@config_option
def fix_row(
    *,
    model: str,
    number: int,
    changes: tuple[str, ...],
    remove: tuple[str, ...],
    edit: bool,
    config_path: Path,
) -> None:
    """Mend the refused row NUMBER of MODEL; `replay` sends it again.

    Example: homeostat data quarantine fix fraud 12
    """
    with opened_log(config_path) as opened:
        spec = opened.spec(model)
        (entry,) = quarantine_of(opened.log, spec).get([number])
        row = json.loads(entry.row)
        if edit:
            row = _edited(row)
        if changes or remove:
            if not isinstance(row, dict):
                raise click.UsageError("the row is no JSON object; use --edit")
            for name in remove:
                row.pop(name, None)
            for change in changes:
                name, _, text = change.partition("=")
                row[name] = _parsed(text)
        if not (edit or changes or remove):
            raise click.UsageError("say what to change: --set, --remove or --edit")
        fixed = fix(opened.log, spec, number, row)
    click.echo(printable(fixed.row))


def _edited(row: object) -> object:
    text = click.edit(json.dumps(row, indent=2, ensure_ascii=False), extension=".json")
    return row if text is None else _parsed(text)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is not JSON ({error}); quote texts") from None


@quarantine.command("replay")
@click.argument("model", shell_complete=models)
@numbers_argument
@config_option
@json_option
@click.pass_context
def replay_rows(
    ctx: click.Context, *, model: str, numbers: tuple[int, ...], config_path: Path, as_json: bool
) -> None:
    """Send refused rows of MODEL again: those NUMBERS, or all.

    Rows that were stored in the meantime count once. Exit code 1: some are still refused.

    Example: homeostat data quarantine replay fraud 12
    """
    with opened_log(config_path) as opened:
        spec = opened.spec(model)
        if numbers:
            done = replay(opened.log, spec, quarantine_of(opened.log, spec).get(numbers))
        else:
            done = replay_all(opened.log, spec)
    if as_json:
        print_json(asdict(done))
    else:
        _tell(done)
    ctx.exit(FINDINGS if done.refused else 0)


def _tell(done: Replayed) -> None:
    click.echo(
        f"{done.accepted:,} stored, {done.duplicates:,} known already, "
        f"{len(done.refused):,} still refused"
    )
    for said in done.refused:
        click.echo(printable(f"  {said.row}: {said.column} {said.reason}"))


@quarantine.command()
@click.argument("model", shell_complete=models)
@numbers_argument
@click.option("--all", "everything", is_flag=True, help="All refused rows of the model.")
@config_option
def drop(*, model: str, numbers: tuple[int, ...], everything: bool, config_path: Path) -> None:
    """Delete refused rows of MODEL for good.

    Example: homeostat data quarantine drop fraud 12 13
    """
    if bool(numbers) == everything:
        raise click.UsageError("name the numbers, or --all")
    with opened_log(config_path) as opened:
        kept = quarantine_of(opened.log, opened.spec(model))
        dropped = kept.drop(numbers) if numbers else kept.clear()
    click.echo(f"{dropped:,} refused rows dropped")


def _body(entry: Quarantined) -> dict[str, object]:
    return asdict(entry) | {"kind": entry.kind.name.lower(), "row": json.loads(entry.row)}
