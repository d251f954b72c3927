"""Brings prediction records to the log without ever making a caller wait for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

import pyarrow as pa

from homeostat.domain.errors import HomeostatError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import PredictionLog
from homeostat.entrypoints.gateway.answered import Answered, records

logger = logging.getLogger(__name__)

LINGER = 0.2  # seconds in which rows gather: an append costs as much for one as for a hundred
ENOUGH = 5_000
FIRST_WAIT = 0.05
LONGEST_WAIT = 5.0


@dataclass
class WriterCounts:
    """Rows by what became of them; every row handed in is in exactly one, or still in line."""

    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    dropped: int = 0  # no room in line, or the writer was closed
    failed: int = 0  # the log refused the whole batch


class LogWriter:
    """A bounded line in front of the prediction log and one thread that empties it.

    Batches that wait together are appended together. While the log fails, they wait, and new ones
    are dropped and counted once the line is full.

    Parameters
    ----------
    log : PredictionLog
    capacity : int
        Most rows in line.
    """

    def __init__(self, log: PredictionLog, capacity: int = 100_000) -> None:
        self._log, self._capacity = log, capacity
        self.counts = WriterCounts()
        self._line: deque[tuple[ModelSpec, Answered]] = deque()
        self._rows = 0
        self._busy = False
        self._hurried = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Rows in line or being written."""
        return self._rows

    def put(self, spec: ModelSpec, rows: Answered, share: float = 1.0) -> bool:
        """Put records in line; False if they were dropped.

        Parameters
        ----------
        spec : ModelSpec
        rows : Answered
            Become prediction records in the writer's thread.
        share : float
            Part of the capacity that these rows may use; less important ones get less.
        """
        with self._changed:
            if self._closed or self._rows + rows.num_rows > self._capacity * share:
                self.counts.dropped += rows.num_rows
                return False
            self._line.append((spec, rows))
            self._rows += rows.num_rows
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, daemon=True)
                self._thread.start()
            if len(self._line) == 1 or self._rows >= ENOUGH:  # others find the writer awake
                self._changed.notify_all()
            return True

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until everything in line is written; False if that took longer."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._line and not self._busy, seconds)
            finally:
                self._hurried -= 1

    def close(self, seconds: float = 10.0) -> bool:
        """Write what is in line and stop; False if rows had to be given up (counted as dropped)."""
        done = self.flush(seconds)
        with self._changed:
            self._closed = True
            self.counts.dropped += sum(rows.num_rows for _, rows in self._line)
            self._line.clear()
            self._changed.notify_all()
        return done

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._line) or self._closed)
                self._changed.wait_for(self._ripe, LINGER)
                if not self._line:
                    return
                taken = list(self._line)
                self._line.clear()
                self._busy = True
            for spec, batches in _by_model(taken):
                self._append(spec, records(batches))
            with self._changed:
                self._rows -= sum(rows.num_rows for _, rows in taken)
                self._busy = False
                self._changed.notify_all()

    def _ripe(self) -> bool:
        return self._rows >= ENOUGH or self._hurried > 0 or self._closed

    def _append(self, spec: ModelSpec, rows: pa.Table) -> None:
        pause = FIRST_WAIT
        while True:
            try:
                receipt = self._log.append(spec, rows)
            except (StorageError, OSError) as error:
                if not self._retry(spec, rows, error, pause):
                    return
                pause = min(2 * pause, LONGEST_WAIT)
            except (HomeostatError, pa.ArrowException) as error:
                logger.error("%s: %d records refused by the log: %s", spec.name, len(rows), error)  # noqa: TRY400
                self.counts.failed += rows.num_rows
                return
            else:
                self.counts.accepted += receipt.accepted
                self.counts.duplicates += receipt.duplicates
                self.counts.quarantined += len({bad.row for bad in receipt.rejected})
                return

    def _retry(self, spec: ModelSpec, rows: pa.Table, error: Exception, pause: float) -> bool:
        logger.warning("%s: log not written, trying again: %s", spec.name, error)
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, pause):
                self.counts.dropped += rows.num_rows
                return False
        return True


def _by_model(
    batches: list[tuple[ModelSpec, Answered]],
) -> list[tuple[ModelSpec, list[Answered]]]:
    grouped: dict[str, tuple[ModelSpec, list[Answered]]] = {}
    for spec, rows in batches:
        grouped.setdefault(spec.name, (spec, []))[1].append(rows)
    return list(grouped.values())
