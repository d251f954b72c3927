"""Predictions and labels on files: landing segments, rolled into Parquet."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.durable import make_folder
from homeostat.adapters.predlog.catalogue import Catalogue, Quarantined
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.labels import SETTLE_ROWS
from homeostat.adapters.predlog.landing import Landing
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.place import Folder, Place, settle
from homeostat.adapters.predlog.quarantine import Quarantine, kept_row
from homeostat.adapters.predlog.reading import LogReader
from homeostat.adapters.predlog.retain import Keeper, Retained
from homeostat.adapters.predlog.salt import read_salt
from homeostat.adapters.predlog.segments import (
    SegmentWriter,
    damaged_names,
    segment_names,
)
from homeostat.adapters.predlog.state import LogState
from homeostat.adapters.predlog.status import LogStatus
from homeostat.adapters.predlog.upkeep import ROLL_BYTES, Upkeep
from homeostat.adapters.records.codec import from_micros, to_micros
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.admission import Problems
from homeostat.domain.casting import as_objects
from homeostat.domain.errors import HomeostatError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.personal import Protector, reason_kept
from homeostat.domain.record import OUTCOME_SCHEMA, prediction_schema
from homeostat.domain.refusal import MOST_REFUSED
from homeostat.domain.retention import Retention
from homeostat.domain.window import Window
from homeostat.engine.ports import Receipt
from homeostat.profiles.profile import Profile

logger = logging.getLogger(__name__)

MOST_LANDED = 2**30
"""Bytes of landed rows from which no more are taken until some were rolled."""
UNPROTECTED = Protector()
LABEL_COLUMNS = (*OUTCOME_SCHEMA.names, "value")
MOST_NAME = 500
TRIMMED = 2**24
"""Bytes of refused rows after which the oldest are looked at, whether they must make room."""


class FilePredictionLog:
    """Implements `homeostat.engine.ports.PredictionLog` on files: a disk, and an object store.

    Several processes may append to one root, each to a segment of its own, and any of them may
    read and roll. The same (prediction_id, version) is stored once; a repetition is looked for
    among the rows of the same day of event time.

    Parameters
    ----------
    root : Path
        Folder of segments and Parquet files; created if it does not exist.
    place : callable, optional
        Makes the place where Parquet files lie if it is not `root`, of `root` and the log's salt.
    records : DatabaseRecords
        Holds the catalogue; its clock tells which times lie in the future.
    fsync : bool
        Off only in simulations, in which nothing has to survive.
    settle_rows : int
        New labels from which they are sorted by the day of their predictions.
    most_landed : int
        Bytes of landed rows from which calls are refused.
    retention : mapping of str to Retention, optional
        How long each model's data is kept; of a model that is not named, for ever.
    protector : Protector
        Hashes personal values before anything is stored.

    Attributes
    ----------
    upkeep : Upkeep
        Changes the files.
    protector : Protector
        As given.
    full : threading.Event
        Set when so much has landed that a roll should not wait for its time.

    Raises
    ------
    StorageError
        If the folder cannot be made.
    """

    def __init__(
        self,
        root: Path,
        records: DatabaseRecords,
        *,
        fsync: bool = True,
        settle_rows: int = SETTLE_ROWS,
        most_landed: int = MOST_LANDED,
        retention: Mapping[str, Retention] | None = None,
        protector: Protector = UNPROTECTED,
        place: Callable[[Path, int], Place] | None = None,
    ) -> None:
        self.root = root
        self._clock = records.clock
        landing = root / "landing"
        try:
            make_folder(landing)
        except OSError as error:
            raise StorageError(f"the prediction log {root} cannot be made: {error}") from error
        salt = read_salt(root, fsync=fsync)
        self._store = FileStore(place(root, salt) if place else Folder(root, fsync), salt, fsync)
        settle(root, self._store.place)
        self._catalogue = Catalogue(records.database)
        self._writer = SegmentWriter(landing, fsync)
        self._state = LogState(
            landing,
            self._catalogue,
            self._store,
            writing=lambda: self._writer.segment,
            lost=self._writer.lost,
        )
        self._reader = LogReader(self._state, self._catalogue, self._store)
        self.upkeep = Upkeep(root, self._state, self._catalogue, self._store, settle_rows)
        self.retention = Keeper(self.upkeep, retention or {})
        self.protector = protector
        self.full = threading.Event()
        self._refused: dict[str, int] = {}
        self._landing = Landing(
            self._clock,
            self._state,
            self._writer,
            protector,
            most_landed,
            self.full,
            self.upkeep.roll,
        )
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
        OverloadError
            If more has landed than is being rolled; nothing of the call is stored.
        """
        return _only(self._landing.send(Kind.PREDICTIONS, spec, [rows], self._quarantine))

    def append_labels(self, spec: ModelSpec, labels: pa.Table) -> Receipt:
        """Store labels; durable on return. One sent twice is a duplicate. Raises as `append`."""
        return _only(self._landing.send(Kind.LABELS, spec, [labels], self._quarantine))

    def append_each(
        self, spec: ModelSpec, kind: str, calls: Sequence[pa.Table]
    ) -> list[Receipt | HomeostatError]:
        """Store the rows of several calls as `append` does, or `append_labels`, all at once.

        `kind` is ``"predictions"`` or ``"labels"``. Returns what became of each call: what is wrong
        with one of them is not raised. Raises StorageError and OverloadError for all. Of a call of
        which more than `MOST_REFUSED` rows are refused nothing is stored.
        """
        kept = self._quarantine
        return self._landing.send(Kind[kind.upper()], spec, calls, kept, MOST_REFUSED)

    def replay(self, spec: ModelSpec, kind: Kind, rows: pa.Table) -> Receipt:
        """Store rows that were refused before; those that still are stay where they are.

        Raises as `append`.
        """
        return _only(self._landing.send(kind, spec, [rows], None))

    def _quarantine(self, spec: ModelSpec, kind: Kind, sent: pa.Table, problems: Problems) -> None:
        refused = as_objects(sent, list(problems))
        self._keep_refused(spec, kind, list(zip(problems.values(), refused, strict=True)))

    def refuse(self, spec: ModelSpec, kind: str, refused: Sequence[tuple[str, str, str]]) -> None:
        """Keep rows that do not even fit a table, as (column, reason, JSON of the row).

        `kind` is ``"predictions"`` or ``"labels"``.
        """
        rows = [((column, reason), json.loads(row)) for column, reason, row in refused]
        self._keep_refused(spec, Kind[kind.upper()], rows)

    def _keep_refused(
        self, spec: ModelSpec, kind: Kind, refused: Sequence[tuple[tuple[str, str], object]]
    ) -> None:
        now = self._clock.now()
        entries = [
            Quarantined(spec.name, kind, now, *self.kept(spec, kind, problem, row))
            for problem, row in refused
        ]
        self._catalogue.quarantine(entries)
        added = sum(len(entry.row) + len(entry.reason) for entry in entries)
        self._refused[spec.name] = self._refused.get(spec.name, TRIMMED) + added
        if self._refused[spec.name] >= TRIMMED:
            self._refused[spec.name] = 0
            gone = Quarantine(self._catalogue.database, spec.name).trim(now)
            if gone:
                logger.warning("%s: %d of the oldest refused rows made room", spec.name, gone)

    def kept(
        self, spec: ModelSpec, kind: Kind, problem: tuple[str, str], row: object
    ) -> tuple[str, str, str]:
        """Return a refused row as it may be kept: column, reason, and its JSON; see `kept_row`."""
        column, reason = problem
        names = LABEL_COLUMNS if kind is Kind.LABELS else prediction_schema(spec).names
        row = self.protector.row(spec, row, frozenset(names))
        return column[:MOST_NAME], *kept_row(reason_kept(spec, reason), row)

    def quarantined(self, model: str = "", limit: int = 100) -> tuple[Quarantined, ...]:
        """Return the newest refused rows, newest first; of all models if none is named."""
        return self._catalogue.quarantined(model, limit)

    def rows(
        self, spec: ModelSpec, window: Window, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the records in the window, by timestamp, prediction_id and version."""
        return self._reader.rows(spec, to_micros(window.start), to_micros(window.end), columns)

    def stretches(self, spec: ModelSpec, window: Window) -> Iterator[Window]:
        """Yield windows, one after another, that make up `window`: each of about a row group."""
        start, end = to_micros(window.start), to_micros(window.end)
        for first, last in self._reader.stretches(spec, start, end):
            yield Window(from_micros(first), from_micros(last))

    def labelled(
        self, spec: ModelSpec, window: Window, as_of: datetime, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return `rows` with ``label`` and ``arrival`` as known at `as_of`; null: not yet."""
        start, end = to_micros(window.start), to_micros(window.end)
        return self._reader.labelled(spec, start, end, to_micros(as_of), columns)

    def profile(
        self, spec: ModelSpec, window: Window, version: str = "", segment: str = ""
    ) -> Profile:
        """Return the profile of what was answered in the window, of all rows or of a segment.

        Whole hours are merged from the profiles that were stored when their rows were rolled.
        """
        start, end = to_micros(window.start), to_micros(window.end)
        if segment:
            return self._reader.segment_profile(spec, start, end, version, segment)
        return self._reader.profile(spec, start, end, version)

    def counts(self, spec: ModelSpec, window: Window) -> tuple[int, ...]:
        """Return the rows of `profile` in each hour of a window that consists of whole hours."""
        return self._reader.counts(spec.name, to_micros(window.start), to_micros(window.end))

    def segments(self, spec: ModelSpec, window: Window) -> dict[str, int]:
        """Return the rolled rows of each segment in the hours of a window, of those told apart."""
        return self._reader.segments(spec, to_micros(window.start), to_micros(window.end))

    def late(self, window: Window, model: str = "") -> int:
        """Count rows rolled long after their hour's end; of all models if none is named."""
        return self._catalogue.late(model, to_micros(window.start), to_micros(window.end))

    def orphans(self, spec: ModelSpec, older_than: datetime) -> int:
        """Count ids with a label from before `older_than` whose prediction is still unknown."""
        return self._reader.orphans(spec.name, to_micros(older_than))

    def roll(self, now: datetime) -> int:
        """Move landed rows to Parquet files with their hourly profiles; return the rows moved.

        Appends and reads go on meanwhile.

        Raises
        ------
        StorageError
            If the disk or the database failed: nothing was moved, nothing is lost.
        """
        try:
            return self.upkeep.roll(now)
        finally:
            self._landing.release()
            if self._state.bytes < ROLL_BYTES:
                self.full.clear()

    def release(self) -> None:
        """Let go of rows that are in files by now, or in none, and of the segment if it is wanted.

        A process that neither appends nor reads would hold in memory, and in its segment, what was
        erased elsewhere: so it calls this now and then.

        Raises
        ------
        StorageError
            If the disk or the database failed.
        """
        self._landing.release()
        with self._state.lock:
            self._state.release()

    def tidy(self, now: datetime, *, eager: bool = False) -> int:
        """Delete what is too old or replaced, merge small files; return files merged.

        Appends, reads and rolls go on meanwhile. With `eager` all that can be merged is.

        Raises
        ------
        StorageError
            If the disk or the database failed, or a file is damaged: nothing is lost.
        """
        return self.upkeep.tidy(now, eager=eager, retain=self.retention.keep)

    def retain(self, now: datetime) -> Retained:
        """Delete what is too old, as `tidy` does; raises as `tidy`."""
        with self.upkeep.tidying():
            return self.retention.keep(now)

    @contextmanager
    def still(self, now: datetime) -> Iterator[None]:
        """Move what has landed to files, and keep every file where it is until the block ends.

        Appends, reads and rolls go on meanwhile. Raises as `roll`.
        """
        with self.upkeep.untidied():
            self.roll(now)
            yield

    def status(self) -> LogStatus:
        """Return figures about the log, without reading its rows."""
        with self._state.lock:
            self._state.refresh()
            files, predictions, labels, size = self._catalogue.totals()
            landed = {kind: self._state.rows(kind) for kind in Kind}
            segments = len(segment_names(self._state.landing))
            damaged = len(damaged_names(self._state.landing))
        place = self._store.place
        rows = (predictions + landed[Kind.PREDICTIONS], labels + landed[Kind.LABELS])
        figures = (*rows, files, size, sum(landed.values()), segments, damaged)
        return LogStatus(*figures, place.name, place.trouble)


def _only(answers: Sequence[Receipt | HomeostatError]) -> Receipt:
    (answer,) = answers
    if isinstance(answer, HomeostatError):
        raise answer
    return answer
