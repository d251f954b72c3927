"""A table that lies in files: looked at, profiled, streamed or read whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.datasets.parquet import ParquetPart
from homeostat.adapters.datasets.parts import Column, MixedTypesError, Part
from homeostat.adapters.datasets.places import ARROW, PARQUET, Place, find_places
from homeostat.adapters.datasets.profiling import WORKERS, Order, Passage, Profiled
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.profile import Profile

BATCH_ROWS = 65_536


def open_dataset(location: str | Path) -> Dataset:
    r"""Open a file, a folder of files, or an address of either.

    Parameters
    ----------
    location : str or Path
        Parquet, CSV, TSV (also ``.gz``) or Arrow IPC (Feather), told by the ending of the name. A
        folder's files are read as one table, in the order of their paths. ``s3://``, ``gs://``,
        ``http(s)://`` and whatever else fsspec knows are read through it.

    Raises
    ------
    NotFoundError
        If there is nothing.
    DataError
        If a file is empty, damaged or of another kind, names a column twice, or has other columns
        than the files before it; the message names the file.
    UserError
        If a package is not installed that the kind of address needs; the message says which.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "monday.csv").write_text("amount,shop\n1.5,a\n2.5,b\n")
    >>> _ = (folder / "tuesday.csv").write_text("amount,shop\n3,b\n")
    >>> dataset = open_dataset(folder)
    >>> dataset.names
    ('amount', 'shop')
    >>> kinds = {"amount": ColumnKind.NUMERIC, "shop": ColumnKind.CATEGORICAL}
    >>> profile = dataset.profile(kinds).profile
    >>> profile.rows, profile.columns["amount"].sum, profile.columns["shop"].values
    (3, 7.0, {'a': 1, 'b': 2})
    """
    parts = [_part(place) for place in find_places(location)]
    for part in parts:
        twice = [name for name, count in Counter(part.schema.names).items() if count > 1]
        if twice:
            found = ", ".join(map(repr, twice))
            raise DataError(f"{part.place.name} names column {found} more than once; rename it")
    return Dataset(str(location), parts, _united(parts))


def open_one(location: str | Path, number: int, schema: pa.Schema) -> Dataset:
    """Open one of the files that `open_dataset` reads, as columns of its schema; raises as it."""
    return Dataset(str(location), [_part(find_places(location)[number])], schema)


class Dataset:
    """Files that are one table.

    Attributes
    ----------
    location : str
        As it was given.
    schema : pyarrow.Schema
        Columns in the order of the first file, of a type that holds every file's. The types of CSV
        files are those of their first 4 MB; a later value that does not fit makes its column text.
    """

    def __init__(self, location: str, parts: Sequence[Part], schema: pa.Schema) -> None:
        self.location, self.schema = location, schema
        self._parts = parts

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns; none comes twice."""
        return tuple(self.schema.names)

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self._parts)

    @property
    def rows(self) -> int | None:
        """How many rows there are; None if only reading them all could tell."""
        known = [part.rows for part in self._parts]
        return None if None in known else sum(rows or 0 for rows in known)

    def profile(
        self,
        kinds: Mapping[str, ColumnKind],
        *,
        personal: Collection[str] = (),
        sample: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> Profiled:
        """Summarise columns in one reading that holds little of them in memory at a time.

        A column that cannot be read as its kind is read again as text, and named among the
        problems; the others are not touched by it.

        Parameters
        ----------
        kinds : mapping of str to ColumnKind
            The columns to read.
        personal : collection of str
            As in `homeostat.profiles.build.profile_table`.
        sample : int
            Most rows to return as they are. They are chosen by their numbers only: spread evenly,
            the same for every column, file format and machine.
        progress : callable, optional
            Told, from this thread, which share of the work is done: from 0 to 1, never less
            than before.

        Returns
        -------
        Profiled

        Raises
        ------
        DataError
            If a column is absent, or a file cannot be read.
        """
        self._check(kinds)
        order = Order(kinds, self.schema, personal, sample, self.rows)
        with ThreadPoolExecutor(WORKERS) as pool:
            passage = self._pass(pool, order, progress or (lambda _: None))
            columns = passage.columns()
            again = {
                name: ColumnKind.CATEGORICAL
                for name in passage.problems
                if kinds[name] is not ColumnKind.CATEGORICAL
            }
            if again:
                text = self._pass(pool, Order(again, self.schema, personal), lambda _: None)
                columns |= text.columns()
        if progress:
            progress(1.0)
        profile = Profile(passage.rows, {name: columns[name] for name in kinds if name in columns})
        return Profiled(profile, passage.sample(), dict(passage.problems))

    def batches(
        self, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
    ) -> Iterator[pa.Table]:
        """Read front to back, at most `rows` rows at a time, in the types of `schema`.

        Raises
        ------
        DataError
            If a column is absent or of mixed types, or a file cannot be read.
        """
        names = self._check(self.names if columns is None else columns)
        for part in self._parts:
            for table in part.batches(names, rows):
                yield self._cast(table, part)

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows; a CSV column of mixed types becomes one of numbers, or of text.

        Raises
        ------
        DataError
            If a column is absent, or a file cannot be read.
        """
        names = self._check(self.names if columns is None else columns)
        try:
            tables = list(self.batches(names))
        except MixedTypesError:
            parts = [part.as_text() for part in self._parts]
            tables = [table for part in parts for table in part.batches(names, BATCH_ROWS)]
            return pa.table([self._settled(name, tables) for name in names], names=list(names))
        return pa.concat_tables([self._select(names).empty_table(), *tables])

    def _pass(
        self, pool: ThreadPoolExecutor, order: Order, progress: Callable[[float], None]
    ) -> Passage:
        passage = Passage(pool, order)
        whole = sum(part.place.size for part in self._parts) or 1
        before = 0
        for part in self._parts:
            size = part.place.size

            def tell(share: float, before: int = before, size: int = size) -> None:
                progress((before + share * size) / whole)

            passage.read(part, tell)
            before += size
        return passage

    def _check(self, columns: Collection[str]) -> list[str]:
        present = set(self.schema.names)
        absent = [name for name in columns if name not in present]
        if absent:
            found = ", ".join(map(repr, absent))
            raise DataError(f"{self.location} has no column {found}; check the names")
        return list(columns)

    def _select(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in names])

    def _cast(self, table: pa.Table, part: Part) -> pa.Table:
        columns: list[Column] = []
        for name in table.column_names:
            wanted = self.schema.field(name).type
            try:
                columns.append(table.column(name).cast(wanted))
            except pa.ArrowException as error:
                reason = str(error).partition("\n")[0]
                where = f"{part.place.name}: column {name!r}"
                raise DataError(f"{where} cannot be read as {wanted}: {reason}") from error
        return pa.table(columns, schema=self._select(table.column_names))

    def _settled(self, name: str, tables: Sequence[pa.Table]) -> Column:
        texts = [table.column(name).cast(pa.string()) for table in tables]
        column = pa.chunked_array([chunk for text in texts for chunk in text.chunks], pa.string())
        for kind in (self.schema.field(name).type, pa.float64()):
            try:
                return column.cast(kind)
            except pa.ArrowException:
                continue
        return column


def _part(place: Place) -> Part:
    # Each kind brings along parts of pyarrow that take long to import.
    if place.ending in PARQUET:
        return ParquetPart(place)
    if place.ending in ARROW:
        from homeostat.adapters.datasets.arrow import ArrowPart  # noqa: PLC0415

        return ArrowPart(place)
    from homeostat.adapters.datasets.delimited import DelimitedPart  # noqa: PLC0415

    return DelimitedPart(place)


def _united(parts: Sequence[Part]) -> pa.Schema:
    """Return a schema that holds every file's."""
    first = parts[0]
    fields = {
        item.name: pa.string() if item.type == pa.string_view() else item.type
        for item in first.schema
    }
    for part in parts[1:]:
        present = set(part.schema.names)
        missing = [name for name in fields if name not in present]
        beyond = [name for name in part.schema.names if name not in fields]
        for names, here, there in ((missing, part, first), (beyond, first, part)):
            if names:
                found = ", ".join(map(repr, names))
                raise DataError(
                    f"{here.place.name} has no column {found}, but {there.place.name} has; "
                    f"compare files of the same columns"
                )
        for item in part.schema:
            fields[item.name] = _common(fields[item.name], item, part)
    return pa.schema(list(fields.items()))


def _common(so_far: pa.DataType, item: pa.Field[pa.DataType], part: Part) -> pa.DataType:
    if so_far == item.type:
        return so_far
    kinds = [
        kind.value_type if isinstance(kind, pa.DictionaryType) else kind
        for kind in (so_far, item.type)
    ]
    try:
        schemas = [pa.schema([(item.name, kind)]) for kind in kinds]
        united: pa.DataType = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException as error:
        # Whether text looked like numbers in one file is chance.
        if part.guessed:
            return pa.string()
        raise DataError(
            f"{part.place.name}: column {item.name!r} is {item.type}, but {so_far} in the files "
            f"before it; make it one type"
        ) from error
    return united
