"""Reading windows of the log: rows, their labels, and profiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Catalogue, FileEntry, of_kinds
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hashing import hash_texts
from homeostat.adapters.predlog.keys import Keys, make_keys
from homeostat.adapters.predlog.labels import attach
from homeostat.adapters.predlog.parquet import HOUR, SORT, FileStore, align, in_order, within
from homeostat.adapters.predlog.roll import personal_columns, profile_kinds
from homeostat.adapters.predlog.state import LogState, window_days
from homeostat.domain.columns import answered, micros, where
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import from_bytes
from homeostat.profiles.profile import Profile, merge_all

CACHED_PROFILES = 512
LABEL_IDS = pa.schema([LABEL_SCHEMA.field(name) for name in ("prediction_id", "arrival")])
ORDER = [name for name, _ in SORT[Kind.PREDICTIONS]]


@dataclass
class LogReader:
    """Reads what a log's state and files hold. Times are microseconds since 1970.

    ``writing`` names the segment that this process writes.
    """

    state: LogState
    catalogue: Catalogue
    store: FileStore
    writing: Callable[[], str]
    _decoded: OrderedDict[bytes, Profile] = field(default_factory=OrderedDict, init=False)

    def rows(
        self, spec: ModelSpec, start: int, end: int, columns: Sequence[str] | None
    ) -> pa.Table:
        """Return the records in [start, end) by timestamp, prediction_id and version."""

        def read() -> pa.Table:
            with self.state.lock:
                self.state.refresh(self.writing())
                found = self.state.gather(spec.name, start, end)
            return self._rows(spec, *found, start, end, columns)

        return self._again(read)

    def _again(self, read: Callable[[], pa.Table]) -> pa.Table:
        """Read; once more if a file was taken away meanwhile, as an erasure does at once."""
        before = self.state.losses
        try:
            return read()
        except StorageError:
            with self.state.lock:
                self.state.refresh(self.writing())
            if self.state.losses == before:
                raise
            return read()

    def labelled(
        self, spec: ModelSpec, start: int, end: int, as_of: int, columns: Sequence[str] | None
    ) -> pa.Table:
        """Return `rows` with ``label`` and ``arrival`` as known at `as_of`; null: not yet.

        `columns` may name outcomes too.
        """
        return self._again(lambda: self._labelled(spec, start, end, as_of, columns))

    def _labelled(
        self, spec: ModelSpec, start: int, end: int, as_of: int, columns: Sequence[str] | None
    ) -> pa.Table:
        with self.state.lock:
            self.state.refresh(self.writing())
            found = self.state.gather(spec.name, start, end)
            files, landed = self.state.labels(spec.name, window_days(start, end))
        asked = [name for name in columns or () if name in spec.outcomes]
        columns = columns and [name for name in columns if name not in asked]
        wanted = None if columns is None else list(dict.fromkeys([*columns, "prediction_id"]))
        table = self._rows(spec, *found, start, end, wanted)
        fields = ["arrival", "label", "outcome"]
        known = [(self.store.keys(file), self.store.read(file, fields)) for file in files]
        known += [(self._label_keys(labels), labels) for labels in landed]
        ids, salt = table.column("prediction_id"), self.store.salt
        label, arrival = attach(ids, salt, known, as_of)
        if columns is not None:
            table = table.select(list(columns))
        for name in asked:
            table = table.append_column(name, attach(ids, salt, known, as_of, name)[0])
        return table.append_column("label", label).append_column("arrival", arrival)

    def _label_keys(self, table: pa.Table) -> Keys:
        return make_keys(Kind.LABELS, table, self.store.salt)

    def _rows(
        self,
        spec: ModelSpec,
        files: Sequence[FileEntry],
        landed: Sequence[pa.Table],
        start: int,
        end: int,
        columns: Sequence[str] | None,
    ) -> pa.Table:
        wanted = None if columns is None else list(dict.fromkeys([*columns, "timestamp"]))
        table = self._read(spec, files, landed, start, end, wanted)
        if len(files) + len(landed) > 1 or landed:
            times = micros(table, "timestamp")
            if wanted is not None and (np.diff(np.sort(times)) == 0).any():
                wanted = list(dict.fromkeys([*wanted, *ORDER]))
                table = self._read(spec, files, landed, start, end, wanted)
            table = in_order(table, Kind.PREDICTIONS)
        return table if columns is None else table.select(list(columns))

    def _read(
        self,
        spec: ModelSpec,
        files: Sequence[FileEntry],
        landed: Sequence[pa.Table],
        start: int,
        end: int,
        columns: Sequence[str] | None,
    ) -> pa.Table:
        schema = prediction_schema(spec)
        if columns is not None:
            schema = pa.schema([field for field in schema if field.name in set(columns)])
        parts = [self.store.read(file, schema.names, start, end) for file in files]
        found = [align(within(part, "timestamp", start, end), schema) for part in (*parts, *landed)]
        return pa.concat_tables([table for table in found if len(table)] or [schema.empty_table()])

    def profile(self, spec: ModelSpec, start: int, end: int, version: str) -> Profile:
        """Return the profile of what was answered in [start, end).

        Whole hours are merged from the profiles that were stored when their rows were rolled.
        """
        first, last = -(-start // HOUR) * HOUR, end // HOUR * HOUR
        if first >= last:
            first = last = end
        with self.state.lock:
            stored, landed = self._whole_hours(spec, first, last, version)
            edges = [(a, b) for a, b in ((start, first), (last, end)) if a < b]
            parts = [(*self.state.gather(spec.name, a, b), a, b) for a, b in edges]
        tables = [self._read(spec, (), landed, first, last, None)]
        tables += [self._read(spec, *part, None) for part in parts]
        rows = answered(pa.concat_tables(tables))
        if version:
            rows = where(rows, "version", version)
        kinds = profile_kinds(spec)
        fresh = profile_table(rows, kinds, personal_columns(spec), pairs=True)
        return merge_all([fresh, *(of_kinds(profile, kinds) for profile in stored)])

    def _whole_hours(
        self, spec: ModelSpec, first: int, last: int, version: str
    ) -> tuple[list[Profile], list[pa.Table]]:
        if first >= last:
            self.state.refresh(self.writing())
            return [], []
        while True:
            self.state.refresh(self.writing())
            rolled, blobs = self.catalogue.profiles(spec.name, first, last, version)
            if rolled == self.state.rolled:
                break
        return [self._decode(b) for b in blobs], self.state.landed_tables(spec.name, first, last)

    def _decode(self, blob: bytes) -> Profile:
        profile = self._decoded.get(blob)
        if profile is None:
            profile = self._decoded[blob] = from_bytes(blob)
            if len(self._decoded) > CACHED_PROFILES:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(blob)
        return profile

    def orphans(self, model: str, older_than: int) -> int:
        """Count ids whose first label arrived before `older_than` and that no prediction has."""
        with self.state.lock:
            self.state.refresh(self.writing())
            files, landed = self.state.labels(model, [])
            fields = ["prediction_id", "arrival"]
            tables = [self.store.read(file, fields) for file in files if file.first < older_than]
            found = pa.concat_tables(
                [LABEL_IDS.empty_table(), *(table.select(fields) for table in (*tables, *landed))]
            )
            early = micros(found, "arrival") < older_than
            found = found.filter(pa.array(early))
            keys = np.unique(hash_texts(found.column("prediction_id"), self.store.salt))
            return int(np.count_nonzero(~self.state.predicted(model, keys)))
