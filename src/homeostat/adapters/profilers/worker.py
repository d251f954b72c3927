"""What one task does: rows in, parts that add up out, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.profilers.parts import Cell, Part, add, decode, encode, weight
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.cast import read_columns
from homeostat.profiles.profile import Profile, category_rank
from homeostat.profiles.tallies import Chunks

PARTS = "start bigint, segment string, part binary, problem string"
"""Columns of what tasks hand on, as Spark writes a schema."""

_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("start", pa.int64()),
    ("segment", pa.string()),
    ("part", pa.binary()),
    ("problem", pa.string()),
)
_PARTS = pa.schema(_FIELDS)
_ROWS = 1 << 16  # rows profiled in one go; Spark's batches are smaller than is economical
_BYTES = 1 << 25  # and what they may weigh, for tables of a thousand columns
_HELD = 1 << 26  # bytes of parts that a task keeps before it hands them on


class Source(Protocol):
    """Makes tables of named columns from the batches that Spark sends."""

    def tables(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Yield tables; raises ValueError if a batch cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Renamed:
    """Batches of a data frame; `names` are its columns' real names, in order.

    Examples
    --------
    >>> batch = pa.record_batch({"c0": [1, 2]})
    >>> next(Renamed(("amount",)).tables([batch])).column_names
    ['amount']
    """

    names: tuple[str, ...]

    def tables(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Yield tables whose times are in UTC, so that the session's zone leaves no trace."""
        for table in gather(batches):
            columns = [_in_utc(column) for column in table.columns[: len(self.names)]]
            yield pa.table(columns, names=list(self.names)) if columns else table


@dataclass(frozen=True, slots=True)
class Cut:
    """How rows divide: windows of `every` microseconds by `timestamp`, and columns of segments."""

    timestamp: str
    every: int
    segments: tuple[str, ...] = ()


class Work(Protocol):
    """What is made of rows."""

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield parts that add up; raises ValueError if the rows cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class Profiling:
    """Profiles of rows: as work, of one window and segment each.

    Examples
    --------
    >>> work = Profiling({"amount": ColumnKind.NUMERIC})
    >>> [(cell, part.rows) for cell, part in work.cells(pa.table({"amount": [1.0, 2.0]}))]
    [((0, '[]'), 2)]
    """

    kinds: Mapping[str, ColumnKind]
    personal: frozenset[str] = frozenset()
    cut: Cut | None = None

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield the profile of each cell's rows."""
        for cell, rows in self._parted(table):
            yield cell, profile_table(rows, self.kinds, self.personal)

    def _parted(self, table: pa.Table) -> Iterator[tuple[Cell, pa.Table]]:
        if self.cut is None:
            yield (0, "[]"), table
            return
        starts, places = np.unique(_starts(table, self.cut), return_inverse=True)
        labels = [_labels(table, name, hide=name in self.personal) for name in self.cut.segments]
        codes = places.astype(np.int64)
        for values, known in labels:
            codes = codes * len(known) + values
        order = np.argsort(codes, kind="stable")
        table = table.take(order)
        begins = np.flatnonzero(np.diff(codes[order], prepend=-1)).tolist()
        for begin, end in zip(begins, [*begins[1:], order.size], strict=True):
            row = order[begin]
            segment = json.dumps([known[values[row]] for values, known in labels])
            yield (int(starts[places[row]]), segment), table.slice(begin, end - begin)


@dataclass(frozen=True, slots=True)
class ReadProfiling:
    """The profile of rows whose values are read as `hs.profile` reads them: as work.

    What is no number, or neither yes nor no, is missing.

    Examples
    --------
    >>> work = ReadProfiling({"paid": ColumnKind.BOOLEAN})
    >>> ((_, part),) = work.cells(pa.table({"paid": ["yes", "no", "perhaps"]}))
    >>> part.rows, part.columns["paid"].missing
    (3, 1)
    """

    kinds: Mapping[str, ColumnKind]

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Profile]]:
        """Yield the profile; raises ValueError if a column's type cannot be read as its kind."""
        read, readings = read_columns(table, self.kinds)
        for name, reading in readings.items():
            if reading.error:
                raise ValueError(f"column {name!r} as {self.kinds[name]}: {reading.error}")
        yield (0, "[]"), replace(profile_table(read, self.kinds), rows=table.num_rows)


@dataclass(frozen=True, slots=True)
class Job:
    """What each task of Spark computes."""

    source: Source
    work: Work

    def parts(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the parts of a partition's rows, or in the end the problem that stopped it.

        A cell may come several times: what is held is handed on when it grows large.
        """
        try:
            for held in worked(self.source.tables(batches), self.work):
                yield _handed_on(held)
        except ValueError as error:
            yield _problem(str(error))


def worked(tables: Iterable[pa.Table], work: Work) -> Iterator[dict[Cell, Part]]:
    """Yield the parts of tables, of bounded size; a cell may come several times."""
    held: dict[Cell, Part] = {}
    for table in tables:
        for cell, part in work.cells(table):
            held[cell] = add(held[cell], part) if cell in held else part
        if sum(map(weight, held.values())) > _HELD:
            yield held
            held = {}
    yield held


def merge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield one part for each cell among those of many tasks, or the first problem."""
    held: dict[Cell, Part] = {}
    problems: set[str] = set()
    for batch in batches:
        parts = pa.Table.from_batches([batch.select(_PARTS.names)]).to_pylist()
        arrived: dict[Cell, list[Part]] = {}
        for part in parts:
            if part["problem"] is not None:
                problems.add(part["problem"])
            else:
                cell = part["start"], part["segment"]
                arrived.setdefault(cell, []).append(decode(part["part"]))
        for cell, found in arrived.items():
            held[cell] = add(*((held[cell],) if cell in held else ()), *found)
    yield _problem(min(problems)) if problems else _handed_on(held)


def gather(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the same rows in larger tables of bounded size."""
    pieces: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        pieces.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _ROWS or size >= _BYTES:
            yield pa.Table.from_batches(pieces)
            pieces, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(pieces)


def _in_utc(column: Chunks) -> Chunks:
    kind = column.type
    if isinstance(kind, pa.TimestampType) and kind.tz is not None:
        return cast("Chunks", column.cast(pa.timestamp(kind.unit, "UTC")))
    return column


def _starts(table: pa.Table, cut: Cut) -> NDArray[np.int64]:
    """Return the start of each row's window, in microseconds."""
    moments = table.column(cut.timestamp)
    if moments.null_count:
        raise ValueError(
            f"column {cut.timestamp!r} is null in some rows, which then belong to no window; "
            "filter them out first"
        )
    zone = moments.type.tz if isinstance(moments.type, pa.TimestampType) else None
    micros = moments.cast(pa.timestamp("us", zone)).cast(pa.int64()).to_numpy()
    return cast("NDArray[np.int64]", micros // cut.every * cut.every)


def _labels(
    table: pa.Table, name: str, *, hide: bool
) -> tuple[NDArray[np.int64], list[str | None]]:
    """Return each row's place in the list of the column's values, and that list."""
    texts = table.column(name).cast(pa.string()).combine_chunks()
    coded = texts.dictionary_encode("encode")
    known: list[str | None] = coded.dictionary.to_pylist()
    if hide:
        known = [None if text is None else f"#{category_rank(text):016x}" for text in known]
    return coded.indices.to_numpy().astype(np.int64), known


def _handed_on(held: Mapping[Cell, Part]) -> pa.RecordBatch:
    parts = [(start, segment, encode(held[start, segment]), None) for start, segment in held]
    return _batch(parts)


def _problem(text: str) -> pa.RecordBatch:
    return _batch([(0, "[]", None, text)])


def _batch(parts: Sequence[tuple[int, str, bytes | None, str | None]]) -> pa.RecordBatch:
    names = _PARTS.names
    rows = [dict(zip(names, part, strict=True)) for part in parts]
    return pa.RecordBatch.from_pylist(rows, schema=_PARTS)
