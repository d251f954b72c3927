"""Tables of the records as Parquet files: the same from SQLite and from PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from homeostat.adapters.records.tables import (
    log_files,
    log_removed,
    log_segments,
    metadata,
)
from homeostat.domain.errors import ConflictError

BATCH = 10_000
LEFT_OUT = frozenset({log_segments.name, log_removed.name})
"""Tables about what is not backed up: segments that have not been rolled, files that are gone."""
NOT_EMPTY = "the records database is not empty; a restore never overwrites: name another one"

_TYPES: Mapping[type[object], pa.DataType] = {
    int: pa.int64(),
    str: pa.string(),
    bytes: pa.binary(),
}


def revision(connection: sa.Connection) -> str:
    """Return the schema's revision."""
    query = sa.text("SELECT version_num FROM alembic_version")
    return str(connection.execute(query).scalar_one())


def dump(connection: sa.Connection, folder: Path) -> dict[str, int]:
    """Write every table, as one transaction sees them; return how many rows each has.

    Raises
    ------
    OSError
        If the disk failed or is full.
    """
    return {
        table.name: _dump(connection, table, folder / f"{table.name}.parquet")
        for table in metadata.sorted_tables
        if table.name not in LEFT_OUT
    }


def _dump(connection: sa.Connection, table: sa.Table, path: Path) -> int:
    schema = _schema(table)
    found = connection.execution_options(yield_per=BATCH).execute(sa.select(table))
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in found.mappings().partitions():
            writer.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema))
            count += len(rows)
    return count


def _schema(table: sa.Table) -> pa.Schema:
    return pa.schema([(c.name, _TYPES[c.type.python_type]) for c in table.columns])


def log_paths(folder: Path) -> list[str]:
    """Return the log's files that a dumped catalogue names, relative to the log."""
    return [str(path) for path in _column(folder / f"{log_files.name}.parquet", "path")]


def _column(path: Path, name: str) -> list[object]:
    return pq.ParquetFile(path).read([name]).column(name).to_pylist()


def is_empty(connection: sa.Connection) -> bool:
    """Say whether nothing has been recorded yet."""
    return all(
        connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is None
        for table in metadata.sorted_tables
    )


def load(connection: sa.Connection, folder: Path) -> None:
    """Fill empty tables with what `dump` wrote.

    Raises
    ------
    ConflictError
        If a table is not empty.
    """
    if not is_empty(connection):
        raise ConflictError(NOT_EMPTY)
    for table in metadata.sorted_tables:
        path = folder / f"{table.name}.parquet"
        if table.name in LEFT_OUT:
            continue
        for rows in _batches(path):
            connection.execute(sa.insert(table), rows)
        if connection.dialect.name == "postgresql" and "number" in table.columns:
            _go_on(connection, table)


def _batches(path: Path) -> Iterator[list[dict[str, object]]]:
    for batch in pq.ParquetFile(path).iter_batches(BATCH):
        yield batch.to_pylist()


def _go_on(connection: sa.Connection, table: sa.Table) -> None:
    """Have the next row's number follow the last one's, as SQLite does by itself."""
    highest = connection.execute(sa.select(sa.func.max(table.c.number))).scalar()
    if highest is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, "number")
        connection.execute(sa.select(sa.func.setval(sequence, highest)))
