"""Columnar files and their keys: written durably, read through a cache of bounded size."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from homeostat.adapters.durable import folder_name
from homeostat.adapters.predlog.cache import ColumnCache, SizedCache, assembled, by_group
from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.checksum import check_footer, named
from homeostat.adapters.predlog.encoding import choose_encoding
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keyfile import SUFFIX, key_bytes, read_keys, write_keys
from homeostat.adapters.predlog.keys import Keys, identities, make_keys
from homeostat.adapters.predlog.layout import EVER, Layout, Span, chosen_groups, read_layout
from homeostat.adapters.predlog.place import AwayError, Place
from homeostat.adapters.predlog.runs import Runs, runs_in
from homeostat.adapters.predlog.widening import widened
from homeostat.domain.columns import micros
from homeostat.domain.errors import StorageError

CACHE_BYTES = 32 * 2**20
ROW_GROUP = 131_072
PAGE = 2**17
"""Bytes of a column that are unpacked at a time by who reads a file by batches."""
DAY = 86_400_000_000
AT_ONCE = 8
"""Files of an object store that are read at a time."""

TIME_FIELD = {Kind.PREDICTIONS: "timestamp", Kind.LABELS: "arrival"}
"""The field by which each kind of rows is ordered in time."""
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


@dataclass
class FileStore:
    """Files under ``<kind>/model=<model>/day=<day>/`` of a place, each with a key file beside it.

    Paths in the catalogue are relative to the place, so that it can be moved.

    Parameters
    ----------
    place : Place
    salt : int
        Of the hashes in key files; see `hash_texts`.
    fsync : bool
        Off only in simulations.
    cache_bytes : int
        Memory for columns that were read.
    """

    place: Place
    salt: int
    fsync: bool = True
    cache_bytes: int = CACHE_BYTES
    _cache: ColumnCache = field(init=False)
    _layouts: dict[str, Layout] = field(default_factory=dict, init=False)
    _keys: SizedCache[Keys] = field(init=False)

    def __post_init__(self) -> None:
        self._cache = ColumnCache(self.cache_bytes)
        self._keys = SizedCache(self.place.most_keys, key_bytes)

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
            If the disk failed or is full, or the place does not take it.
        """
        folder = f"{kind.name.lower()}/model={folder_name(model)}/day={day}"
        with self.place.bench(folder) as bench, runs_in(bench / f"{name}.runs.tmp") as runs:
            told, written = _Told(kind, self.salt, runs), bench / f"{name}.tmp"
            write_pieces(map(told.see, pieces), written)
            final = bench / named(name, written)
            written.replace(_temporary(final))
            key_file = final.with_suffix(SUFFIX)
            write_keys(_temporary(key_file), runs.blocks(), runs.rows)
            size, path = _temporary(final).stat().st_size, f"{folder}/{final.name}"
            for done in (key_file, final):
                self.place.put(_temporary(done), f"{folder}/{done.name}")
        return FileEntry(kind, model, day, path, runs.rows, size, told.first, told.last)

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
            groups = [number for number, _ in chosen_groups(layout.groups, start, end)]
            return self._read(file, wanted, groups, cache=cache)
        except (OSError, pa.ArrowException) as error:
            raise self.unreadable(file, error) from error

    def read_all(
        self, files: Sequence[FileEntry], names: Sequence[str] | None, start: int, end: int
    ) -> Iterator[pa.Table]:
        """Yield what `read` returns of each file; several at a time where each takes its time."""

        def read(file: FileEntry) -> pa.Table:
            return self.read(file, names, start, end)

        if self.place.most_keys is None or len(files) < 2:
            yield from map(read, files)
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(files))) as pool:
            yield from pool.map(read, files)

    def places(self, file: FileEntry, start: int, end: int) -> NDArray[np.intp]:
        """Return where in the file the rows stand that `read` returns; raises StorageError."""
        parts, at = [np.empty(0, np.intp)], 0
        chosen = {number for number, _ in chosen_groups(self.spans(file), start, end)}
        for number, span in enumerate(self.spans(file)):
            if number in chosen:
                parts.append(np.arange(at, at + span.rows))
            at += span.rows
        return np.concatenate(parts)

    def _read(
        self, file: FileEntry, names: Sequence[str], groups: Sequence[int], *, cache: bool
    ) -> pa.Table:
        found = self._cache.held(file.path, names, groups)
        missing = [name for name in names if any((g, name) not in found for g in groups)]
        if groups and not missing:
            return assembled(found, names, groups)
        # One file, not a data set: the folders' names are not columns.
        layout = self._layout(file)
        with pq.ParquetFile(
            self.place.open(file.path),
            metadata=layout.footer,
            page_checksum_verification=True,
            pre_buffer=layout.footer is not None,
            read_dictionary=list(layout.repeated),
        ) as opened:
            if not groups:
                return layout.schema.empty_table().select(list(names))
            read = opened.read_row_groups(list(groups), missing)
        plain = pa.schema([layout.schema.field(name) for name in read.column_names])
        read = read.cast(plain)
        fresh = by_group(read, layout.groups, groups)
        if cache:
            self._cache.remember(file.path, fresh)
        if len(missing) < len(names):
            return assembled(found | fresh, names, groups)
        return read.select(list(names))

    def _layout(self, file: FileEntry) -> Layout:
        layout = self._layouts.get(file.path)
        if layout is None:
            source = self.place.open(file.path)
            check_footer(source, file.path)
            layout = read_layout(source, TIME_FIELD[file.kind])
            if not layout.fits(file.rows, file.first, file.last):
                raise pa.ArrowInvalid("its footer is damaged")
            self._layouts[file.path] = layout
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
            raise self.unreadable(file, error) from error

    def keys(self, file: FileEntry) -> Keys:
        """Return the keys of a file's rows; made anew, in memory, if the key file is damaged.

        Raises
        ------
        StorageError
            If the file itself is damaged too.
        """
        keys = self._keys.get(file.path)
        if keys is None:
            path = key_path(file.path)
            try:
                keys = self._near_keys(path, file.rows)
            except AwayError as error:
                raise self.unreadable(file, error) from error
            except (OSError, ValueError) as error:
                logger.warning("key file %s %s: it is made anew", path, error)
                keys = make_keys(file.kind, self.read(file, IDENTITY[file.kind]), self.salt)
            self._keys.put(file.path, keys)
        return keys

    def _near_keys(self, path: str, rows: int) -> Keys:
        try:
            return read_keys(self.place.near(path), rows, check=True)
        except ValueError:
            if not self.place.drop(path):
                raise
            return read_keys(self.place.near(path), rows, check=True)

    def forget(self, file: FileEntry) -> None:
        """Let go of what is held of a file that is no longer part of the log."""
        self._layouts.pop(file.path, None)
        self._keys.forget(file.path)
        self._cache.forget(file.path)
        self.place.drop(file.path)

    def sweep(self, registered: set[str]) -> None:
        """Delete files that are not part of the log; only while nothing is written to it.

        Raises
        ------
        OSError
            If the disk failed, or the place does not answer.
        """
        self.place.tidy()
        for kind in Kind:
            for name in self.place.names(kind.name.lower()):
                path = PurePosixPath(name)
                if str(path.with_suffix(".parquet")) not in registered or path.suffix == ".tmp":
                    self.place.delete(name)

    def unreadable(self, file: FileEntry, error: Exception) -> StorageError:
        """Return what to raise if a file cannot be read: whether it is the file or its place."""
        with contextlib.suppress(OSError):
            self.place.size(file.path)  # else what was read piece by piece tells nothing of why
        if self.place.trouble:
            remedy = "nothing is lost; ask again once it can"
            return StorageError(
                f"the log file {file.path} with {file.rows:,} rows cannot be read: "
                f"{self.place.trouble}; {remedy}"
            )
        remedy = "homeostat data repair sets it aside"
        if self.place.most_keys is not None:
            remedy = f"ask again, and if it stays so: {remedy}"
        return StorageError(f"the log file {file.path} cannot be read: {error}; {remedy}")


def key_path(path: str) -> str:
    """Return the path of a file's key file."""
    return str(PurePosixPath(path).with_suffix(SUFFIX))


@dataclass
class _Told:
    """What is to be known of rows that are being written."""

    kind: Kind
    salt: int
    runs: Runs
    first: int = EVER[1]
    last: int = EVER[0]

    def see(self, table: pa.Table) -> pa.Table:
        times = micros(table, TIME_FIELD[self.kind])
        self.first, self.last = min(self.first, int(times.min())), max(self.last, int(times.max()))
        self.runs.add(*identities(self.kind, table, self.salt))
        return table


def write_pieces(pieces: Iterable[pa.Table], path: Path) -> None:
    """Write a columnar file, without syncing it; raises OSError."""
    rest = iter(pieces)
    table = next(rest, None)
    assert table is not None
    chosen = choose_encoding(table)
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", write_page_checksum=True, data_page_size=PAGE,
        use_dictionary=list(chosen.dictionaries),  # type: ignore[arg-type]
        column_encoding=chosen.encodings,
    ) as writer:  # fmt: skip
        while table is not None:
            writer.write_table(table, row_group_size=ROW_GROUP)
            table = None  # else it is held while the next one is made
            table = next(rest, None)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _known(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    held = set(schema.names)
    return [name for name in names if name in held]


def align(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns of `schema`: nulls where it has none that fits.

    The features of a model may have changed since the rows were written.
    """
    if table.schema.equals(schema):
        return table
    held = set(table.column_names)
    columns = [
        widened(table.column(field.name), field.type)
        if field.name in held
        else pa.chunked_array([pa.nulls(len(table), field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
