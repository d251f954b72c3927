"""Rows written to a file of another program, a piece at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from homeostat.domain.errors import StorageError

if TYPE_CHECKING:
    from io import IOBase


class Format(StrEnum):
    """A format of an export."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...


def export(pieces: Iterable[pa.Table], target: Path | BinaryIO, form: Format) -> int:
    """Write rows; return how many.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        Of one schema; at least one.
    target : Path or binary file
        A file appears under its name only when it is whole.
    form : Format
        In CSV lists are written as JSON. Arrow is the IPC stream format.

    Raises
    ------
    StorageError
        If the target cannot be written.
    """
    if not isinstance(target, Path):
        return _write(pieces, target, form)
    temporary = target.with_name(target.name + ".part")
    try:
        with temporary.open("wb") as file:
            rows = _write(pieces, file, form)
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def _write(pieces: Iterable[pa.Table], file: BinaryIO, form: Format) -> int:
    flat: Iterator[pa.Table] = map(_flat, pieces) if form is Format.CSV else iter(pieces)
    first = next(flat)
    rows = 0
    with _writer(file, first.schema, form) as writer:
        for table in chain([first], flat):
            writer.write_table(table)
            rows += len(table)
    return rows


def _writer(file: BinaryIO, schema: pa.Schema, form: Format) -> AbstractContextManager[_Writer]:
    if form is Format.PARQUET:
        return pq.ParquetWriter(file, schema, compression="zstd")
    if form is Format.CSV:
        return pacsv.CSVWriter(file, schema)
    return pa.ipc.new_stream(cast("IOBase", file), schema)


def _flat(table: pa.Table) -> pa.Table:
    for place, column in enumerate(table.schema):
        if pa.types.is_list(column.type):
            texts = [None if v is None else json.dumps(v) for v in table.column(place).to_pylist()]
            table = table.set_column(place, column.name, pa.array(texts, pa.string()))
    return table
