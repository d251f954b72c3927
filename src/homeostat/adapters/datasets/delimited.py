"""CSV and TSV files, compressed or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from homeostat.adapters.datasets.parts import Column, Job, MixedTypesError, slices
from homeostat.adapters.datasets.places import Place

_BLOCK = 4 << 20  # bytes parsed at once; types are inferred from the first block
_PEEK = 1 << 16  # bytes by which to tell how a file is written
MARKS = ",;\t|"
_COMMA_NUMBER = re.compile(rb"-?\d+,\d+")
_POINT_NUMBER = re.compile(rb"-?\d+\.\d+")
_CONVERSION = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?(.*conversion error.*)")


class DelimitedPart:
    """A CSV or TSV file.

    The header tells what separates values: commas, semicolons, tabs or bars; where it is not
    commas, numbers may be written as 1,5. Empty cells are null, in text columns too. Bytes that are
    not UTF-8 become U+FFFD. Types are inferred from the first block. A later value that does not
    fit raises `MixedTypesError`; the same file `as_text` has columns of text only, and never does.
    """

    rows = None
    guessed = True

    def __init__(self, place: Place, *, text: bool = False) -> None:
        self.place = place
        self._types: dict[str, pa.DataType] = {}
        with self._reading(), self._source() as source:
            marks = "\t" if ".tsv" in place.ending else MARKS
            self._delimiter, self._decimal = dialect(source.read(_PEEK), marks)
        with self._open() as reader, self._reading():
            inferred = reader.schema
            names = inferred.names  # decoded here: a header may be no text
        if text:
            self._types = dict.fromkeys(names, pa.binary())
        kinds = [
            pa.string() if text or pa.types.is_binary(kind) else kind for kind in inferred.types
        ]
        self.schema: pa.Schema = pa.schema(zip(names, kinds, strict=True))

    def as_text(self) -> DelimitedPart:
        """Return the same file with every column read as text."""
        return DelimitedPart(self.place, text=True)

    def jobs(self, columns: Sequence[str]) -> Iterator[Job]:
        """Parse block by block; what is done with a block can be done beside the parsing."""
        start = 0
        for table, share in self._tables(columns):
            yield from slices(table, start, share)
            start += table.num_rows

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Parse block by block."""
        for table, _ in self._tables(columns):
            for at in range(0, table.num_rows, rows):
                yield table.slice(at, rows)

    def _tables(self, columns: Sequence[str]) -> Iterator[tuple[pa.Table, float]]:
        with self._open(columns) as reader, self._reading():
            for batch in reader:
                # The parser reads ahead, so its place in the file tells nothing.
                share = batch.nbytes / max(1, self.place.size)
                yield text_cells(pa.Table.from_batches([batch]).select(list(columns))), share

    def _open(self, columns: Sequence[str] = ()) -> pc_csv.CSVStreamingReader:
        with self._reading():
            return pc_csv.open_csv(
                cast("IO[bytes]", self._source()),
                read_options=pc_csv.ReadOptions(block_size=_BLOCK),
                parse_options=pc_csv.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=True
                ),
                convert_options=pc_csv.ConvertOptions(
                    column_types=self._types,
                    include_columns=list(columns),
                    decimal_point=self._decimal,
                ),
            )

    def _source(self) -> pa.NativeFile:
        source = self.place.open()
        packed = self.place.ending.endswith(".gz")
        return pa.CompressedInputStream(source, "gzip") if packed else source

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self.place.reading():
            try:
                yield
            except pa.ArrowInvalid as error:
                found = _CONVERSION.search(str(error))
                if found is None:
                    raise
                name = self.schema.names[int(found[1])]
                raise MixedTypesError(
                    f"{self.place.name}: column {name!r} has values of several types: {found[2]}; "
                    f"make them one type"
                ) from error


def dialect(beginning: bytes, marks: str = MARKS) -> tuple[str, str]:
    r"""Return which of the marks separates values, and what a number's decimal point is.

    Examples
    --------
    >>> dialect(b"day;price\n1;2,50\n"), dialect(b"day,price\n1,2.50\n")
    ((';', ','), (',', '.'))
    """
    header, _, rest = beginning.partition(b"\n")
    named = re.sub(rb'"[^"]*"', b"", header)
    delimiter = max(marks, key=lambda mark: named.count(mark.encode()))
    if delimiter == ",":
        return delimiter, "."
    cells = re.split(rb"[\r\n]+|" + re.escape(delimiter.encode()), rest)
    with_comma = any(_COMMA_NUMBER.fullmatch(cell.strip(b'"')) for cell in cells)
    with_point = any(_POINT_NUMBER.fullmatch(cell.strip(b'"')) for cell in cells)
    return delimiter, "," if with_comma and not with_point else "."


def text_cells(table: pa.Table) -> pa.Table:
    """Return the table with text for bytes, and null for empty text."""
    for place, item in enumerate(table.schema):
        if pa.types.is_binary(item.type) or pa.types.is_string(item.type):
            column = _decoded(table, place)
            empty = pc.equal(column, pa.scalar(""))
            if pc.any(empty).as_py():
                column = pc.if_else(empty, pa.scalar(None, pa.string()), column)
            table = table.set_column(place, item.name, column)
    return table


def _decoded(table: pa.Table, place: int) -> Column:
    column = table.column(place)
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        found = cast("list[bytes | None]", column.to_pylist())
        texts = [value and value.decode(errors="replace") for value in found]
        return pa.chunked_array([pa.array(texts, pa.string())])
