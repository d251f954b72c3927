"""Keeping the log in shape: landed rows into files, small files into large ones."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from homeostat.adapters.durable import exclusive, sync
from homeostat.adapters.heap import give_back
from homeostat.adapters.predlog.catalogue import Catalogue, Change, FileEntry, Quarantined
from homeostat.adapters.predlog.compact import choose, compact
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hours import HOUR
from homeostat.adapters.predlog.labels import settle_labels
from homeostat.adapters.predlog.parquet import FileStore, day_text
from homeostat.adapters.predlog.quarantine import Quarantine
from homeostat.adapters.predlog.roll import refused_rows, write_files
from homeostat.adapters.predlog.segments import (
    abandoned,
    drop_askings,
    remove_if_abandoned,
    segment_names,
)
from homeostat.adapters.predlog.state import RECENT, LogState
from homeostat.adapters.records.codec import to_micros
from homeostat.domain.errors import StorageError

logger = logging.getLogger(__name__)

GRACE = timedelta(minutes=15)
"""How long a file that was replaced is kept: readers may be at it."""
ROLL_BYTES = 24 * 2**20
"""Bytes of landed rows from which they should be rolled, and about how many are at a time."""


@dataclass(frozen=True)
class Upkeep:
    """Changes the files of a log; by one process at a time, whoever it is.

    ``settle_rows`` is the number of new labels from which they are sorted by the day of their
    predictions.
    """

    root: Path
    state: LogState
    catalogue: Catalogue
    store: FileStore
    settle_rows: int

    @contextlib.contextmanager
    def tidying(self) -> Iterator[None]:
        """Hold off tidying by other processes; raises StorageError if the disk fails meanwhile."""
        try:
            with self.untidied():
                yield
        except OSError as error:
            raise StorageError(f"the prediction log {self.root}: {error}") from error

    @contextlib.contextmanager
    def untidied(self) -> Iterator[None]:
        """Hold off tidying by other processes; errors of the block stay as they are."""
        with exclusive(self.root / ".tidy.lock"):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off rolls too; appends and reads go on. Raises as `tidying`."""
        with self.tidying(), exclusive(self.root / ".roll.lock"):
            yield

    def empty_landing(self, now: datetime) -> int:
        """Move landed rows to files and delete segments that nobody writes; see `alone`."""
        moved = self._move(now)
        self._drop_segments(now)
        return moved

    def files(self, model: str) -> dict[Kind, list[FileEntry]]:
        """Return all files of a model, as of now."""
        with self.state.lock:
            self.state.refresh()
            days = {kind: self.state.files[kind, model] for kind in Kind}
            return {
                kind: [f for day in found.values() for f in day] for kind, found in days.items()
            }

    def change(self, change: Change, now: datetime) -> None:
        """Register a change and take it in; see `alone`."""
        self.catalogue.register(change, now)
        with self.state.lock:
            self.state.refresh()

    def roll(self, now: datetime) -> int:
        """Move landed rows to Parquet files with their hourly profiles; return the rows moved.

        Appends and reads go on meanwhile.

        Raises
        ------
        StorageError
            If the disk or the database failed: nothing was moved, nothing is lost.
        """
        try:
            with exclusive(self.root / ".roll.lock"):
                moved = self._move(now)
                # Before labels are sorted, for which a damaged file may be needed.
                self._drop_segments(now)
                self._settle_labels(now)
                return moved
        except OSError as error:
            raise StorageError(f"the prediction log {self.root} cannot roll: {error}") from error

    def tidy(
        self, now: datetime, *, eager: bool, retain: Callable[[datetime], object] | None = None
    ) -> int:
        """Merge small files and delete what is part of the log no more; return files merged.

        Appends, reads and rolls go on meanwhile. With `eager` all that can be merged is; `retain`
        removes what is too old.

        Raises
        ------
        StorageError
            If the disk or the database failed, or a file is damaged: nothing is lost.
        """
        with self.tidying():
            with exclusive(self.root / ".roll.lock"):
                self.store.sweep(self.catalogue.paths(now - GRACE))
            try:
                if retain is not None:
                    retain(now)
            finally:
                done = self._compact(now, eager=eager)
            return done

    def _compact(self, now: datetime, *, eager: bool) -> int:
        state, done = self.state, 0
        with state.lock:
            state.refresh()
            days = [dict(by_day) for by_day in state.files.values()]
        closed = day_text(to_micros(now) - HOUR)
        groups = [group for found in days for group in choose(found, closed=closed, eager=eager)]
        problems = list[StorageError]()
        for group in groups:
            try:
                change = compact(self.store, group)
            except StorageError as error:
                problems.append(error)  # it is repaired or not; the others must not wait
                continue
            give_back()
            if change.removed:
                self.catalogue.register(change, now)
                self._open(change)
                done += len(change.removed)
                with state.lock:
                    state.refresh()
        if problems:
            raise problems[0]
        return done

    def _open(self, change: Change) -> None:
        """Check key files that are new, which takes its time, before appends wait for it."""
        for entry in change.added:
            with contextlib.suppress(StorageError):  # told to whoever needs it
                self.store.keys(entry)

    def _move(self, now: datetime) -> int:
        """Move what has landed by now, in steps that fit into memory."""
        state = self.state
        with state.lock:
            state.refresh()
            goal = dict(state.frontier)
        moved = 0
        while any(state.rolled.get(name, 0) < end for name, end in goal.items()):
            with state.lock:
                snapshot = state.freeze(ROLL_BYTES)
            change = write_files(snapshot, self.store)
            change = replace(change, refused=refused_rows(snapshot, now))
            self.catalogue.register(change, now)
            self._open(change)
            with state.lock:
                state.settle(snapshot)
            self._tell(change.refused, now)
            moved += sum(entry.rows for entry in change.added)
        return moved

    def _tell(self, refused: Sequence[Quarantined], now: datetime) -> None:
        for model, rows in Counter(entry.model for entry in refused).items():
            logger.warning(
                "%s: %d rows were acknowledged with ids that another process had acknowledged with "
                "other timestamps or scores: these rows are in quarantine",
                model,
                rows,
            )
            Quarantine(self.catalogue.database, model).trim(now)

    def _settle_labels(self, now: datetime) -> None:
        state = self.state
        with state.lock:
            models = [model for kind, model in state.files if kind is Kind.LABELS]
        problems = list[StorageError]()
        for model in models:
            with state.lock:
                labels = dict(state.files[Kind.LABELS, model])
                predicted = dict(state.files[Kind.PREDICTIONS, model])
            if sum(file.rows for file in labels.get(RECENT, ())) >= self.settle_rows:
                try:
                    change = settle_labels(self.store, model, labels, predicted)
                except StorageError as error:
                    problems.append(error)
                    continue
                self.catalogue.register(change, now)
                with state.lock:
                    state.refresh()
        if problems:
            raise problems[0]

    def _drop_segments(self, now: datetime) -> None:
        """Delete the segments that nobody writes and that are in files; see `alone`."""
        landing, state = self.state.landing, self.state
        spare = [
            name
            for name in segment_names(landing)
            if name != state.writing() and abandoned(landing / name, state.rolled.get(name, 0))
        ]
        if spare:
            # Noted first: who looks in between, or after a kill, knows that no row is missing.
            self.catalogue.drop(spare, now)
        for name in spare:
            remove_if_abandoned(landing / name, state.rolled.get(name, 0))
        drop_askings(landing)
        # Their offsets stay a while: who holds their rows learns that these are in files.
        old = self.catalogue.dropped(now - GRACE) - set(segment_names(landing))
        if old:
            if self.store.fsync:
                # Else a power cut may bring a segment back of which nobody knows it was rolled.
                sync(landing)
            self.catalogue.forget(sorted(old))
            with state.lock:
                state.let_go(old)
