"""Files to profiles: each column of a few rows is read, summarised and forgotten."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from homeostat.adapters.datasets.parts import Chunk, Column, Job, MixedTypesError, Part
from homeostat.adapters.datasets.sampling import Picked, Sample, pick, ranks, take
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.numbers import merge_columns
from homeostat.profiles.profile import ColumnProfile, Profile

WORKERS = min(8, os.cpu_count() or 1)
_AHEAD = 2  # jobs a worker may have waiting
_MERGE = 16  # parts of a column that wait to be merged
NO_NUMBERS = ("", "#N/A", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "None", "-nan", "-NaN")


@dataclass(frozen=True, slots=True)
class Profiled:
    """What `Dataset.profile` found.

    Attributes
    ----------
    profile : Profile
        Columns in the order asked for, without those that could not be read at all.
    sample : pyarrow.Table
        At most as many rows as asked for, the same ones of every column, in their order.
    problems : mapping of str to str
        Columns that could not be read as the kind asked for, and why. If they could be counted
        as text, their profile is categorical.
    """

    profile: Profile
    sample: pa.Table
    problems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with every chunk."""

    kinds: Mapping[str, ColumnKind]
    schema: pa.Schema
    personal: Collection[str] = ()
    sample: int = 0
    total: int | None = None


@dataclass(slots=True)
class _Found:
    """What a job gave, or the jobs of a file, or the files."""

    rows: int = 0
    columns: dict[str, list[ColumnProfile]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)

    def keep(self, name: str, profiles: Iterable[ColumnProfile]) -> None:
        parts = self.columns.setdefault(name, [])
        parts.extend(profiles)
        if len(parts) >= _MERGE:
            parts[:] = [merge_columns(parts)]

    def add(self, other: _Found, sample: int) -> None:
        """Take in all but the rows."""
        self.problems = other.problems | self.problems
        for name, profiles in other.columns.items():
            self.keep(name, profiles)
        for name, found in other.samples.items():
            self.samples.setdefault(name, Sample(sample)).add(found.picked())


class Passage:
    """One reading of all files, on a pool of threads."""

    def __init__(self, pool: ThreadPoolExecutor, order: Order) -> None:
        self._pool, self._order = pool, order
        self._found = _Found()

    @property
    def rows(self) -> int:
        """Rows read so far."""
        return self._found.rows

    @property
    def problems(self) -> Mapping[str, str]:
        """Columns that could not be read as their kind, and why."""
        return self._found.problems

    def read(self, part: Part, progress: Callable[[float], None]) -> None:
        """Add a file; `progress` is told its share that is done, from 0 to 1."""
        try:
            found = self._read(part, progress)
        except MixedTypesError:
            found = self._read(part.as_text(), progress)
        self._found.add(found, self._order.sample)
        self._found.rows += found.rows if part.rows is None else part.rows

    def columns(self) -> dict[str, ColumnProfile]:
        """Return the profiles of the columns without problems."""
        return {
            name: merge_columns(self._found.columns.get(name) or [ColumnProfile(kind)])
            for name, kind in self._order.kinds.items()
            if name not in self.problems
        }

    def sample(self) -> pa.Table:
        """Return the sampled rows, columns in the order asked for."""
        order = self._order
        names = list(order.kinds) if order.sample else []
        columns = [
            self._found.samples[name].picked().values
            if name in self._found.samples
            else pa.chunked_array([], order.schema.field(name).type)
            for name in names
        ]
        return pa.table(columns, names=names)

    def _read(self, part: Part, progress: Callable[[float], None]) -> _Found:
        whole = _Found()
        done = 0.0
        for found, share in self._results(part):
            whole.add(found, self._order.sample)
            whole.rows = max(whole.rows, found.rows)
            done = min(1.0, done + share)
            progress(done)
        return whole

    def _results(self, part: Part) -> Iterator[tuple[_Found, float]]:
        waiting: deque[tuple[Future[_Found], float]] = deque()
        try:
            for job in part.jobs(list(self._order.kinds)):
                waiting.append((self._pool.submit(self._work, job), job.share))
                if len(waiting) > _AHEAD * WORKERS:
                    first, share = waiting.popleft()
                    yield first.result(), share
            while waiting:
                first, share = waiting.popleft()
                yield first.result(), share
        finally:
            for left, _ in waiting:
                left.cancel()

    def _work(self, job: Job) -> _Found:
        found, order = _Found(), self._order
        for chunk in job.read():
            found.rows = chunk.end
            for name, profile in _profiled(chunk.table, order, found.problems).items():
                found.keep(name, [profile])
            if order.sample:
                self._pick(chunk, found.samples)
        return found

    def _pick(self, chunk: Chunk, samples: dict[str, Sample]) -> None:
        order, start = self._order, self.rows + chunk.start
        places = pick(start, chunk.table.num_rows, order.sample, order.total)
        found = ranks(start, chunk.table.num_rows)[places]
        for name in chunk.table.column_names:
            values = _as(take(chunk.table.column(name), places), order.schema.field(name).type)
            samples.setdefault(name, Sample(order.sample)).add(Picked(found, values))


def _profiled(table: pa.Table, order: Order, problems: dict[str, str]) -> dict[str, ColumnProfile]:
    """Profile a chunk's columns together or, if one of them cannot be, one by one."""
    kinds = {name: order.kinds[name] for name in table.column_names}
    try:
        return dict(profile_table(_fitted(table, order), kinds, order.personal).columns)
    except (ValueError, pa.ArrowException) as error:
        if len(kinds) == 1:
            problems.setdefault(table.column_names[0], str(error).partition("\n")[0])
            return {}
    found: dict[str, ColumnProfile] = {}
    for name in kinds:
        found |= _profiled(table.select([name]), order, problems)
    return found


def _fitted(table: pa.Table, order: Order) -> pa.Table:
    """Return a chunk with columns of the types that all files can have them in."""
    columns: list[Column] = []
    for name in table.column_names:
        column, wanted = table.column(name), order.schema.field(name).type
        text = _is_text(column.type)
        if text and order.kinds[name] is ColumnKind.NUMERIC:
            column = _without_words(column)
        elif column.type == pa.string_view():
            column = column.cast(pa.string())  # views cannot be counted
        elif not text and column.type != wanted:
            column = column.cast(wanted, safe=False)
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def _is_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.DictionaryType):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def _without_words(column: Column) -> Column:
    """Return texts without space around them, and null for the words that say "no number"."""
    import pyarrow.compute as pc  # noqa: PLC0415 - it takes long, and numbers are rarely text

    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    words = pc.is_in(texts, value_set=pa.array(NO_NUMBERS))
    numbers: Column = pc.if_else(words, pa.scalar(None, pa.string()), texts)
    return numbers


def _as(column: Column, wanted: pa.DataType) -> Column:
    try:
        return column.cast(wanted)
    except pa.ArrowException:
        return column
