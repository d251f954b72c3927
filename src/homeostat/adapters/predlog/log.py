"""Predictions and labels on files: landing segments, rolled into Parquet."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.durable import exclusive, make_folder
from homeostat.adapters.predlog.catalogue import Catalogue, Quarantined, of_kinds
from homeostat.adapters.predlog.frames import Kind, pack
from homeostat.adapters.predlog.memory import keys_of
from homeostat.adapters.predlog.parquet import HOUR, FileStore, align, within
from homeostat.adapters.predlog.roll import (
    SORT,
    described_schema,
    personal_columns,
    profile_kinds,
    write_files,
)
from homeostat.adapters.predlog.segments import (
    SegmentWriter,
    damaged_names,
    remove_if_abandoned,
    segment_names,
)
from homeostat.adapters.predlog.state import LogState
from homeostat.adapters.records.codec import to_micros
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.admission import Problems, admit_labels, admit_predictions
from homeostat.domain.columns import answered, floats, micros, texts, where
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import TIMESTAMP, prediction_schema
from homeostat.domain.window import Window
from homeostat.engine.ports import Receipt, Rejected
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import from_bytes
from homeostat.profiles.profile import Profile, merge_all

CACHED_PROFILES = 512
OTHER_CONTENT = ("prediction_id", "is logged already with another timestamp or score")


@dataclass(frozen=True, slots=True)
class LogStatus:
    """Figures about the log.

    ``files`` and ``bytes`` are of columnar files; ``landed`` rows wait for a roll.
    ``damaged`` segments were set aside: rows in them may be lost.
    """

    predictions: int
    labels: int
    files: int
    bytes: int
    landed: int
    segments: int
    damaged: int = 0

    @property
    def rows(self) -> int:
        """Predictions and labels, landed ones included."""
        return self.predictions + self.labels


class FilePredictionLog:
    """Implements `homeostat.engine.ports.PredictionLog` on a local disk.

    Several processes may append to one root, each to a segment of its own, and any of them may
    read and roll. The same (prediction_id, version) is stored once; a repetition is looked for
    among the rows of the same day of event time.

    Parameters
    ----------
    root : Path
        Folder of segments and Parquet files; created if it does not exist.
    records : DatabaseRecords
        Holds the catalogue; its clock tells which times lie in the future.
    fsync : bool
        Off only in simulations, in which nothing has to survive.

    Raises
    ------
    StorageError
        If the folder cannot be made.
    """

    def __init__(self, root: Path, records: DatabaseRecords, *, fsync: bool = True) -> None:
        self.root = root
        self._clock = records.clock
        landing = root / "landing"
        try:
            make_folder(landing)
        except OSError as error:
            raise StorageError(f"the prediction log {root} cannot be made: {error}") from error
        self._store = FileStore(root, fsync)
        self._catalogue = Catalogue(records.database)
        self._state = LogState(landing, self._catalogue, self._store)
        self._writer = SegmentWriter(landing, fsync)
        self._in_flight: set[Hashable] = set()
        self._decoded: OrderedDict[bytes, Profile] = OrderedDict()
        # Whether there may be files of rolls that were never registered.
        self._strangers = True
        with self._state.lock:
            self._state.refresh()

    def close(self) -> None:
        """Give this process's segment up, so that a roll may delete it."""
        self._writer.close()

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        """Store prediction records; durable on return.

        Raises
        ------
        DataError
            If there is a column that the model does not have.
        StorageError
            If the disk or the database failed; nothing of the call is acknowledged.
        """
        now = self._clock.now()
        table, problems = admit_predictions(spec, rows, now)
        table = table.replace_schema_metadata(described_schema(spec).metadata)
        keys: list[Hashable] = []
        fresh: list[int] = []
        good = _without(table, problems)
        with self._state.lock:
            numbered = [(row, *pair) for row, pair in zip(good[0], keys_of(good[1]), strict=True)]
            self._wait_for({key for _, key, _ in numbered})
            known = self._state.known(spec.name, good[1])
            batch: dict[Hashable, int] = {}
            for row, key, content in numbered:
                stored = batch.get(key, known.get(key))
                if stored is None:
                    batch[key] = content
                    fresh.append(row)
                elif stored != content:
                    problems[row] = OTHER_CONTENT
            keys = list(batch)
            self._in_flight.update(keys)
        self._store_rows(Kind.PREDICTIONS, spec.name, table, fresh, keys, rows, problems)
        return _receipt(len(rows), fresh, problems)

    def append_labels(self, spec: ModelSpec, labels: pa.Table) -> Receipt:
        """Store labels; durable on return. One sent twice is a duplicate. Raises as `append`."""
        now = self._clock.now()
        table, problems = admit_labels(spec, labels, now)
        row_numbers, good = _without(table, problems)
        keys: dict[Hashable, int] = {}
        with self._state.lock:
            arrivals = micros(good, "arrival").tolist()
            ids, values = texts(good, "prediction_id"), floats(good, "label")
            triples = list(zip(ids, arrivals, values, strict=True))
            self._wait_for(set(triples))
            known = self._state.labels(spec.name)
            for row, triple in zip(row_numbers, triples, strict=True):
                if not known.has(*triple):
                    keys.setdefault(triple, row)
            self._in_flight.update(keys)
        fresh = list(keys.values())
        self._store_rows(Kind.LABELS, spec.name, table, fresh, list(keys), labels, problems)
        return _receipt(len(labels), fresh, problems)

    def _wait_for(self, keys: set[Hashable]) -> None:
        # A repetition may be acknowledged only once the first one is durable.
        while not self._in_flight.isdisjoint(keys):
            self._state.lock.wait()

    def _store_rows(
        self,
        kind: Kind,
        model: str,
        table: pa.Table,
        fresh: list[int],
        keys: list[Hashable],
        sent: pa.Table,
        problems: Problems,
    ) -> None:
        def landed(segment: str, end: int) -> None:
            with self._state.lock:
                self._state.land(kind, model, rows)
                self._state.frontier[segment] = self._state.durable[segment] = end

        rows = table if len(fresh) == len(table) else table.take(pa.array(fresh, pa.int64()))
        try:
            if problems:
                self._quarantine(kind, model, sent, problems)
            if fresh:
                self._writer.append(pack(kind, model, rows), landed)
        finally:
            with self._state.lock:
                self._in_flight.difference_update(keys)
                self._state.lock.notify_all()

    def _quarantine(self, kind: Kind, model: str, sent: pa.Table, problems: Problems) -> None:
        now = self._clock.now()
        refused: list[dict[str, object]] = sent.take(pa.array(list(problems))).to_pylist()
        self._catalogue.quarantine(
            [
                Quarantined(model, kind, now, column, reason, json.dumps(row, default=str))
                for row, (column, reason) in zip(refused, problems.values(), strict=True)
            ]
        )

    def refuse(self, model: str, kind: str, refused: Sequence[tuple[str, str, str]]) -> None:
        """Keep rows that do not even fit a table, as (column, reason, JSON of the row).

        `kind` is ``"predictions"`` or ``"labels"``.
        """
        now, sent = self._clock.now(), Kind[kind.upper()]
        self._catalogue.quarantine([Quarantined(model, sent, now, *row) for row in refused])

    def quarantined(self, model: str = "", limit: int = 100) -> tuple[Quarantined, ...]:
        """Return the newest refused rows, newest first; of all models if none is named."""
        return self._catalogue.quarantined(model, limit)

    def rows(
        self, spec: ModelSpec, window: Window, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the records in the window, by timestamp, prediction_id and version."""
        with self._state.lock:
            self._state.refresh(self._writer.segment)
            start, end = to_micros(window.start), to_micros(window.end)
            files, tables = self._state.gather(spec.name, start, end)
        parts = [*map(self._store.read, files), *tables]
        table = self._select(spec, parts, start, end, columns).sort_by(SORT[Kind.PREDICTIONS])
        return table if columns is None else table.select(list(columns))

    def _select(
        self,
        spec: ModelSpec,
        parts: list[pa.Table],
        start: int,
        end: int,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        schema = prediction_schema(spec)
        if columns is not None:
            wanted = {*columns, *(name for name, _ in SORT[Kind.PREDICTIONS])}
            schema = pa.schema([field for field in schema if field.name in wanted])
        found = [align(within(part, "timestamp", start, end), schema) for part in parts]
        return pa.concat_tables([table for table in found if len(table)] or [schema.empty_table()])

    def labelled(
        self, spec: ModelSpec, window: Window, as_of: datetime, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return `rows` with ``label`` and ``arrival`` as known at `as_of`; null: not yet."""
        wanted = None if columns is None else list(dict.fromkeys([*columns, "prediction_id"]))
        table = self.rows(spec, window, wanted)
        ids = texts(table, "prediction_id")
        until = to_micros(as_of)
        with self._state.lock:
            labels = self._state.labels(spec.name)
            known = [labels.known(key, until) for key in ids]
        values = pa.array([None if pair is None else pair[1] for pair in known], pa.float64())
        times = pa.array([None if pair is None else pair[0] for pair in known], pa.int64())
        if columns is not None:
            table = table.select(list(columns))
        return table.append_column("label", values).append_column("arrival", times.cast(TIMESTAMP))

    def profile(self, spec: ModelSpec, window: Window, version: str = "") -> Profile:
        """Return the profile of what was answered in the window.

        Whole hours are merged from the profiles that were stored when their rows were rolled.
        """
        start, end = to_micros(window.start), to_micros(window.end)
        first, last = -(-start // HOUR) * HOUR, end // HOUR * HOUR
        if first >= last:
            first = last = end
        with self._state.lock:
            stored, landed = self._whole_hours(spec, first, last, version)
            edges = [(start, first), (last, end)]
            parts = [(self._state.gather(spec.name, a, b), a, b) for a, b in edges if a < b]
        tables = [self._select(spec, landed, first, last)]
        for (files, memory), a, b in parts:
            tables.append(self._select(spec, [*map(self._store.read, files), *memory], a, b))
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
            self._state.refresh(self._writer.segment)
            return [], []
        while True:
            self._state.refresh(self._writer.segment)
            rolled, blobs = self._catalogue.profiles(spec.name, first, last, version)
            if rolled == self._state.rolled:
                break
        return [self._decode(b) for b in blobs], self._state.landed_tables(spec.name, first, last)

    def _decode(self, blob: bytes) -> Profile:
        profile = self._decoded.get(blob)
        if profile is None:
            profile = self._decoded[blob] = from_bytes(blob)
            if len(self._decoded) > CACHED_PROFILES:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(blob)
        return profile

    def roll(self, now: datetime) -> int:
        """Move landed rows to Parquet files with their hourly profiles; return the rows moved.

        Raises
        ------
        StorageError
            If the disk or the database failed: nothing was moved, nothing is lost.
        """
        del now  # what has landed is moved, whatever its age
        try:
            with exclusive(self.root / ".roll.lock"), self._state.lock:
                self._state.refresh(self._writer.segment)
                if self._strangers:
                    self._store.sweep(self._catalogue.paths())
                self._strangers = True
                moved = self._move()
                self._strangers = False
                self._drop_segments()
                return moved
        except OSError as error:
            raise StorageError(f"the prediction log {self.root} cannot roll: {error}") from error

    def _move(self) -> int:
        state = self._state
        written, roll = write_files(state, self._store)
        if not roll.segments:
            return 0
        self._catalogue.register(roll)
        for entry, table in written:
            self._store.remember(entry, table)
        state.landed.clear()
        state.rolled.update({name: after for name, (_, after) in roll.segments.items()})
        for entry in self._catalogue.poll()[1]:
            state.enter(entry, own=True)
        return sum(len(table) for _, table in written)

    def _drop_segments(self) -> None:
        state = self._state
        gone = [
            name
            for name in segment_names(state.landing)
            if name != self._writer.segment
            and remove_if_abandoned(state.landing / name, state.rolled.get(name, 0))
        ]
        if gone:
            self._catalogue.forget(gone)
            for name in gone:
                state.rolled.pop(name, None)
                state.frontier.pop(name, None)
                state.durable.pop(name, None)

    def orphans(self, spec: ModelSpec, older_than: datetime) -> int:
        """Count labels that arrived before `older_than` and whose prediction is still unknown."""
        with self._state.lock:
            self._state.refresh(self._writer.segment)
            return self._state.orphans(spec.name, to_micros(older_than))

    def status(self) -> LogStatus:
        """Return figures about the log, without reading its rows."""
        with self._state.lock:
            self._state.refresh(self._writer.segment)
            files, predictions, labels, size = self._catalogue.totals()
            landed = {Kind.PREDICTIONS: 0, Kind.LABELS: 0}
            for (kind, _), part in self._state.landed.items():
                landed[kind] += part.rows
            segments = len(segment_names(self._state.landing))
            damaged = len(damaged_names(self._state.landing))
        return LogStatus(
            predictions + landed[Kind.PREDICTIONS],
            labels + landed[Kind.LABELS],
            files,
            size,
            sum(landed.values()),
            segments,
            damaged,
        )


def _without(table: pa.Table, problems: Problems) -> tuple[list[int], pa.Table]:
    rows = [row for row in range(len(table)) if row not in problems]
    return rows, table.take(pa.array(rows, pa.int64())) if problems else table


def _receipt(sent: int, fresh: list[int], problems: Problems) -> Receipt:
    rejected = tuple(Rejected(row, *problems[row]) for row in sorted(problems))
    return Receipt(len(fresh), sent - len(fresh) - len(rejected), rejected)
