"""Rows of the log in shares that other processes can read: files, and the labels of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import make_keys
from homeostat.adapters.predlog.labels import Asked, Told, attach, day_after
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.parquet import DAY, FileStore
from homeostat.adapters.predlog.parts import find
from homeostat.adapters.predlog.place import Folder
from homeostat.adapters.predlog.state import RECENT, UNKNOWN, window_days
from homeostat.adapters.records.codec import to_micros
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import OUTCOME_SCHEMA, prediction_schema
from homeostat.domain.window import Window

LABELS = tuple(OUTCOME_SCHEMA.names)


@dataclass(frozen=True, slots=True, eq=False)
class LoggedRows:
    """The rows of a window, as they are in the catalogue at one moment.

    Attributes
    ----------
    root : Path
    salt : int
        Of key files.
    files, labels : tuple of FileEntry
        Prediction files with rows in the window; label files that may hold theirs.
    landed, landed_labels : tuple of pyarrow.Table
        Rows that are in no file yet.
    start, end : int
        Microseconds since 1970.
    schema : pyarrow.Schema
        Columns that are wanted; what a file lacks, or has of another type, is left out.
    as_of : int or None
        With ``label`` and ``arrival`` as known then; None: without.
    """

    root: Path
    salt: int
    files: tuple[FileEntry, ...]
    labels: tuple[FileEntry, ...]
    landed: tuple[pa.Table, ...]
    landed_labels: tuple[pa.Table, ...]
    start: int
    end: int
    schema: pa.Schema
    as_of: int | None = None

    def shares(self) -> Iterator[Share]:
        """Yield one share for each file, and one for what has landed."""
        told = self.landed_labels
        for file in self.files:
            yield Share(self, file, self._labels_of(file.day), (), told)
        if self.landed:
            yield Share(self, None, self.labels, self.landed, told)

    def _labels_of(self, day: str) -> tuple[FileEntry, ...]:
        days = {day, day_after(day), RECENT, UNKNOWN}
        return tuple(file for file in self.labels if file.day in days)

    def present(self, schema: pa.Schema) -> pa.Schema:
        """Return the wanted columns that a file of this schema has."""
        held = {item.name: item.type for item in schema}
        return pa.schema([item for item in self.schema if held.get(item.name) == item.type])

    def __reduce__(self) -> tuple[object, ...]:
        # What a share needs of it, not all files and landed rows for each of them.
        kept = (self.root, self.salt, (), (), (), (), self.start, self.end, self.schema, self.as_of)
        return LoggedRows, kept


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """The rows of one file in the window, or the landed ones."""

    rows: LoggedRows
    file: FileEntry | None
    labels: tuple[FileEntry, ...]
    landed: tuple[pa.Table, ...]
    landed_labels: tuple[pa.Table, ...]

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows; raises StorageError if a file is damaged or gone."""
        store = FileStore(Folder(self.rows.root), self.rows.salt)
        told = list(self._told(store)) if self.rows.as_of is not None else []
        if self.file is not None:
            yield from self._of_file(store, self.file, told)
        for table in self.landed:
            yield from self._of_table(store, table, told)

    def _of_file(
        self, store: FileStore, file: FileEntry, told: Sequence[Told]
    ) -> Iterator[pa.Table]:
        start, end = self.rows.start, self.rows.end
        schema = self.rows.present(store.schema(file))
        read = store.read(file, schema.names, start, end)
        part = find(file, read, start, end, schema, store.places(file, start, end))
        if part is None:
            return
        if self.rows.as_of is None:
            yield part.table
            return
        places = np.full(file.rows, -1)
        places[part.rows] = np.arange(len(part.rows))
        yield self._joined(part.table, Asked(store.keys(file), places, file.day), told)

    def _of_table(
        self, store: FileStore, table: pa.Table, told: Sequence[Told]
    ) -> Iterator[pa.Table]:
        start, end = self.rows.start, self.rows.end
        schema = self.rows.present(table.schema)
        part = find(table, table, start, end, schema, np.arange(len(table)))
        if part is None:
            return
        if self.rows.as_of is None:
            yield part.table
            return
        places = np.full(len(table), -1)
        places[part.rows] = np.arange(len(part.rows))
        keys = make_keys(Kind.PREDICTIONS, table, store.salt)
        yield self._joined(part.table, Asked(keys, places), told)

    def _told(self, store: FileStore) -> Iterator[Told]:
        for file in self.labels:
            day = "" if file.day in {RECENT, UNKNOWN} else file.day
            yield Told(store.keys(file), store.read(file, LABELS[1:]), day)
        for table in self.landed_labels:
            yield Told(make_keys(Kind.LABELS, table, store.salt), table)

    def _joined(self, table: pa.Table, asked: Asked, told: Sequence[Told]) -> pa.Table:
        as_of = self.rows.as_of
        assert as_of is not None
        label, arrival = attach(len(table), [asked], told, as_of)
        return table.append_column("label", label).append_column("arrival", arrival)


def logged_rows(
    log: FilePredictionLog,
    spec: ModelSpec,
    window: Window,
    columns: Sequence[str],
    *,
    as_of: int | None = None,
    landed: bool = True,
) -> LoggedRows:
    """Return which rows a window of the log has now.

    Parameters
    ----------
    log : FilePredictionLog
    spec : ModelSpec
    window : Window
    columns : sequence of str
        Fields of its records; the timestamp comes with them.
    as_of : int, optional
        Microseconds: with the labels that were known then.
    landed : bool
        With rows that are in no file yet.
    """
    start, end = to_micros(window.start), to_micros(window.end)
    wanted = {"timestamp", *columns}
    schema = pa.schema([item for item in prediction_schema(spec) if item.name in wanted])
    upkeep = log.upkeep
    if upkeep.store.place.most_keys is not None:
        raise StorageError(
            f"the log's files are in {upkeep.store.place.name}; engines read those of a data folder"
        )
    with upkeep.state.lock:
        upkeep.state.refresh()
        files, tables = upkeep.state.gather(spec.name, start, end)
        labels, landed_labels = (
            ([], [])
            if as_of is None
            # Older releases put a label at the latest day of its predictions: maybe the day after.
            else upkeep.state.labels(spec.name, window_days(start, end + DAY))
        )
    return LoggedRows(
        log.root,
        upkeep.store.salt,
        tuple(files),
        tuple(labels),
        tuple(tables) if landed else (),
        tuple(landed_labels),
        start,
        end,
        schema,
        as_of,
    )


def schemas(store: FileStore, files: Sequence[FileEntry]) -> Mapping[pa.Schema, list[FileEntry]]:
    """Return the files by what columns they have; raises StorageError."""
    found: dict[pa.Schema, list[FileEntry]] = {}
    for file in files:
        found.setdefault(store.schema(file).remove_metadata(), []).append(file)
    return found
