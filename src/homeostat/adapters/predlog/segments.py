"""Appending to a landing segment with group commit: concurrent appenders share one fsync."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from homeostat.adapters.durable import sync
from homeostat.adapters.predlog.frames import damaged_at, scan
from homeostat.domain.errors import StorageError

SEGMENT_BYTES = 64 * 2**20
SUFFIX = ".seg"
DAMAGED = ".damaged"

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Ticket:
    """One append on its way to the disk. ``on_durable(segment, end)`` is called in file order."""

    frame: bytes
    on_durable: Callable[[str, int], None]
    settled: bool = False
    problem: OSError | None = None


@dataclass
class SegmentWriter:
    """Writes frames to this process's own segment.

    Each writer locks its segment as long as it writes to it, so that others can tell whether it
    is still growing. A segment on which a write or a sync failed is never written to again: what
    of it reached the disk is unknown, and a reader may have seen its whole frames.

    Parameters
    ----------
    folder : Path
        The landing folder, shared by all writers.
    fsync : bool
        Off only in simulations.
    segment_bytes : int
        Size from which a new segment is begun.
    """

    folder: Path
    fsync: bool = True
    segment_bytes: int = SEGMENT_BYTES
    _turn: threading.Condition = field(default_factory=threading.Condition, init=False)
    _queue: list[Ticket] = field(default_factory=list, init=False)
    _busy: bool = field(default=False, init=False)
    _descriptor: int = field(default=-1, init=False)
    _size: int = field(default=0, init=False)
    segment: str = field(default="", init=False)

    def append(self, frame: bytes, on_durable: Callable[[str, int], None]) -> None:
        """Write a frame; it is durable on return.

        Raises
        ------
        StorageError
            If the disk failed or is full: the frame is not acknowledged.
        """
        ticket = Ticket(frame, on_durable)
        with self._turn:
            self._queue.append(ticket)
            while self._busy and not ticket.settled:
                self._turn.wait()
            if not ticket.settled:
                self._busy = True
                batch, self._queue = self._queue, []
        if not ticket.settled:
            self._lead(batch)
        if ticket.problem is not None:
            raise StorageError(
                f"the prediction log in {self.folder} cannot be written: {ticket.problem}; "
                "nothing of this call was stored"
            ) from ticket.problem

    def _lead(self, batch: list[Ticket]) -> None:
        problem: OSError | None = None
        try:
            self._write(batch)
        except OSError as error:
            problem = error
        finally:
            with self._turn:
                for ticket in batch:
                    ticket.settled, ticket.problem = True, problem
                self._busy = False
                self._turn.notify_all()

    def _write(self, batch: list[Ticket]) -> None:
        if self._descriptor < 0 or self._size >= self.segment_bytes:
            self._open()
        data = memoryview(b"".join(ticket.frame for ticket in batch))
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            if self.fsync:
                os.fsync(self._descriptor)
        except OSError:
            self.close()
            raise
        for ticket in batch:
            self._size += len(ticket.frame)
            ticket.on_durable(self.segment, self._size)

    def _open(self) -> None:
        self.close()
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(self.folder / name, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Raises if a roll took the file for an abandoned one before it was locked.
            (self.folder / name).stat()
            if self.fsync:
                sync(self.folder)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self._size, self.segment = descriptor, 0, name

    def close(self) -> None:
        """Give the segment up; the next append begins a new one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._size, self.segment = -1, 0, ""


def segment_names(folder: Path) -> list[str]:
    """Return the names of all segments, oldest first."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX))


def damaged_names(folder: Path) -> list[str]:
    """Return the names of the damaged segments that were set aside, oldest first."""
    suffix = SUFFIX + DAMAGED
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(suffix))


def remove_if_abandoned(path: Path, rolled: int) -> bool:
    """Take a segment away if its writer is gone and its rows were rolled; return whether it was.

    It is deleted, unless it is damaged: then it is kept under another name, with a warning.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if next(scan(path, rolled), None) is not None:
            return False
        damage = damaged_at(path)
        if damage is None:
            path.unlink()
        else:
            kept = path.rename(path.with_name(path.name + DAMAGED))
            message = (
                "segment is damaged from byte %d on: its whole frames were rolled, it is kept as %s"
            )
            logger.warning(message, damage, kept)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
