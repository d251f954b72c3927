"""Files that people hand in as histories, labels or examples of their data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.datasets import Dataset, open_dataset
from homeostat.domain.errors import DataError


def read_file(path: Path, most: int | None = None) -> pa.Table:
    """Return the rows of a file, at least `most` of them if it has so many.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it is empty, of another kind, or corrupt.
    """
    dataset = _open(path)
    table = dataset.to_table() if most is None else _first(dataset, most)
    if not table.num_rows:
        raise DataError(f"{path} has no rows; give a file with at least one row")
    return to_microseconds(table)


def to_microseconds(table: pa.Table) -> pa.Table:
    """Return the table with nanosecond times, as pandas writes them, cut to microseconds."""
    for place, field in enumerate(table.schema):
        kind = field.type
        if isinstance(kind, pa.TimestampType) and kind.unit == "ns":
            cut = table.column(place).cast(pa.timestamp("us", kind.tz), safe=False)
            table = table.set_column(place, field.name, cut)
    return table


def pieces_of(path: Path) -> Iterator[pa.Table]:
    """Yield a file's rows in tables of bounded size; errors as `read_file`."""
    yield from _open(path).batches()


def _open(path: Path) -> Dataset:
    if path.is_dir():
        raise DataError(f"{path} is not a file; give one Parquet, CSV or Arrow file")
    return open_dataset(path)


def _first(dataset: Dataset, most: int) -> pa.Table:
    pieces = [dataset.schema.empty_table()]
    rows = 0
    for piece in dataset.batches():
        pieces.append(piece)
        rows += piece.num_rows
        if rows >= most:
            break
    return pa.concat_tables(pieces)
