"""Parquet files, read a column of a few row groups at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.datasets.parts import CHUNK_BYTES, CHUNK_ROWS, Chunk, Job
from homeostat.adapters.datasets.places import Place

_LOCAL_BUFFER, _REMOTE_BUFFER = 1 << 20, 8 << 20  # bytes of a column chunk held at once
_JOB_VALUES = 1 << 19  # a job reads about so many values, or one column of some row groups


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive row groups that are read together."""

    start: int
    groups: tuple[int, ...]
    rows: int


class ParquetPart:
    """A Parquet file; it is read in any number of threads at once."""

    guessed = False

    def __init__(self, place: Place) -> None:
        self.place = place
        self._files = threading.local()
        with place.reading(), place.open() as source, pq.ParquetFile(source) as file:
            self._metadata = file.metadata
            self.schema: pa.Schema = file.schema_arrow
        texts = {item.name for item in self.schema if _is_text(item.type)}
        leaves = self._metadata.schema
        paths = (leaves.column(i).path for i in range(self._metadata.num_columns))
        self._texts = {path: i for i, path in enumerate(paths) if path in texts}

    @property
    def rows(self) -> int | None:
        """Rows, as the footer says."""
        return self._metadata.num_rows

    @property
    def row_bytes(self) -> float:
        """About how many bytes a row takes in memory."""
        groups = range(self._metadata.num_row_groups)
        size = sum(self._metadata.row_group(group).total_byte_size for group in groups)
        return size / max(1, self._metadata.num_rows)

    def as_text(self) -> ParquetPart:
        """Return this file: its types are known."""
        return self

    def jobs(self, columns: Sequence[str]) -> Iterator[Job]:
        """Divide by row groups and columns, so that little is decoded at once."""
        cells = max(1, self._metadata.num_rows * len(columns))
        for run in self._runs():
            width = max(1, _JOB_VALUES // max(1, run.rows))
            for first in range(0, len(columns), width):
                names = columns[first : first + width]
                yield self._job(run, names, run.rows * len(names) / cells)

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Read all columns of the row groups one after another."""
        # Reading ahead would hold the whole file before its last row is read.
        with (
            self.place.reading(),
            self.place.open() as source,
            pq.ParquetFile(source, pre_buffer=False, buffer_size=self._buffer) as file,
        ):
            for batch in file.iter_batches(rows, columns=list(columns)):
                yield pa.Table.from_batches([batch]).select(list(columns))

    def _job(self, run: _Run, names: Sequence[str], share: float) -> Job:
        def read() -> Iterator[Chunk]:
            at = run.start
            with self.place.reading(f"column {', '.join(map(repr, names))}"):
                batches = self._file().iter_batches(
                    self._batch_rows(run, names),
                    row_groups=list(run.groups),
                    columns=list(names),
                    use_threads=False,
                )
                for batch in batches:
                    # A name with a dot may have brought the fields of a nested column along.
                    table = pa.Table.from_batches([batch]).select(list(names))
                    yield Chunk(at, at + batch.num_rows, table)
                    at += batch.num_rows

        return Job(read, share)

    def _runs(self) -> Iterator[_Run]:
        start = rows = 0
        groups: list[int] = []
        for group in range(self._metadata.num_row_groups):
            groups.append(group)
            rows += self._metadata.row_group(group).num_rows
            if rows >= CHUNK_ROWS:
                yield _Run(start, tuple(groups), rows)
                start, groups, rows = start + rows, [], 0
        if rows:
            yield _Run(start, tuple(groups), rows)

    def _batch_rows(self, run: _Run, names: Sequence[str]) -> int:
        """Return rows of about `CHUNK_BYTES`, going by the first of the row groups."""
        group = self._metadata.row_group(run.groups[0])
        found = [group.column(self._texts[name]) for name in names if name in self._texts]
        width = sum(column.total_uncompressed_size for column in found) / max(1, group.num_rows)
        return max(1024, min(CHUNK_ROWS, int(CHUNK_BYTES / max(1.0, width))))

    @property
    def _buffer(self) -> int:
        return _LOCAL_BUFFER if self.place.local else _REMOTE_BUFFER

    def _file(self) -> pq.ParquetFile:
        """Return the file as opened by this thread."""
        if not hasattr(self._files, "file"):
            self._files.file = pq.ParquetFile(
                self.place.open(),
                metadata=self._metadata,
                read_dictionary=list(self._texts),
                buffer_size=self._buffer,
            )
        file: pq.ParquetFile = self._files.file
        return file


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
