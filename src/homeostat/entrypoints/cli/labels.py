"""``homeostat labels import``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from rich.progress import track

from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.options import config_option, deployment, model_option
from homeostat.entrypoints.cli.output import json_option, print_json
from homeostat.entrypoints.files import pieces_of
from homeostat.entrypoints.settings.model import History

SHOWN = 5


@click.group()
def labels() -> None:
    """Bring labels in from a file."""


@labels.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@model_option
@json_option
def import_labels(*, file: Path, config_path: Path, model: str, as_json: bool) -> None:
    """Bring in the labels in FILE (Parquet or CSV).

    Its columns are called as the model's `history` says. Labels may be late, repeated or corrected:
    sending a file twice changes nothing. Refused rows are listed and kept in quarantine.
    """
    with deployment(config_path, create=True) as opened:
        part = opened.settings.model(model)
        log = open_log(opened.settings, opened.records)
        now = opened.clock.now()
        try:
            receipts = [
                log.append_labels(part.spec(), label_table(part.spec(), part.history, piece, now))
                for piece in track(pieces_of(file), "Labels", disable=as_json, transient=True)
            ]
        finally:
            log.close()
    _report(receipts, as_json=as_json)


def _report(receipts: list[Receipt], *, as_json: bool) -> None:
    accepted = sum(receipt.accepted for receipt in receipts)
    duplicates = sum(receipt.duplicates for receipt in receipts)
    refused = [row for receipt in receipts for row in receipt.rejected]
    if as_json:
        counts = {"accepted": accepted, "duplicates": duplicates, "rejected": len(refused)}
        print_json(counts)
    else:
        click.echo(
            f"{accepted:,} labels taken, {duplicates:,} known already, {len(refused):,} refused"
        )
        for row in refused[:SHOWN]:
            click.echo(f"  refused: {row.column} {row.reason}")
    if refused and not accepted and not duplicates:
        first = refused[0]
        raise DataError(f"no label was taken: {first.column} {first.reason}")


def label_table(spec: ModelSpec, history: History, rows: pa.Table, now: datetime) -> pa.Table:
    """Return the labels in a piece of a history file; rows without a label are left out.

    Raises
    ------
    DataError
        If a column is missing.
    """
    for name in (history.id, history.label):
        if name not in rows.column_names:
            there = ", ".join(rows.column_names)
            raise DataError(
                f"there is no column {name!r}; set history in the configuration to one of {there}"
            )
    rows = rows.filter(pc.is_valid(rows[history.label]))
    if history.label_timestamp in rows.column_names:
        arrival = _utc(rows[history.label_timestamp])
    else:
        arrival = pa.chunked_array([pa.array([now] * rows.num_rows, TIMESTAMP)])
    columns = [rows[history.id].cast(pa.string()), _values(spec, rows[history.label]), arrival]
    return pa.table(columns, names=LABEL_SCHEMA.names)


def _utc(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """Return times in UTC; those without a zone are taken for UTC."""
    if pt.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.cast(TIMESTAMP) if pt.is_timestamp(column.type) else column


def _values(spec: ModelSpec, column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Return labels as numbers, class names as their index; what is neither becomes null.

    One wrong label makes a CSV reader take the whole column for text, so text is read one by one.
    """
    names = {} if spec.task is Task.REGRESSION else {n: i for i, n in enumerate(spec.classes)}

    def number(value: object) -> float | None:
        if isinstance(value, str) and value in names:
            return float(names[value])
        try:
            return float(str(value) if not isinstance(value, bool) else value)
        except ValueError:
            return None

    return pa.array([number(value) for value in column.to_pylist()], pa.float64())
