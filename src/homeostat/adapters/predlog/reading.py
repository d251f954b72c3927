"""Reading windows of the log: rows, their labels, and profiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import TypeVar

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Catalogue, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hashing import Hashes, hash_texts
from homeostat.adapters.predlog.hours import HOUR, SegmentHours, of_kinds
from homeostat.adapters.predlog.keys import in_key_order, make_keys
from homeostat.adapters.predlog.labels import Asked, Told, attach
from homeostat.adapters.predlog.layout import Span
from homeostat.adapters.predlog.parquet import DAY, ROW_GROUP, FileStore, align
from homeostat.adapters.predlog.parts import Part, Places, apart, find, put_in_order
from homeostat.adapters.predlog.roll import joined, personal_columns, profile_kinds, told_segments
from homeostat.adapters.predlog.state import RECENT, UNKNOWN, LogState, window_days
from homeostat.domain.columns import answered, micros, where
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import arrival_of, prediction_schema
from homeostat.domain.segments import columns_of, in_segment
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import from_bytes
from homeostat.profiles.profile import Profile, merge_all

T = TypeVar("T")

CACHED_PROFILES = 512


@dataclass
class LogReader:
    """Reads what a log's state and files hold. Times are microseconds since 1970."""

    state: LogState
    catalogue: Catalogue
    store: FileStore
    _decoded: OrderedDict[bytes, Profile] = field(default_factory=OrderedDict, init=False)

    def rows(
        self, spec: ModelSpec, start: int, end: int, columns: Sequence[str] | None
    ) -> pa.Table:
        """Return the records in [start, end) by timestamp, prediction_id and version."""

        def read() -> pa.Table:
            with self.state.lock:
                self.state.refresh()
                found = self.state.gather(spec.name, start, end)
            return self._rows(spec, *found, start, end, columns)

        return self._again(read)

    def stretches(self, spec: ModelSpec, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield stretches of time that cover [start, end), each of about a row group of rows."""
        with self.state.lock:
            self.state.refresh()
            files, landed = self.state.gather(spec.name, start, end)
        spans = [span for file in files for span in self.store.spans(file)]
        for table in landed:
            times = micros(table, "timestamp")
            spans.append(Span(int(times.min()), int(times.max()), len(table)))
        at, rows = start, 0
        for span in sorted(spans, key=attrgetter("last")):
            rows += span.rows
            if rows >= ROW_GROUP and at <= span.last < end:
                yield at, span.last + 1
                at, rows = span.last + 1, 0
        if at < end:
            yield at, end

    def _again(self, read: Callable[[], T]) -> T:
        """Read; once more if a file was taken away meanwhile, as an erasure does at once."""
        before = self.state.losses
        try:
            return read()
        except StorageError:
            with self.state.lock:
                self.state.refresh()
            if self.state.losses == before:
                raise
            return read()

    def labelled(
        self, spec: ModelSpec, start: int, end: int, as_of: int, columns: Sequence[str] | None
    ) -> pa.Table:
        """Return `rows` with ``label`` and ``arrival`` as known at `as_of`; null: not yet.

        `columns` may name outcomes and their arrivals (`arrival_of`) too.
        """
        return self._again(lambda: self._labelled(spec, start, end, as_of, columns))

    def _labelled(
        self, spec: ModelSpec, start: int, end: int, as_of: int, columns: Sequence[str] | None
    ) -> pa.Table:
        with self.state.lock:
            self.state.refresh()
            found = self.state.gather(spec.name, start, end)
            # Older releases put a label at the latest day of its predictions: maybe the day after.
            files, landed = self.state.labels(spec.name, window_days(start, end + DAY))
        titles = {title: name for name in spec.outcomes for title in (name, arrival_of(name))}
        named = [title for title in columns or () if title in titles]
        columns = columns and [name for name in columns if name not in titles]
        parts = self._parts(spec, *found, start, end, columns)
        table, places = self._ordered(spec, parts, columns)
        fields = ["arrival", "label", "outcome"]
        told = [
            Told(self.store.keys(file), self.store.read(file, fields), _known_day(file.day))
            for file in files
        ]
        told += [Told(make_keys(Kind.LABELS, known, self.store.salt), known) for known in landed]
        asked = list(self._asked(parts, places))
        label, arrival = attach(len(table), asked, told, as_of)
        for title in named:
            of = attach(len(table), asked, told, as_of, titles[title])
            table = table.append_column(title, of[title != titles[title]])
        return table.append_column("label", label).append_column("arrival", arrival)

    def _asked(self, parts: Sequence[Part], places: Places) -> Iterator[Asked]:
        """Yield the keys of each part's rows, and where these stand in the ordered table."""
        at = 0
        every = np.concatenate([np.empty(0, np.intp), *places])
        for part in parts:
            mine = every[at : at + len(part.rows)]
            at += len(part.rows)
            if isinstance(part.source, FileEntry):
                asked = np.full(part.source.rows, -1)
                asked[part.rows] = mine
                yield Asked(self.store.keys(part.source), asked, part.source.day)
            else:
                ids = part.source.column("prediction_id").take(part.rows)
                keys = hash_texts(ids, self.store.salt)
                yield Asked(in_key_order(keys, keys, np.arange(len(keys), dtype=np.uint32)), mine)

    def _rows(
        self,
        spec: ModelSpec,
        files: Sequence[FileEntry],
        landed: Sequence[pa.Table],
        start: int,
        end: int,
        columns: Sequence[str] | None,
    ) -> pa.Table:
        parts = self._parts(spec, files, landed, start, end, columns)
        return self._ordered(spec, parts, columns)[0]

    def _ordered(
        self, spec: ModelSpec, parts: Sequence[Part], columns: Sequence[str] | None
    ) -> tuple[pa.Table, Places]:
        tables, places = put_in_order(self.store, parts)
        tables = tables or [_schema(spec, columns).empty_table()]
        if columns:
            # Of some the times were not read.
            tables = [table.select(list(columns)) for table in tables]
        table = pa.concat_tables(tables)
        return (table if columns is None else table.select(list(columns))), places

    def _parts(
        self,
        spec: ModelSpec,
        files: Sequence[FileEntry],
        landed: Sequence[pa.Table],
        start: int,
        end: int,
        columns: Sequence[str] | None,
    ) -> list[Part]:
        schema = _schema(spec, columns)
        alone = set[str]()
        near = self.store.place.most_keys is None  # far away, reading many at once matters more
        if near and columns and "timestamp" not in columns and not landed:
            alone = {
                file.path
                for file in apart(files, start, end)
                if not set(columns).isdisjoint(self.store.schema(file).names)
            }
        bare = schema.remove(schema.get_field_index("timestamp"))
        parts: list[Part | None] = [self._whole(file, bare) for file in files if file.path in alone]
        others = [file for file in files if file.path not in alone]
        read = self.store.read_all(others, schema.names, start, end)
        parts += [
            find(file, rows, start, end, schema, self.store.places(file, start, end))
            for file, rows in zip(others, read, strict=True)
        ]
        parts += [find(table, table, start, end, schema, np.arange(len(table))) for table in landed]
        return sorted((part for part in parts if part), key=attrgetter("first"))

    def _whole(self, file: FileEntry, schema: pa.Schema) -> Part:
        """Return all rows of a file, without their times."""
        table = align(self.store.read(file, schema.names), schema)
        return Part(file, table, np.arange(file.rows), file.first, file.last)

    def _read(
        self,
        spec: ModelSpec,
        files: Sequence[FileEntry],
        landed: Sequence[pa.Table],
        start: int,
        end: int,
    ) -> pa.Table:
        """Return rows in no order."""
        parts = self._parts(spec, files, landed, start, end, None)
        empty = prediction_schema(spec).empty_table()
        return pa.concat_tables([part.table for part in parts] or [empty])

    def profile(self, spec: ModelSpec, start: int, end: int, version: str) -> Profile:
        """Return the profile of what was answered in [start, end).

        Whole hours are merged from the profiles that were stored when their rows were rolled; of a
        version rows are read of hours that have more versions than have a profile of their own.
        """
        return self._merged(
            spec,
            (start, end),
            lambda first, last: self.catalogue.profiles(spec.name, first, last, version),
            lambda rows: where(rows, "version", version) if version else rows,
        )

    def segment_profile(
        self, spec: ModelSpec, start: int, end: int, version: str, segment: str
    ) -> Profile:
        """Return the profile of what was answered in [start, end) to the rows of a segment.

        Stored profiles of whole hours are merged; rows are read of the edges, and of hours that
        have more segments than are told apart, or were rolled before the model had these.
        """
        names = columns_of(spec, segment)

        def mine(rows: pa.Table) -> pa.Table:
            rows = where(rows, "version", version) if version else rows
            return in_segment(rows, names, segment)

        asked = joined(names), segment
        return self._merged(
            spec,
            (start, end),
            lambda first, last: self.catalogue.segment(spec.name, *asked, first, last, version),
            mine,
        )

    def _merged(
        self,
        spec: ModelSpec,
        window: tuple[int, int],
        ask: Callable[[int, int], tuple[dict[str, int], SegmentHours]],
        choose: Callable[[pa.Table], pa.Table],
    ) -> Profile:
        """Merge what is stored of whole hours with what is read of the edges and the gaps."""
        start, end = window
        first, last = -(-start // HOUR) * HOUR, end // HOUR * HOUR
        if first >= last:
            first = last = end
        with self.state.lock:
            stored = self._settled(lambda: ask(first, last))
            gaps = _joined_hours(stored.incomplete)
            whole = [(a, b) for a, b in ((start, first), *gaps, (last, end)) if a < b]
            parts = [(*self.state.gather(spec.name, a, b), a, b) for a, b in whole]
            landed = self.state.landed_tables(spec.name, first, last)
        tables = [self._read(spec, *part) for part in parts]
        rest = self._read(spec, (), landed, first, last)
        hours = np.asarray(sorted(stored.incomplete), np.int64)
        fresh = ~np.isin(micros(rest, "timestamp") // HOUR * HOUR, hours)
        rows = choose(answered(pa.concat_tables([*tables, rest.filter(pa.array(fresh))])))
        kinds = profile_kinds(spec)
        made = profile_table(rows, kinds, personal_columns(spec), pairs=True)
        blobs = [
            blob
            for hour, found in stored.profiles.items()
            if hour not in stored.incomplete
            for blob in found
        ]
        return merge_all([made, *(of_kinds(self._decode(blob), kinds) for blob in blobs)])

    def counts(self, model: str, start: int, end: int) -> tuple[int, ...]:
        """Return how many rows were answered in each of the hours in [start, end)."""
        with self.state.lock:
            stored = self._settled(lambda: self.catalogue.counts(model, start, end))
            landed = self.state.landed_tables(model, start, end)
        found = np.zeros((end - start) // HOUR, np.int64)
        for hour, rows in stored.items():
            found[(hour - start) // HOUR] += rows
        for table in landed:
            places = (micros(answered(table), "timestamp") - start) // HOUR
            places = places[(places >= 0) & (places < len(found))]
            found += np.bincount(places, minlength=len(found))
        return tuple(found.tolist())

    def segments(self, spec: ModelSpec, start: int, end: int) -> dict[str, int]:
        """Return the rolled rows of each segment in the hours in [start, end)."""
        columns = [joined(names) for names in told_segments(spec)]
        return self.catalogue.segments(spec.name, columns, start, end)

    def _settled(self, read: Callable[[], tuple[dict[str, int], T]]) -> T:
        """Read the catalogue and what it does not have yet as of one moment."""
        while True:
            self.state.refresh()
            rolled, found = read()
            if rolled == self.state.rolled:
                return found

    def _decode(self, blob: bytes) -> Profile:
        profile = self._decoded.get(blob)
        if profile is None:
            profile = self._decoded[blob] = _profile(blob)
            if len(self._decoded) > CACHED_PROFILES:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(blob)
        return profile

    def orphans(self, model: str, older_than: int) -> int:
        """Count ids whose first label arrived before `older_than` and that no prediction has."""
        return self._again(lambda: self._orphans(model, older_than))

    def _orphans(self, model: str, older_than: int) -> int:
        with self.state.lock:  # files are read without it: appends wait for it
            self.state.refresh()
            files, landed = self.state.labels(model, [])
            known, predictions = self.state.predictions(model)
        old = [file for file in files if file.first < older_than]
        found = [np.empty(0, np.uint64), *(self._labelled_before(f, older_than) for f in old)]
        for table in landed:
            early = pa.array(micros(table, "arrival") < older_than)
            found.append(hash_texts(table.column("prediction_id").filter(early), self.store.salt))
        left = np.unique(np.concatenate(found))
        for keys in chain(known, map(self.store.keys, predictions)):
            left = left[~keys.has(left)]
        return len(left)

    def _labelled_before(self, file: FileEntry, end: int) -> Hashes:
        """Return the keys of a file's labels that arrived before a time."""
        keys = self.store.keys(file)
        if file.last < end:
            return keys.keys
        early = micros(self.store.read(file, ["arrival"]), "arrival") < end
        return keys.keys[early[keys.rows]]


def _profile(blob: bytes) -> Profile:
    try:
        return from_bytes(blob)
    except ValueError as error:
        raise StorageError(
            f"a stored profile is damaged: {error}; homeostat data repair makes it anew"
        ) from error


def _schema(spec: ModelSpec, columns: Sequence[str] | None) -> pa.Schema:
    schema = prediction_schema(spec)
    if columns is None:
        return schema
    wanted = {*columns, "timestamp"}
    return pa.schema([field for field in schema if field.name in wanted])


def _known_day(day: str) -> str:
    return "" if day in {RECENT, UNKNOWN} else day


def _joined_hours(hours: Iterable[int]) -> list[tuple[int, int]]:
    """Return stretches of neighbouring hours.

    Examples
    --------
    >>> _joined_hours([2 * HOUR, HOUR, 5 * HOUR]) == [(HOUR, 3 * HOUR), (5 * HOUR, 6 * HOUR)]
    True
    """
    found: list[tuple[int, int]] = []
    for hour in sorted(hours):
        if found and found[-1][1] == hour:
            found[-1] = found[-1][0], hour + HOUR
        else:
            found.append((hour, hour + HOUR))
    return found
