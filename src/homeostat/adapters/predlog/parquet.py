"""Columnar files: written durably, read through a cache of bounded size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.durable import folder_name, make_folder, publish
from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.domain.columns import micros
from homeostat.domain.errors import StorageError

CACHE_BYTES = 256 * 2**20
DAY = 86_400_000_000
HOUR = 3_600_000_000

TIME_FIELD = {Kind.PREDICTIONS: "timestamp", Kind.LABELS: "arrival"}
"""The field by which each kind of rows is partitioned."""


def split_by(table: pa.Table, name: str, step: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each step of time (its start in microseconds), in order."""
    steps = micros(table, name) // step
    for number in np.unique(steps).tolist():
        yield number * step, table.filter(pa.array(steps == number))


def day_text(start: int) -> str:
    """Return the date of a day's start, such as ``2024-01-31``."""
    return str(np.datetime64(start, "us").astype("datetime64[D]"))


@dataclass
class FileStore:
    """Files under ``<root>/<kind>/model=<model>/day=<day>/``.

    Paths in the catalogue are relative to the root, so that the folder can be moved.
    """

    root: Path
    fsync: bool = True
    cache_bytes: int = CACHE_BYTES
    _cache: OrderedDict[str, pa.Table] = field(default_factory=OrderedDict, init=False)
    _cached: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def write(self, kind: Kind, model: str, day: str, name: str, table: pa.Table) -> FileEntry:
        """Write a file; it is durable on return, and part of the log once it is registered.

        Raises
        ------
        OSError
            If the disk failed or is full.
        """
        folder = Path(kind.name.lower()) / f"model={folder_name(model)}" / f"day={day}"
        relative = folder / f"{name}.parquet"
        final = self.root / relative
        temporary = final.with_suffix(".tmp")
        if self.fsync:
            make_folder(final.parent)
        else:
            final.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, temporary, compression="zstd")
        if self.fsync:
            publish(temporary, final)
        else:
            temporary.replace(final)
        times = micros(table, TIME_FIELD[kind])
        size = final.stat().st_size
        path = relative.as_posix()
        return FileEntry(
            kind, model, day, path, len(table), size, int(times.min()), int(times.max())
        )

    def read(self, file: FileEntry) -> pa.Table:
        """Return a file's rows; raises StorageError."""
        with self._lock:
            table = self._cache.get(file.path)
            if table is not None:
                self._cache.move_to_end(file.path)
                return table
        try:
            # One file, not a data set: the folders' names are not columns.
            table = pq.ParquetFile(self.root / file.path).read()
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"the log file {file.path} cannot be read: {error}") from error
        self.remember(file, table)
        return table

    def remember(self, file: FileEntry, table: pa.Table) -> None:
        """Keep a file's rows in memory as long as there is room."""
        with self._lock:
            if file.path not in self._cache:
                self._cache[file.path] = table
                self._cached += table.nbytes
            while self._cached > self.cache_bytes and self._cache:
                _, oldest = self._cache.popitem(last=False)
                self._cached -= oldest.nbytes

    def sweep(self, registered: set[str]) -> None:
        """Delete files of rolls that were never registered; only while no roll is under way."""
        for kind in Kind:
            for path in (self.root / kind.name.lower()).glob("model=*/day=*/*"):
                if path.relative_to(self.root).as_posix() not in registered:
                    path.unlink()


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
