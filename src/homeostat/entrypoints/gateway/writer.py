"""Brings prediction records to the log without ever making a caller wait for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

from homeostat.adapters.predlog.spill import Spill
from homeostat.domain.errors import NotFoundError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.personal import Protector
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.gateway.answered import Answered, records
from homeostat.entrypoints.gateway.away import AWAY, REFUSED, later
from homeostat.entrypoints.release import Release

logger = logging.getLogger(__name__)

LINGER = 0.5  # seconds in which rows gather: an append costs as much for one as for a hundred
ENOUGH = 5_000
FIRST_WAIT = 0.05
LONGEST_WAIT = 5.0
PATIENCE = 1.0  # seconds that an append may take before what comes after it goes to the disk
UNPROTECTED = Protector()

Item: TypeAlias = tuple[ModelSpec, Answered, float]


class Appends(Protocol):
    """What the writer needs of a prediction log."""

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        """Store prediction records, durably."""
        ...


@dataclass
class WriterCounts:
    """Rows by what became of them; every row handed in is in exactly one, or still in line.

    Rows that an earlier process left on disk are counted by the one that brings them to the log.
    """

    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    dropped: int = 0  # no room in line or on disk, or the writer was closed
    failed: int = 0  # the log refused the whole batch, or it could not be made into records


class LogWriter:
    """A bounded line in front of the prediction log and one thread that empties it.

    Batches that wait together are appended together. While the log is away or slow, a second thread
    brings what comes to `spill`, from where it is replayed once the log is back. Without a spill
    batches wait in line, and new ones are dropped and counted once it is full.

    Parameters
    ----------
    log : Appends
    capacity : int
        Most rows in line.
    spill : Spill, optional
    specs : sequence of ModelSpec
        Models whose rows may be in the spill from before.
    protector : Protector
        Hashes personal values before they go to the disk.
    release : Release, optional
        Has what is gone from the log let go of, whether records come or not.
    """

    def __init__(
        self,
        log: Appends,
        capacity: int = 100_000,
        spill: Spill | None = None,
        specs: Sequence[ModelSpec] = (),
        protector: Protector = UNPROTECTED,
        release: Release | None = None,
    ) -> None:
        self._log, self._capacity, self._spill = log, capacity, spill
        self._protector, self._release = protector, release
        self._specs = {spec.name: spec for spec in specs}
        self.counts = WriterCounts()
        self._line: deque[Item] = deque()
        self._rows = 0
        self._taken: list[Item] = []  # what is being brought to the log
        self._takings = 0
        self._busy = self._spilling = False
        self._away = False
        self._hurried = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        if spill is not None and _holds(spill):
            self._away = True
        if self._away or release is not None:
            self._start()

    @property
    def waiting(self) -> int:
        """Rows in line or being written."""
        return self._rows

    @property
    def spilled(self) -> int:
        """Rows of this process on disk, waiting for the log."""
        return self._spill.rows if self._spill is not None else 0

    def put(self, spec: ModelSpec, rows: Answered, share: float = 1.0) -> bool:
        """Put records in line; False if they were dropped.

        Parameters
        ----------
        spec : ModelSpec
        rows : Answered
            Become prediction records in the writer's thread.
        share : float
            Part of the capacity that these rows may use, in line and on disk; less important ones
            get less.
        """
        size = rows.num_rows
        with self._lock:  # that of the condition, at half the cost
            if self._closed or self._rows + size > self._capacity * share:
                self.counts.dropped += size
                return False
            self._line.append((spec, rows, share))
            self._rows += size
            if self._thread is None:
                self._start()
            if len(self._line) == 1 or self._rows >= ENOUGH:  # others find the writer awake
                self._changed.notify_all()
            return True

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until everything in line is in the log; False if that took longer."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(self._idle, seconds)
            finally:
                self._hurried -= 1

    def close(self, seconds: float = 10.0) -> bool:
        """Write what is in line and stop; False if rows had to be given up (counted as dropped).

        What the log does not take in time goes to the disk, where there is a spill.
        """
        done = self.flush(0.0 if self._away else seconds)
        with self._changed:
            self._closed = True
            left = [*self._line, *(self._taken if self._spill is not None else ())]
            self._line.clear()
            self._changed.notify_all()
        if self._spill is None:
            self.counts.dropped += _count(left)
            return done
        before = self.counts.dropped
        if not self._keep(self._spill, left):
            self.counts.dropped += _count(left)
        with self._changed:  # what is being brought to the disk already
            self._changed.wait_for(lambda: not self._spilling, seconds)
        self._spill.close()
        return self.counts.dropped == before and not self._spilling

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        if self._spill is not None:
            threading.Thread(target=self._divert, args=(self._spill,), daemon=True).start()

    def _idle(self) -> bool:
        under_way = self._busy or self._spilling or self._away
        return not under_way and not self._line and not self.spilled

    def _ripe(self) -> bool:
        return self._rows >= ENOUGH or self._hurried > 0 or self._closed

    def _write(self) -> None:
        while True:
            if self._away and self._spill is not None and not self._return(self._spill):
                return
            self._let_go()
            with self._changed:
                every = None if self._release is None else self._release.every
                if self.spilled:  # another process was at it: it may be done, or have given up
                    every = FIRST_WAIT
                if not self._changed.wait_for(lambda: bool(self._line) or self._closed, every):
                    self._away = self._away or self.spilled > 0
                    continue
                self._changed.wait_for(self._ripe, LINGER)
                if not self._line and self._closed:
                    return
                self._taken = taken = list(self._line)
                self._line.clear()
                self._begin()
            for spec, rows in self._tables(taken):
                self._specs.setdefault(spec.name, spec)
                self._append(spec, rows)
            with self._changed:
                self._taken, self._busy = [], False
                self._rows -= _count(taken)
                self._away = self._away or self.spilled > 0
                self._changed.notify_all()

    def _let_go(self) -> None:
        if self._release is None:
            return
        try:
            with later("letting go of what is gone from the log"):
                self._release.step()
        except AWAY as error:
            logger.warning("%s", error)

    def _begin(self) -> None:
        self._busy = True
        self._takings += 1
        self._changed.notify_all()

    def _tables(self, items: Sequence[Item]) -> list[tuple[ModelSpec, pa.Table]]:
        grouped: dict[str, tuple[ModelSpec, list[Answered]]] = {}
        for spec, rows, _ in items:
            grouped.setdefault(spec.name, (spec, []))[1].append(rows)
        found = []
        for spec, batches in grouped.values():
            try:
                with later("making records"):
                    found.append((spec, self._protector.table(spec, records(batches))))
            except (*AWAY, *REFUSED):
                logger.exception("%s: answers that cannot be made into records", spec.name)
                self.counts.failed += sum(rows.num_rows for rows in batches)
        return found

    def _append(self, spec: ModelSpec, rows: pa.Table) -> None:
        pause = FIRST_WAIT
        while True:
            try:
                self._send(spec.name, rows)
            except AWAY as error:
                if self._stowed(spec, rows, error) or not self._retry(spec, rows, error, pause):
                    return
                pause = min(2 * pause, LONGEST_WAIT)
            except REFUSED as error:
                logger.error("%s: %d records refused by the log: %s", spec.name, len(rows), error)  # noqa: TRY400
                self.counts.failed += rows.num_rows
                return
            else:
                return

    def _send(self, model: str, rows: pa.Table) -> None:
        spec = self._specs.get(model)
        if spec is None:
            raise NotFoundError(f"no model named {model!r} is served here any more")
        with later("the log", *REFUSED):
            receipt = self._log.append(spec, rows)
        self.counts.accepted += receipt.accepted
        self.counts.duplicates += receipt.duplicates
        self.counts.quarantined += len({bad.row for bad in receipt.rejected})

    def _retry(self, spec: ModelSpec, rows: pa.Table, error: Exception, pause: float) -> bool:
        logger.warning("%s: log not written, trying again: %s", spec.name, error)
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, pause):
                self.counts.dropped += rows.num_rows if self._spill is None else 0
                return False
        return True

    def _stowed(self, spec: ModelSpec, rows: pa.Table, error: Exception) -> bool:
        """Bring rows that the log did not take to the disk; False if that does not work either."""
        if self._spill is None or self._closed:  # at the end `close` does it
            return False
        try:
            with later(str(self._spill.folder)):
                kept = self._spill.keep([(spec.name, rows)])
        except StorageError as problem:
            logger.warning("%s: cannot be kept on disk either: %s", spec.name, problem)
            return False
        if not kept:
            self.counts.dropped += rows.num_rows
        if not self._away:
            logger.warning("%s: log away, answers are kept on disk: %s", spec.name, error)
            with self._changed:
                self._away = True
                self._changed.notify_all()
        return True

    def _return(self, spill: Spill) -> bool:
        """Replay what is on disk, as soon as the log takes it; False if the writer was closed."""
        pause, told = FIRST_WAIT, ""
        while True:
            try:
                self._replay(spill)
                with self._changed:
                    self._away = False
                    self._begin()
                    self._changed.wait_for(lambda: not self._spilling)
                self._replay(spill)  # what was diverted meanwhile
            except AWAY as error:
                if told != str(error):
                    logger.warning("log still away: %s", error)
                told, pause = str(error), min(2 * pause, LONGEST_WAIT)
                with self._changed:
                    self._away, self._busy = True, False
                    self._changed.notify_all()
                    if self._changed.wait_for(
                        lambda: self._closed, FIRST_WAIT if self._hurried else pause
                    ):
                        return False
            else:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
                return True

    def _replay(self, spill: Spill) -> None:
        with later(str(spill.folder)):
            spill.replay(self._send)

    def _divert(self, spill: Spill) -> None:
        """Bring what is in line to the disk while the log is away, or an append takes too long."""
        while (taken := self._diverted()) is not None:
            kept = not taken or self._keep(spill, taken)
            with self._changed:
                self._spilling = False
                if kept:
                    self._rows -= _count(taken)
                else:
                    self._line.extendleft(reversed(taken))
                self._changed.notify_all()
                if not kept:
                    self._changed.wait_for(lambda: self._closed, LONGEST_WAIT)

    def _diverted(self) -> list[Item] | None:
        """Wait for what is to go to the disk; None once the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy or self._away or self._closed)
            number = self._takings

            def stuck() -> bool:
                return self._away or (self._busy and self._takings == number)

            if not self._away:
                self._changed.wait_for(lambda: self._away or self._closed or not stuck(), PATIENCE)
            self._changed.wait_for(
                lambda: self._closed or not stuck() or (bool(self._line) and self._ripe()), LINGER
            )
            if self._closed:
                return None
            if not stuck():
                return []
            taken = list(self._line)
            self._line.clear()
            self._spilling = bool(taken)
            return taken

    def _keep(self, spill: Spill, items: Sequence[Item]) -> bool:
        """Bring rows to the disk, those that matter most first; False if the disk failed.

        Rows for which there is no room are dropped and counted.
        """
        for share in sorted({share for _, _, share in items}, reverse=True):
            some = [item for item in items if item[2] == share]
            tables = [(spec.name, rows) for spec, rows in self._tables(some)]
            try:
                with later(str(spill.folder)):
                    kept = spill.keep(tables, share)
            except StorageError as error:
                logger.warning("answers cannot be kept on disk: %s", error)
                return False
            if not kept:
                self.counts.dropped += _count(some)
        return True


def _holds(spill: Spill) -> bool:
    try:
        return spill.waiting
    except OSError as error:
        logger.warning("%s cannot be read: %s", spill.folder, error)
        return False


def _count(items: Iterable[Item]) -> int:
    return sum(rows.num_rows for _, rows, _ in items)
