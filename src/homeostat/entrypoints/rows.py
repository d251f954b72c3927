"""Rows that can be read more than once, and summarised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from homeostat.adapters.datasets import Dataset
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.cast import Reading, Readings, family, read_columns
from homeostat.profiles.infer import Inference, infer_kinds, names_individuals
from homeostat.profiles.profile import EMPTY, ColumnProfile, Profile, merge_all

Progress: TypeAlias = Callable[[int], None]
Kinds: TypeAlias = Mapping[str, ColumnKind]

SAMPLE = 50_000
BLOCKS = 50
AS_IT_IS = {
    "number": ColumnKind.NUMERIC,
    "text": ColumnKind.CATEGORICAL,
    "boolean": ColumnKind.BOOLEAN,
}


def unheard(rows: int) -> None:
    """Take note of nothing: the progress that nobody follows."""


class Rows(Protocol):
    """Rows that can be read more than once."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns."""
        ...

    @property
    def problems(self) -> Mapping[str, str]:
        """Columns that cannot be read, and why."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What was done to read columns."""
        ...

    @property
    def count(self) -> int:
        """Number of rows, as far as known: of files for certain once `sample` has read them."""
        ...

    def sample(self, progress: Progress = unheard) -> pa.Table:
        """Return rows by which to tell what the columns are."""
        ...

    def pieces(self) -> Iterator[pa.Table]:
        """Yield all rows."""
        ...

    def profile(self, kinds: Kinds, progress: Progress) -> tuple[Profile, Readings]:
        """Summarise the named columns; those that are absent are left out."""
        ...


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows in memory."""

    table: pa.Table
    problems: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns."""
        return (*self.table.column_names, *self.problems)

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.table.num_rows

    def sample(self, progress: Progress = unheard) -> pa.Table:  # noqa: ARG002 - it takes no time
        """Return blocks of rows spread evenly over the table."""
        rows = self.table.num_rows
        if rows <= SAMPLE:
            return self.table
        size = SAMPLE // BLOCKS
        starts = np.linspace(0, rows - size, BLOCKS).astype(int).tolist()
        return pa.concat_tables([self.table.slice(start, size) for start in starts])

    def pieces(self) -> Iterator[pa.Table]:
        """Yield the table."""
        yield self.table

    def profile(self, kinds: Kinds, progress: Progress) -> tuple[Profile, Readings]:
        """Summarise the named columns; those that are absent are left out."""
        profile, readings = profile_piece(self.table, kinds)
        progress(self.table.num_rows)
        return profile, readings | {name: Reading(error=why) for name, why in self.problems.items()}


class DatasetRows:
    """Rows of files, of which little is held in memory at a time.

    The pass that samples them also profiles every column as what its type says; only the columns
    that turn out to be something else are read once more.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.problems: Mapping[str, str] = {}
        self.notes: Sequence[str] = ()
        self._sample: pa.Table | None = None
        self._rows = 0
        self._columns: dict[str, ColumnProfile] = {}
        self._readings: dict[str, Reading] = {}

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns."""
        return self.dataset.names

    @property
    def count(self) -> int:
        """Number of rows, as far as known: for certain once they have been read."""
        return self._rows or self.dataset.rows or 0

    def sample(self, progress: Progress = unheard) -> pa.Table:
        """Return rows spread over the files; of odd types and identifiers, the first ones."""
        if self._sample is not None:
            return self._sample
        kinds = {name: AS_IT_IS.get(family(kind)) for name, kind in self._types.items()}
        plain = {
            name: kind
            for name, kind in kinds.items()
            if kind and not (kind is ColumnKind.CATEGORICAL and names_individuals(name))
        }
        spread = self._pass(plain, progress)
        odd = [name for name in self.names if name not in spread.column_names]
        if not odd:
            return spread
        empty = self.dataset.schema.empty_table().select(odd)
        self._sample = _side_by_side(spread, next(self.dataset.batches(odd), empty))
        return self._sample

    def pieces(self) -> Iterator[pa.Table]:
        """Yield the rows, front to back."""
        return self.dataset.batches()

    def profile(self, kinds: Kinds, progress: Progress) -> tuple[Profile, Readings]:
        """Summarise the named columns; those that are absent are left out."""
        here = {name: kind for name, kind in kinds.items() if name in self._types}
        left = {n: kind for n, kind in here.items() if not self._known(n, kind)}
        plain = {n: k for n, k in left.items() if AS_IT_IS.get(family(self._types[n])) is k}
        if plain or not self._rows:
            self._pass(plain, progress)
        odd = {name: kind for name, kind in left.items() if name not in plain}
        if odd:
            other, readings = profile_pieces(self.dataset.batches(list(odd)), odd)
            for name in odd:
                self._columns.pop(name, None)
            self._columns |= other.columns
            self._readings |= readings
        columns = {name: self._columns[name] for name in here if name in self._columns}
        readings = {name: self._readings[name] for name in here if name in self._readings}
        return Profile(self._rows, columns), readings

    @property
    def _types(self) -> dict[str, str]:
        return {item.name: str(item.type) for item in self.dataset.schema}

    def _known(self, name: str, kind: ColumnKind) -> bool:
        reading = self._readings.get(name)
        as_it_is = AS_IT_IS.get(family(self._types[name])) is kind
        return as_it_is and reading is not None

    def _pass(self, kinds: Kinds, progress: Progress) -> pa.Table:
        """Profile columns as their types are; return a sample of them, which is kept too."""
        told = _Told(progress, self.dataset.rows or 0)
        found = self.dataset.profile(kinds, sample=SAMPLE, progress=told)
        told.rest(found.profile.rows)
        self._rows = found.profile.rows
        types = self._types
        for name, why in found.problems.items():
            self._readings[name] = Reading(types[name], error=why)
        for name, column in found.profile.columns.items():
            if name not in found.problems:
                self._columns[name] = column
                self._readings[name] = Reading(types[name], column.count - column.missing)
        self._sample = found.sample if self._sample is None else self._sample
        return self._sample


def _side_by_side(one: pa.Table, other: pa.Table) -> pa.Table:
    """Return the columns of both, for as many rows as both have."""
    rows = min(table.num_rows for table in (one, other) if table.num_columns)
    tables = [table.slice(0, rows) for table in (one, other) if table.num_columns]
    return pa.table({n: table.column(n) for table in tables for n in table.column_names})


@dataclass(slots=True)
class _Told:
    """Shares of the work told on as rows."""

    progress: Progress
    rows: int
    done: int = 0

    def __call__(self, share: float) -> None:
        now = round(share * self.rows)
        self.progress(now - self.done)
        self.done = now

    def rest(self, rows: int) -> None:
        """Tell what is left, now that the number of rows is known."""
        self.progress(rows - self.done)


@dataclass(frozen=True, slots=True)
class Renamed:
    """Rows whose columns have other names: ``mapping`` gives what is there for the new names."""

    rows: Rows
    mapping: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, old in self.mapping.items():
            if old not in self.rows.names:
                raise DataError(f"the current data has no column {old!r} to map; check the names")
            if name in self.rows.names and name not in self.mapping.values():
                raise DataError(f"the current data has a column {name!r} besides the mapped one")

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns, the new ones."""
        return [self._new(name) for name in self.rows.names]

    @property
    def problems(self) -> Mapping[str, str]:
        """Columns that cannot be read, and why."""
        return {self._new(name): why for name, why in self.rows.problems.items()}

    @property
    def notes(self) -> Sequence[str]:
        """What was done to read columns."""
        return self.rows.notes

    @property
    def count(self) -> int:
        """Number of rows, as far as known."""
        return self.rows.count

    def sample(self, progress: Progress = unheard) -> pa.Table:
        """Return rows by which to tell what the columns are."""
        return self._rename(self.rows.sample(progress))

    def pieces(self) -> Iterator[pa.Table]:
        """Yield all rows."""
        return map(self._rename, self.rows.pieces())

    def profile(self, kinds: Kinds, progress: Progress) -> tuple[Profile, Readings]:
        """Summarise the named columns; those that are absent are left out."""
        old = {self.mapping.get(name, name): kind for name, kind in kinds.items()}
        profile, readings = self.rows.profile(old, progress)
        columns = {self._new(name): column for name, column in profile.columns.items()}
        return replace(profile, columns=columns), {self._new(n): r for n, r in readings.items()}

    def _new(self, name: str) -> str:
        return next((new for new, old in self.mapping.items() if old == name), name)

    def _rename(self, table: pa.Table) -> pa.Table:
        return table.rename_columns([self._new(name) for name in table.column_names])


def sampled_kinds(
    rows: Rows, given: Mapping[str, ColumnKind | None], progress: Progress = unheard
) -> Inference:
    """Say what each column is, by a sample of the rows and how many there are."""
    sample = rows.sample(progress)
    return infer_kinds(sample, given, rows.count)


def profile_pieces(pieces: Iterator[pa.Table], kinds: Kinds) -> tuple[Profile, dict[str, Reading]]:
    """Summarise the named columns of tables that follow each other."""
    whole = EMPTY
    found: dict[str, Reading] = {}
    for piece in pieces:
        profile, readings = profile_piece(piece, kinds)
        whole = merge_all((whole, profile))
        found = {n: found[n].add(r) if n in found else r for n, r in readings.items()}
    broken = {name for name, reading in found.items() if reading.error}
    columns = {name: column for name, column in whole.columns.items() if name not in broken}
    return replace(whole, columns=columns), found


def profile_piece(table: pa.Table, kinds: Kinds) -> tuple[Profile, dict[str, Reading]]:
    """Summarise the named columns of a table; those that are absent or unreadable are left out."""
    read, readings = read_columns(table, kinds)
    usable = {name: kinds[name] for name in read.column_names}
    return replace(profile_table(read, usable), rows=table.num_rows), readings
