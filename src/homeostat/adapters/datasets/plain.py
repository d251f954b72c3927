"""Files row by row, as they are: nothing is guessed from other rows, and a bad row is only itself.

The text ``007`` stays text, so that an id keeps its zeros, and a row of a CSV file that has too
many cells is told beside those that can be read. `Dataset` reads whole columns instead.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.datasets.parts import Column
from homeostat.adapters.datasets.places import ARROW, KNOWN, LINES, PARQUET, Place, find_places
from homeostat.domain.errors import DataError

BATCH_ROWS = 32_768
_BLOCK = 4 << 20
_PEEK = 1 << 20
LONGEST_LINE = 16 << 20
"""Bytes of a JSON line beyond which the file is none of such lines."""
MOST_COLUMNS = 10_000
_PIECE = 1 << 20
_BATCH_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that has no columns: where it stands, its text and what is wrong with it."""

    row: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Consecutive rows of a file.

    Attributes
    ----------
    table : pyarrow.Table
        Those that could be read.
    rows : ndarray of int64
        Where each of them stands in the file, from 0.
    unread : tuple of Unread
        The others.
    """

    table: pa.Table
    rows: NDArray[np.int64]
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True)
class PlainFile:
    """One file: Parquet, Arrow, CSV or TSV, or JSON lines; the last two compressed or not.

    Attributes
    ----------
    place : Place
    """

    place: Place

    @property
    def name(self) -> str:
        """As people are told of it."""
        return self.place.name

    @property
    def modified(self) -> datetime | None:
        """When it was last written, to the microsecond; None if it is not on this machine."""
        if self.place.local is None:
            return None
        with self.place.reading():
            micros = self.place.local.stat().st_mtime_ns // 1000
        return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(
            microsecond=micros % 1_000_000
        )

    def digest(self) -> str:
        """Return 80 bits of its content's SHA-256, in hexadecimal."""
        found = hashlib.sha256()
        with self.place.reading(), self.place.open() as source:
            while piece := source.read(_PIECE):
                found.update(piece)
        return found.hexdigest()[:20]

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """Read front to back, at most `rows` rows at a time.

        Columns of CSV files are text; where values are separated by semicolons, so are numbers
        like 1,5 (as 1.5). JSON lines have the columns of all lines so far.

        Raises
        ------
        DataError
            If the file cannot be read, or names a column twice.
        """
        ending = self.place.ending
        if ending in LINES:
            return self._lines(rows)
        return self._typed(rows) if ending in PARQUET + ARROW else self._delimited(rows)

    def _typed(self, rows: int) -> Iterator[Batch]:
        from homeostat.adapters.datasets.arrow import ArrowPart  # noqa: PLC0415 - takes long
        from homeostat.adapters.datasets.parquet import ParquetPart  # noqa: PLC0415

        part: ParquetPart | ArrowPart
        if self.place.ending in PARQUET:
            part = ParquetPart(self.place)
            # A row may be a body of a megabyte.
            rows = max(1, min(rows, int(_BATCH_BYTES / max(1.0, part.row_bytes))))
        else:
            part = ArrowPart(self.place)
        _check(self.name, part.schema.names)
        start = 0
        for table in part.batches(part.schema.names, rows):
            yield Batch(table, np.arange(start, start + table.num_rows))
            start += table.num_rows

    def _delimited(self, rows: int) -> Iterator[Batch]:
        import pyarrow.csv as pc_csv  # noqa: PLC0415 - takes long

        from homeostat.adapters.datasets.delimited import (  # noqa: PLC0415
            MARKS,
            dialect,
            text_cells,
        )

        with self.place.reading(), self._source() as source:
            marks = "\t" if ".tsv" in self.place.ending else MARKS
            beginning = source.read(_PEEK)
        delimiter, decimal = dialect(beginning, marks)
        # Arrow takes minutes over a header of so many.
        _check_count(self.name, beginning.partition(b"\n")[0].count(delimiter.encode()) + 1)
        bad: list[Unread] = []

        def keep(row: pc_csv.InvalidRow) -> str:
            reason = f"has {row.actual_columns} cells, not {row.expected_columns}"
            bad.append(Unread((row.number or 2) - 2, row.text, reason))
            return "skip"

        def opened(types: dict[str, pa.DataType]) -> pc_csv.CSVStreamingReader:
            return pc_csv.open_csv(
                cast("IO[bytes]", self._source()),
                # With threads the rows' numbers are not known.
                read_options=pc_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                parse_options=pc_csv.ParseOptions(
                    delimiter=delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=keep,  # type: ignore[arg-type]
                ),
                convert_options=pc_csv.ConvertOptions(column_types=types),
            )

        with self.place.reading(), _explained(self.name):
            with opened({}) as reader:
                names = reader.schema.names
            _check(self.name, names)
            bad.clear()
            start = told = 0
            with opened(dict.fromkeys(names, pa.binary())) as reader:
                for block in reader:
                    table = text_cells(pa.Table.from_batches([block]))
                    if decimal == ",":
                        table = _with_points(table)
                    end = start + table.num_rows
                    fresh = told
                    # The parser reads ahead: rows of later blocks may be among the bad ones.
                    while told < len(bad) and bad[told].row < end:
                        told, end = told + 1, end + 1
                    mine = tuple(bad[fresh:told])
                    places = np.setdiff1d(np.arange(start, end), [one.row for one in mine])
                    start = end
                    yield from _cut(Batch(table, places, mine), rows)
            if bad[told:]:
                none = pa.table({name: pa.array([], pa.string()) for name in names})
                yield Batch(none, np.empty(0, np.int64), tuple(bad[told:]))

    def _lines(self, rows: int) -> Iterator[Batch]:
        names: dict[str, None] = {}
        held: list[tuple[int, bytes]] = []
        size = 0
        with self.place.reading(), self._source() as source:
            for number, line in enumerate(_split(source, self.name)):
                if not line.strip():
                    continue
                held.append((number, line))
                size += len(line)
                if len(held) >= rows or size >= _BLOCK:
                    yield _objects(held, names, self.name)
                    held, size = [], 0
            if held:
                yield _objects(held, names, self.name)

    def _source(self) -> pa.NativeFile:
        source = self.place.open()
        packed = self.place.ending.endswith(".gz")
        return pa.CompressedInputStream(source, "gzip") if packed else source


def _check_count(file: str, columns: int) -> None:
    if columns > MOST_COLUMNS:
        said = f"has {columns:,} columns or more; {MOST_COLUMNS:,} is the most"
        raise DataError(f"{file} {said}: is it a table with a header?")


def _check(file: str, names: Sequence[str]) -> None:
    _check_count(file, len(names))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        found = ", ".join(map(repr, twice))
        raise DataError(f"{file} names column {found} more than once; rename it")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say in our words that a row is too long."""
    try:
        yield
    except pa.ArrowInvalid as error:
        if "straddl" not in str(error):
            raise
        said = f"has a row of more than {_BLOCK:,} bytes"
        raise DataError(f"{name} {said}; is a quotation mark left open?") from error


def plain_files(location: str | Path) -> list[PlainFile]:
    r"""Return the files at a location, which may be a folder or an address; errors: `find_places`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "labels.csv").write_text("id,label\n007,1\n008,1,0\n009,0\n")
    >>> (file,) = plain_files(folder)
    >>> (batch,) = file.batches()
    >>> batch.table.to_pydict(), batch.rows.tolist(), batch.unread[0].reason
    ({'id': ['007', '009'], 'label': ['1', '0']}, [0, 2], 'has 3 cells, not 2')
    """
    return [PlainFile(place) for place in find_places(location, KNOWN + LINES)]


def _cut(batch: Batch, rows: int) -> Iterator[Batch]:
    for at in range(0, max(batch.table.num_rows, 1), rows):
        unread = batch.unread if at == 0 else ()
        yield Batch(batch.table.slice(at, rows), batch.rows[at : at + rows], unread)


def _with_points(table: pa.Table) -> pa.Table:
    import pyarrow.compute as pc  # noqa: PLC0415 - takes long

    for place, name in enumerate(table.column_names):
        column = table.column(place)
        points = pc.replace_substring_regex(column, r"^(-?\d+),(\d+)$", r"\1.\2")
        table = table.set_column(place, name, points)
    return table


def _split(source: pa.NativeFile, name: str) -> Iterator[bytes]:
    rest = b""
    while piece := source.read(_PIECE):
        first, *more = (rest + piece).split(b"\n")
        if not more and len(first) > LONGEST_LINE:
            said = f"has a line of more than {LONGEST_LINE:,} bytes"
            raise DataError(f"{name} {said}; write one JSON object a line")
        lines = [first, *more]
        rest = lines.pop()
        yield from lines
    if rest:
        yield rest


def _objects(lines: Sequence[tuple[int, bytes]], names: dict[str, None], file: str) -> Batch:
    found: list[dict[str, object]] = []
    places: list[int] = []
    unread: list[Unread] = []
    for number, line in lines:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            unread.append(Unread(number, line.decode(errors="replace"), f"is not JSON ({error})"))
            continue
        if isinstance(value, dict):
            found.append(value)
            places.append(number)
            if not value.keys() <= names.keys():
                names.update(dict.fromkeys(value))
                _check(file, list(names))
        else:
            unread.append(Unread(number, line.decode(errors="replace"), "is no JSON object"))
    columns = {name: _column([row.get(name) for row in found]) for name in names}
    table = pa.table(columns) if columns else pa.table({}).slice(0, 0)
    return Batch(table, np.asarray(places, np.int64), tuple(unread))


def _column(values: list[Any]) -> Column:
    try:
        found: pa.Array[Any] = pa.array(values)
        return pa.chunked_array([found])
    except (pa.ArrowException, OverflowError, TypeError):
        texts = [
            value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
            for value in values
        ]
        return pa.chunked_array([pa.array(texts, pa.string())])
