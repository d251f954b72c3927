"""The log published as Delta tables: each row once, each time only what is new.

A model becomes two tables, ``predictions`` and ``labels`` (outcomes among them), partitioned by the
day of ``timestamp`` and ``arrival``. How far the log was published stands in the tables themselves,
as the version of a Delta transaction, which is the number of a file in the catalogue: a commit
holds both, or neither. Files that came later may hold rows that were published from files which
they replace; those are known by the hashes of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import Keys, identities, in_key_order
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.parquet import DAY as DAY_MICROS
from homeostat.adapters.predlog.parquet import IDENTITY, TIME_FIELD
from homeostat.adapters.predlog.rewrite import groups
from homeostat.domain.columns import micros
from homeostat.domain.errors import DataError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import OUTCOME_SCHEMA

if TYPE_CHECKING:
    from deltalake import DeltaTable

DAY = "_day"
"""Partition column: the day of the time, in UTC."""
ROWS_AT_ONCE = 1_000_000
"""Rows of files that are published in one commit, about."""


@dataclass(frozen=True, slots=True)
class Published:
    """Rows that were added."""

    predictions: int
    labels: int


def publish(
    log: FilePredictionLog,
    spec: ModelSpec,
    target: str,
    now: datetime,
    *,
    everything: bool = False,
    at_once: int = ROWS_AT_ONCE,
) -> Published:
    """Add to the Delta tables of a model what is new in the log.

    May be stopped at any moment and called again: no row is lost or there twice.

    Parameters
    ----------
    log, spec
        What to publish.
    target : str
        Folder or address that deltalake knows, such as ``s3://bucket/fraud``.
    now : datetime
    everything : bool
        Look at all files again, not only at those that came since the last time: for a log that
        was restored from an older backup.
    at_once : int
        Rows of one commit, about.

    Raises
    ------
    DataError
        If a column has changed its type, or the table at the target is of another model.
    StorageError
        If a file is damaged, or the target cannot be read or written.
    """
    # Files that are replaced meanwhile are kept until the end.
    with log.still(now):
        done = [
            _Table(log, kind, spec.name, f"{target.rstrip('/')}/{kind.name.lower()}").publish(
                everything=everything, at_once=at_once
            )
            for kind in (Kind.PREDICTIONS, Kind.LABELS)
        ]
    return Published(*done)


@dataclass(frozen=True, slots=True)
class _Table:
    log: FilePredictionLog
    kind: Kind
    model: str
    target: str

    @property
    def application(self) -> str:
        return f"homeostat/{self.model}/{self.kind.name.lower()}"

    def publish(self, *, everything: bool, at_once: int) -> int:
        import deltalake.exceptions  # noqa: PLC0415 - an extra

        rows = 0
        try:
            table = self._open()
            done = 0 if table is None else table.transaction_version(self.application) or 0
            found, last = self.log.upkeep.catalogue.added_after(0 if everything else done)
            mine = [f for f in found if f.kind is self.kind and f.model == self.model]
            batches = list(_batches(mine, at_once))
            for place, files in enumerate(batches):
                # The last commit says how far it got: what came before it is known by its ids.
                end = last if place == len(batches) - 1 else None
                rows += self._commit(table, files, end)
                table = deltalake.DeltaTable(self.target)
        except (deltalake.exceptions.DeltaError, OSError) as error:
            raise StorageError(f"the Delta table {self.target}: {error}") from error
        return rows

    def _open(self) -> DeltaTable | None:
        from deltalake import DeltaTable  # noqa: PLC0415

        if not DeltaTable.is_deltatable(self.target):
            return None
        table = DeltaTable(self.target)
        name = table.metadata().name
        if name != self.model:
            remedy = "give each model a place of its own"
            raise DataError(f"the Delta table {self.target} is of {name!r}; {remedy}")
        return table

    def _commit(self, table: DeltaTable | None, files: Sequence[FileEntry], end: int | None) -> int:
        """Publish the rows of files that are not there yet, in one commit; return how many."""
        from deltalake import CommitProperties, Transaction, write_deltalake  # noqa: PLC0415

        store = self.log.upkeep.store
        schema = self._schema(table, files)
        known = self._known(table, files)
        fresh = _missing({file.path: store.keys(file) for file in files}, known)
        rows = sum(int(np.count_nonzero(mask)) for mask in fresh.values())
        moves = [] if end is None else [Transaction(self.application, end)]
        properties = CommitProperties(app_transactions=moves)
        if rows:
            pieces = (
                batch
                for file in files
                if fresh[file.path].any()
                for batch in self._rows(file, fresh[file.path], schema).to_batches()
            )
            write_deltalake(
                self.target,
                pa.RecordBatchReader.from_batches(schema, pieces),
                mode="append",
                schema_mode="merge",
                partition_by=[DAY],
                name=self.model,
                commit_properties=properties,
            )
        elif table is not None and moves:
            table.create_write_transaction(
                [], "append", table.schema(), [DAY], commit_properties=properties
            )
        return rows

    def _schema(self, table: DeltaTable | None, files: Sequence[FileEntry]) -> pa.Schema:
        """Return all columns of the files, as the table is to have them."""
        there = {} if table is None else _types(_arrow_schema(table))
        found: dict[str, pa.DataType] = {}
        for file in files:
            for name, kind in _types(self.log.upkeep.store.schema(file)).items():
                before = there.get(name, found.get(name, kind))
                if before != kind:
                    remedy = "publish to another place from now on"
                    said = f"column {name!r} is {before} in {self.target} and {kind} in the log"
                    raise DataError(f"{said}; {remedy}")
                found[name] = kind
        if self.kind is Kind.LABELS:
            found.update(_types(OUTCOME_SCHEMA))
        if any(DAY in self.log.upkeep.store.schema(file).names for file in files):
            raise DataError(f"the model has a column {DAY!r}, by which the table is divided")
        return pa.schema([*found.items(), (DAY, pa.string())])

    def _known(self, table: DeltaTable | None, files: Sequence[FileEntry]) -> Keys:
        """Return the keys of what is published of the days that the files have."""
        empty = np.empty(0, np.uint64)
        keys, details = [empty], [empty]
        days = sorted({day for file in files for day in _days(file)})
        if table is not None:
            inside = pc.field(DAY).isin(days)
            names = list(IDENTITY[self.kind])
            for batch in table.to_pyarrow_dataset().to_batches(columns=names, filter=inside):
                found = identities(
                    self.kind, pa.Table.from_batches([batch]), self.log.upkeep.store.salt
                )
                keys.append(found[0])
                details.append(found[1])
        joined = np.concatenate(keys)
        places = np.zeros(len(joined), np.uint32)
        return in_key_order(joined, np.concatenate(details), places)

    def _rows(self, file: FileEntry, fresh: NDArray[np.bool_], schema: pa.Schema) -> pa.Table:
        tables, at = [], 0
        for group in groups(self.log.upkeep.store, file):
            kept = group.filter(pa.array(fresh[at : at + len(group)]))
            at += len(group)
            tables.append(self._shaped(kept, schema))
        return pa.concat_tables(tables)

    def _shaped(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        columns: list[pa.ChunkedArray[pa.Scalar[pa.DataType]]] = []
        for field in schema:
            if field.name == DAY:
                days = micros(rows, TIME_FIELD[self.kind]) // DAY_MICROS
                columns.append(pa.chunked_array([pa.array(_dates(days), pa.string())]))
            elif field.name in rows.column_names:
                columns.append(rows.column(field.name).cast(field.type))
            else:
                absent = "" if field.name == "outcome" else None
                value = pa.scalar(absent, field.type)
                columns.append(pa.chunked_array([pa.repeat(value, len(rows))]))
        return pa.Table.from_arrays(columns, schema=schema)


def _types(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the type of each column, dictionaries as what they stand for."""
    return {
        field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        for field in schema
        if field.name != DAY
    }


def _batches(files: Iterable[FileEntry], rows: int) -> Iterator[list[FileEntry]]:
    """Yield files in their order, of about so many rows together."""
    batch: list[FileEntry] = []
    for file in files:
        if batch and sum(one.rows for one in batch) + file.rows > rows:
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _days(file: FileEntry) -> list[str]:
    days = np.arange(file.first // DAY_MICROS, file.last // DAY_MICROS + 1)
    return [str(day) for day in _dates(days)]


def _dates(days: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.datetime_as_string(days.astype("datetime64[D]"))


def _arrow_schema(table: DeltaTable) -> pa.Schema:
    found: object = pa.schema(table.schema().to_arrow())  # type: ignore[arg-type]
    assert isinstance(found, pa.Schema)
    return found


def _missing(files: Mapping[str, Keys], known: Keys) -> dict[str, NDArray[np.bool_]]:
    """Return which rows of each file are not published; of rows that repeat the first one is."""
    keys, details = (
        np.concatenate([getattr(part, name) for part in files.values()])
        for name in ("keys", "details")
    )
    order = np.lexsort((details, keys))
    again = np.zeros(len(keys), np.bool_)
    again[order[1:]] = (np.diff(keys[order]) == 0) & (np.diff(details[order]) == 0)
    found, at = dict[str, NDArray[np.bool_]](), 0
    for path, part in files.items():
        mask = np.empty(len(part), np.bool_)
        there = known.find(part.keys, part.details)[0] | again[at : at + len(part)]
        mask[part.rows] = ~there
        found[path], at = mask, at + len(part)
    return found
