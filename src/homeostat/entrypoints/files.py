"""Parquet and CSV files that people hand in, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from homeostat.domain.errors import DataError, NotFoundError

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
BATCH = 65_536


def read_file(path: Path, most: int | None = None) -> pa.Table:
    """Return the rows of a file, at least `most` of them if it has so many.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it is empty, of another kind, or corrupt.
    """
    pieces: list[pa.Table] = []
    rows = 0
    for piece in pieces_of(path):
        pieces.append(piece)
        rows += piece.num_rows
        if most is not None and rows >= most:
            break
    if not rows:
        raise DataError(f"{path} has no rows; give a file with at least one row")
    return pa.concat_tables([to_microseconds(piece) for piece in pieces])


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
    if not path.exists():
        raise NotFoundError(f"there is no file {path}; check the path")
    if not path.is_file():
        raise DataError(f"{path} is not a file; give one Parquet or CSV file")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty; give a file with a header and rows")
    name = path.name.lower()
    try:
        if name.endswith(PARQUET):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH):
                    yield pa.Table.from_batches([batch])
        elif name.endswith(CSV):
            separator = "\t" if ".tsv" in name else ","
            options = pc_csv.ParseOptions(delimiter=separator)
            with pc_csv.open_csv(path, parse_options=options) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        else:
            known = ", ".join(PARQUET + CSV)
            raise DataError(f"{path} has an unknown kind; use a file that ends in {known}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be read: {reason}; check that it is whole") from error
