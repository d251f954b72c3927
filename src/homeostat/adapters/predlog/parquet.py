"""Columnar files and their keys: written durably, read through a cache of bounded size."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.durable import folder_name, make_folder, publish
from homeostat.adapters.predlog import keys as keyfile
from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.checksum import named
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.keys import (
    Keys,
    identities,
    in_key_order,
    make_keys,
    read_keys,
    write_keys,
)
from homeostat.domain.columns import Floats, micros
from homeostat.domain.errors import StorageError
from homeostat.domain.window import EPOCH

CACHE_BYTES = 96 * 2**20
ROW_GROUP = 131_072
DAY = 86_400_000_000
HOUR = 3_600_000_000
MICROSECOND = timedelta(microseconds=1)

EVER = (-(2**63), 2**63 - 1)

TIME_FIELD = {Kind.PREDICTIONS: "timestamp", Kind.LABELS: "arrival"}
"""The field by which each kind of rows is ordered in time."""
SORT: dict[Kind, list[tuple[str, Literal["ascending", "descending"]]]] = {
    Kind.PREDICTIONS: [(name, "ascending") for name in ("timestamp", "prediction_id", "version")],
    Kind.LABELS: [(name, "ascending") for name in ("arrival", "prediction_id", "label")],
}
IDENTITY = {
    Kind.PREDICTIONS: ("prediction_id", "version", "timestamp", "score"),
    Kind.LABELS: ("prediction_id", "arrival", "label", "outcome"),
}
"""The fields of which keys are made."""

logger = logging.getLogger(__name__)


def split_by(table: pa.Table, name: str, step: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each step of time (its start in microseconds), in order."""
    steps = micros(table, name) // step
    if len(steps) and steps.min() == steps.max():
        yield int(steps[0]) * step, table
        return
    for number in np.unique(steps).tolist():
        yield number * step, table.filter(pa.array(steps == number))


def day_text(start: int) -> str:
    """Return the date of a day's start, such as ``2024-01-31``."""
    return str(np.datetime64(start, "us").astype("datetime64[D]"))


@dataclass(frozen=True, slots=True)
class Span:
    """A row group: its first and last time, and its rows."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What a file's footer says."""

    schema: pa.Schema
    groups: tuple[Span, ...]


@dataclass
class FileStore:
    """Files under ``<root>/<kind>/model=<model>/day=<day>/``, each with a key file beside it.

    Paths in the catalogue are relative to the root, so that the folder can be moved.

    Parameters
    ----------
    root : Path
    salt : int
        Of the hashes in key files; see `hash_texts`.
    fsync : bool
        Off only in simulations.
    cache_bytes : int
        Memory for columns that were read.
    """

    root: Path
    salt: int
    fsync: bool = True
    cache_bytes: int = CACHE_BYTES
    _columns: OrderedDict[tuple[str, int, str], Floats] = field(
        default_factory=OrderedDict, init=False
    )
    _layouts: dict[str, Layout] = field(default_factory=dict, init=False)
    _keys: dict[str, Keys] = field(default_factory=dict, init=False)
    _cached: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def write(
        self, kind: Kind, model: str, day: str, name: str, pieces: Iterable[pa.Table]
    ) -> FileEntry:
        """Write a file; it is durable on return, and part of the log once it is registered.

        Parameters
        ----------
        kind, model, day, name
            Where it belongs.
        pieces : iterable of pyarrow.Table
            Its rows, in order; at least one.

        Raises
        ------
        OSError
            If the disk failed or is full.
        """
        folder = Path(kind.name.lower()) / f"model={folder_name(model)}" / f"day={day}"
        if self.fsync:
            make_folder(self.root / folder)
        else:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        told, written = _Told(kind, self.salt), self.root / folder / f"{name}.tmp"
        write_pieces(map(told.see, pieces), written)
        relative = folder / named(name, written)
        final = self.root / relative
        written.replace(_temporary(final))
        key_file = final.with_suffix(keyfile.SUFFIX)
        write_keys(_temporary(key_file), told.keys)
        for done in (key_file, final):
            (publish if self.fsync else os.replace)(_temporary(done), done)
        size, path = final.stat().st_size, relative.as_posix()
        return FileEntry(kind, model, day, path, told.rows, size, told.first, told.last)

    def read(
        self,
        file: FileEntry,
        names: Sequence[str] | None = None,
        start: int | None = None,
        end: int | None = None,
        *,
        cache: bool = True,
    ) -> pa.Table:
        """Return rows of a file.

        Parameters
        ----------
        file : FileEntry
        names : sequence of str, optional
            Columns wanted; those that the file does not have are left out.
        start, end : int, optional
            Row groups without a time in [start, end) microseconds are left out.
        cache : bool
            Keep what is read in memory, if there is room.

        Raises
        ------
        StorageError
            If the file is damaged or gone.
        """
        try:
            layout = self._layout(file)
            wanted = layout.schema.names if names is None else _known(layout.schema, names)
            groups = [
                number
                for number, span in enumerate(layout.groups)
                if (end is None or span.first < end) and (start is None or span.last >= start)
            ]
            return self._read(file, wanted, groups, cache=cache)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error) from error

    def _read(
        self, file: FileEntry, names: Sequence[str], groups: Sequence[int], *, cache: bool
    ) -> pa.Table:
        found: dict[tuple[int, str], Floats] = {}
        with self._lock:
            for group in groups:
                for name in names:
                    column = self._columns.get((file.path, group, name))
                    if column is not None:
                        self._columns.move_to_end((file.path, group, name))
                        found[group, name] = column
        opened: pq.ParquetFile | None = None
        for group in groups:
            missing = [name for name in names if (group, name) not in found]
            if missing:
                # One file, not a data set: the folders' names are not columns.
                opened = opened or pq.ParquetFile(self.root / file.path)
                part = opened.read_row_group(group, missing)
                for name in missing:
                    found[group, name] = part.column(name)
                    if cache:
                        self._remember(file.path, group, name, part.column(name))
        if not groups:
            opened = pq.ParquetFile(self.root / file.path)
            return opened.schema_arrow.empty_table().select(list(names))
        return pa.table(
            {
                name: pa.chunked_array([c for g in groups for c in found[g, name].chunks])
                for name in names
            }
        )

    def _remember(self, path: str, group: int, name: str, column: Floats) -> None:
        with self._lock:
            if (path, group, name) not in self._columns:
                self._columns[path, group, name] = column
                self._cached += column.nbytes
            while self._cached > self.cache_bytes and self._columns:
                _, oldest = self._columns.popitem(last=False)
                self._cached -= oldest.nbytes

    def _layout(self, file: FileEntry) -> Layout:
        layout = self._layouts.get(file.path)
        if layout is None:
            layout = self._layouts[file.path] = read_layout(
                self.root / file.path, TIME_FIELD[file.kind]
            )
        return layout

    def schema(self, file: FileEntry) -> pa.Schema:
        """Return a file's columns, with what a roll noted of the model; raises StorageError."""
        return self._footer(file).schema

    def spans(self, file: FileEntry) -> tuple[Span, ...]:
        """Return a file's row groups; raises StorageError."""
        return self._footer(file).groups

    def _footer(self, file: FileEntry) -> Layout:
        try:
            return self._layout(file)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error) from error

    def keys(self, file: FileEntry) -> Keys:
        """Return the keys of a file's rows; made anew, in memory, if the key file is damaged.

        Raises
        ------
        StorageError
            If the file itself is damaged too.
        """
        keys = self._keys.get(file.path)
        if keys is None:
            path = (self.root / file.path).with_suffix(keyfile.SUFFIX)
            try:
                keys = read_keys(path, file.rows)
            except (OSError, ValueError) as error:
                logger.warning("key file %s %s: it is made anew", path, error)
                keys = make_keys(file.kind, self.read(file, IDENTITY[file.kind]), self.salt)
            self._keys[file.path] = keys
        return keys

    def forget(self, file: FileEntry) -> None:
        """Let go of what is held of a file that is no longer part of the log."""
        self._layouts.pop(file.path, None)
        self._keys.pop(file.path, None)
        with self._lock:
            for key in [key for key in self._columns if key[0] == file.path]:
                self._cached -= self._columns.pop(key).nbytes

    def sweep(self, registered: set[str]) -> None:
        """Delete files that are not part of the log; only while nothing is written to it."""
        for kind in Kind:
            for path in (self.root / kind.name.lower()).glob("model=*/day=*/*"):
                name = path.with_suffix(".parquet").relative_to(self.root).as_posix()
                if name not in registered or path.suffix == ".tmp":
                    path.unlink(missing_ok=True)


def _unreadable(file: FileEntry, error: Exception) -> StorageError:
    remedy = "homeostat data repair sets it aside"
    return StorageError(f"the log file {file.path} cannot be read: {error}; {remedy}")


@dataclass
class _Told:
    """What is to be known of rows that are being written."""

    kind: Kind
    salt: int
    rows: int = 0
    first: int = EVER[1]
    last: int = EVER[0]
    parts: list[tuple[Hashes, Hashes]] = field(default_factory=list)

    def see(self, table: pa.Table) -> pa.Table:
        times = micros(table, TIME_FIELD[self.kind])
        self.rows += len(table)
        self.first, self.last = min(self.first, int(times.min())), max(self.last, int(times.max()))
        self.parts.append(identities(self.kind, table, self.salt))
        return table

    @property
    def keys(self) -> Keys:
        keys, details = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        return in_key_order(keys, details, np.arange(self.rows, dtype=np.uint32))


def write_pieces(pieces: Iterable[pa.Table], path: Path) -> None:
    """Write a columnar file, without syncing it; raises OSError."""
    rest = iter(pieces)
    first = next(rest)
    with pq.ParquetWriter(
        path, first.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        for table in chain([first], rest):
            writer.write_table(table, row_group_size=ROW_GROUP)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def read_layout(path: Path, time: str) -> Layout:
    """Read a file's footer; raises OSError or ArrowException."""
    with pq.ParquetFile(path) as opened:
        schema, metadata = opened.schema_arrow, opened.metadata
        place = next(
            n for n in range(metadata.num_columns) if metadata.schema.column(n).path == time
        )
        groups = []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            bounds = group.column(place).statistics
            if bounds is None or not bounds.has_min_max:
                groups.append(Span(*EVER, group.num_rows))
            else:
                groups.append(Span(_micros(bounds.min), _micros(bounds.max), group.num_rows))
    return Layout(schema, tuple(groups))


def _known(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    held = set(schema.names)
    return [name for name in names if name in held]


def _micros(moment: object) -> int:
    assert isinstance(moment, datetime)
    return (moment - EPOCH) // MICROSECOND


def in_order(table: pa.Table, kind: Kind) -> pa.Table:
    """Return rows by time, then by the other fields of `SORT`.

    Rows are seldom of one microsecond, and then sorting by time alone does.
    """
    times = micros(table, TIME_FIELD[kind])
    steps = np.diff(times)
    if (steps > 0).all():
        return table
    order = np.argsort(times, kind="stable")
    if (np.diff(times[order]) > 0).all():
        return table.take(order)
    return table.sort_by(SORT[kind])


def within(table: pa.Table, name: str, start: int, end: int) -> pa.Table:
    """Return the rows whose time is in [start, end) microseconds."""
    times = micros(table, name)
    inside = (times >= start) & (times < end)
    return table if inside.all() else table.filter(pa.array(inside))


def align(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns of `schema`: nulls where it has none of that type.

    The features of a model may have changed since the rows were written.
    """
    if table.schema.equals(schema):
        return table
    columns = [
        table.column(field.name)
        if field.name in table.column_names and table.schema.field(field.name).type == field.type
        else pa.chunked_array([pa.nulls(len(table), field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
