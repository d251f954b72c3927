"""CSV as lines of text: Spark splits the files, pyarrow parses them as it does on one machine."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from homeostat.adapters.datasets.delimited import text_cells
from homeostat.adapters.profilers.worker import gather
from homeostat.domain.model import ColumnKind
from homeostat.profiles.tallies import Chunks

BLOCK = 1 << 20  # bytes from which pyarrow decides on the types
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Lines:
    """Batches of lines as tables.

    A batch has the columns ``value``, a line, and ``file``: a number of its file if the line is in
    the file's first block, else null. The first line of each file is its header.

    Attributes
    ----------
    header : str
        Which every file must have.
    delimiter : str
    names : tuple of str
        All columns of the header, in order.
    types : mapping of str to pyarrow.DataType
        The columns to read.
    """

    header: str
    delimiter: str
    names: tuple[str, ...]
    types: Mapping[str, pa.DataType]

    def tables(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Yield parsed tables; raises ValueError for another header or a line that is no row."""
        seen: set[int] = set()
        for lines in gather(batches):
            values = cast("list[str]", lines.column("value").to_pylist())
            heads = self._heads(lines.column("file"), seen)
            self._check([values[head] for head in heads])
            for head in reversed(heads):
                del values[head]
            yield self._parse(values)

    @staticmethod
    def _heads(files: Chunks, seen: set[int]) -> list[int]:
        """Return where files begin, in ascending order."""
        numbers = pc.unique(files.drop_null()).to_numpy().tolist()
        new = [number for number in numbers if number not in seen]
        seen.update(new)
        return sorted(int(pc.index(files, number).as_py()) for number in new)

    def _check(self, headers: Iterable[str]) -> None:
        for header in headers:
            if header.removeprefix(_BOM) != self.header:
                raise ValueError(
                    f"the files differ in their headers: {self.header!r} and {header!r}; "
                    "give files with the same columns in the same order"
                )

    def _parse(self, lines: list[str]) -> pa.Table:
        if not self.types:
            return pa.table({"value": lines})
        if not lines:
            return pa.schema(list(self.types.items())).empty_table()
        convert = pc_csv.ConvertOptions(
            column_types=dict(self.types), include_columns=list(self.types)
        )
        return text_cells(_read(lines, self.delimiter, list(self.names), convert))


def infer_lines(sample: Iterable[str], delimiter: str, kinds: Mapping[str, ColumnKind]) -> Lines:
    """Return how to read the columns of `kinds` from files that begin with these lines.

    Types are those that pyarrow finds in the first MiB; numbers may have decimals later on.

    Raises
    ------
    ValueError
        If there is no header, a column is absent or there twice, or the lines are no table.

    Examples
    --------
    >>> kinds = {"amount": ColumnKind.NUMERIC, "shop": ColumnKind.CATEGORICAL}
    >>> infer_lines(["id,amount,shop", "7,15,a"], ",", kinds).types
    {'amount': DataType(double), 'shop': DataType(string)}
    """
    lines: list[str] = []
    left = BLOCK
    for line in sample:
        left -= len(line.encode()) + 1
        if lines and left < 0:
            break
        lines.append(line)
    if not lines:
        raise ValueError("there is no line to read; give files with a header and rows")
    lines[0] = lines[0].removeprefix(_BOM)
    found = _read(lines, delimiter, None, pc_csv.ConvertOptions()).schema
    twice = sorted(name for name in kinds if found.names.count(name) > 1)
    absent = [name for name in kinds if name not in found.names]
    if twice or absent:
        what = f"has columns twice: {twice[0]!r}" if twice else f"has no column {absent[0]!r}"
        raise ValueError(f"the header {what}; it has {', '.join(found.names)}")
    types = {name: _widened(found.field(name).type, kind) for name, kind in kinds.items()}
    return Lines(lines[0], delimiter, tuple(found.names), types)


def _widened(found: pa.DataType, kind: ColumnKind) -> pa.DataType:
    open_ended = pa.types.is_integer(found) or pa.types.is_null(found)
    if kind is ColumnKind.NUMERIC and open_ended:
        return pa.float64()
    if kind is ColumnKind.BOOLEAN and pa.types.is_null(found):
        return pa.bool_()
    return found


def _read(
    lines: list[str], delimiter: str, names: list[str] | None, convert: pc_csv.ConvertOptions
) -> pa.Table:
    text = io.BytesIO(("\n".join(lines) + "\n").encode())
    return pc_csv.read_csv(
        text,
        read_options=pc_csv.ReadOptions(use_threads=False, column_names=names),
        parse_options=pc_csv.ParseOptions(delimiter=delimiter),
        convert_options=convert,
    )
