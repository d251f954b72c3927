"""What the footer of a columnar file says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.predlog.place import Source

EVER = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Span:
    """A row group: its first and last time, and its rows."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What a file's footer says; ``repeated`` are columns of texts of which few are distinct.

    ``footer`` is the footer itself, kept if the file is not of this machine.
    """

    schema: pa.Schema
    groups: tuple[Span, ...]
    repeated: tuple[str, ...]
    footer: pq.FileMetaData | None = None

    def fits(self, rows: int, first: int, last: int) -> bool:
        """Whether a file of so many rows, in order of time from `first` to `last`, says this."""
        times = [time for span in self.groups for time in (span.first, span.last)]
        known = bool(times) and EVER[0] not in times
        return (
            sum(span.rows for span in self.groups) == rows
            and (not known or (times[0], times[-1]) == (first, last))
            and (not known or times == sorted(times))
        )


def chosen_groups(
    groups: Sequence[Span], start: int | None, end: int | None
) -> Iterator[tuple[int, Span]]:
    """Yield the row groups that may have a time in [start, end), with their numbers."""
    for number, span in enumerate(groups):
        if (end is None or span.first < end) and (start is None or span.last >= start):
            yield number, span


def read_layout(source: Source, time: str) -> Layout:
    """Read a file's footer; raises OSError or ArrowException."""
    with pq.ParquetFile(source) as opened:
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
                # As they are stored: a date of Python's cannot hold every time.
                first, last = int(bounds.min_raw or 0), int(bounds.max_raw or 0)
                groups.append(Span(first, last, group.num_rows))
        repeated = _repeated(schema, metadata)
    footer = None if isinstance(source, Path) else metadata
    return Layout(schema, tuple(groups), repeated, footer)


def _repeated(schema: pa.Schema, metadata: pq.FileMetaData) -> tuple[str, ...]:
    """Return the text columns that take so little room that most values are written once."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    places = {metadata.schema.column(n).path: n for n in range(metadata.num_columns)}
    return tuple(
        field.name
        for field in schema
        if pa.types.is_string(field.type)
        and all(
            g.column(places[field.name]).total_uncompressed_size <= 4 * g.num_rows for g in groups
        )
    )
