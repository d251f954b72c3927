"""Landing segments: files that are only appended to, one for each process that writes."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

from homeostat.adapters.durable import sync
from homeostat.adapters.predlog.frames import damaged_at, scan
from homeostat.domain.errors import StorageError

SEGMENT_BYTES = 24 * 2**20
SUFFIX = ".seg"
DAMAGED = ".damaged"
ASKED = ".asked"

REPLACED = (
    "the folder is another one than when Homeostat was started (was a backup restored, or a disk "
    "mounted?): start it again"
)

Place: TypeAlias = tuple[int, int]

logger = logging.getLogger(__name__)


def place_of(folder: Path) -> Place:
    """Return what tells a folder from another one of its name; raises OSError."""
    found = folder.stat()
    return found.st_dev, found.st_ino


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

    Attributes
    ----------
    segment : str
        Name of the one that is written; empty if there is none.
    lost : set of str
        Segments that somebody took away before they were given up.
    """

    folder: Path
    fsync: bool = True
    segment_bytes: int = SEGMENT_BYTES
    _descriptor: int = field(default=-1, init=False)
    _size: int = field(default=0, init=False)
    segment: str = field(default="", init=False)
    lost: set[str] = field(default_factory=set, init=False)
    _place: Place = field(init=False)

    def __post_init__(self) -> None:
        self._place = place_of(self.folder)

    def write(self, frames: Sequence[bytearray]) -> list[tuple[str, int]]:
        """Write frames with one sync, from one thread at a time; they are durable on return.

        If somebody took the segment away, they are written to another one.

        Returns
        -------
        list of (str, int)
            Segment of each frame, and the offset after it.

        Raises
        ------
        StorageError
            If the disk failed or is full: none of the frames is acknowledged.
        """
        try:
            if self._descriptor < 0 or self._size >= self.segment_bytes:
                self._open()
            data = memoryview(frames[0] if len(frames) == 1 else b"".join(frames))
            self._put(data)
            if not self._there():
                logger.error(
                    "somebody took the segment %s away while it was written to: acknowledged rows "
                    "that are not in columnar files are in memory only; another one is begun",
                    self.folder / self.segment,
                )
                self._open()
                self._put(data)
        except OSError as error:
            self.close()
            raise StorageError(
                f"the prediction log in {self.folder} cannot be written: {error}; "
                "nothing of this call was stored"
            ) from error
        ends = [self._size + end for end in accumulate(map(len, frames))]
        self._size = ends[-1]
        return [(self.segment, end) for end in ends]

    def _put(self, data: memoryview) -> None:
        written = 0
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        if self.fsync:
            os.fsync(self._descriptor)

    def _there(self) -> bool:
        """Whether the segment is in the folder still."""
        try:
            found = (self.folder / self.segment).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def _open(self) -> None:
        self.close()
        if place_of(self.folder) != self._place:
            raise OSError(REPLACED)
        while self._descriptor < 0:
            # Named before it exists: whoever finds the file in the folder knows whose it is.
            self.segment = f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
            self._descriptor = self._locked(self.folder / self.segment)
        if self.fsync:
            sync(self.folder)

    @staticmethod
    def _locked(path: Path) -> int:
        """Make a segment and lock it; -1 if a roll elsewhere took it away before it was locked."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(path, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            path.stat()
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, FileNotFoundError):
                return -1
            raise
        return descriptor

    def unwanted(self) -> bool:
        """Whether somebody has asked that this segment be given up; see `ask_for`."""
        return bool(self.segment) and (self.folder / (self.segment + ASKED)).exists()

    def close(self) -> None:
        """Give the segment up; the next append begins a new one."""
        if self._descriptor >= 0:
            with suppress(OSError):
                if not self._there():
                    # Noted before another is begun: who looks in between knows whose it was.
                    self.lost.add(self.segment)
            os.close(self._descriptor)
        self._descriptor, self._size, self.segment = -1, 0, ""


def segment_names(folder: Path) -> list[str]:
    """Return the names of all segments, oldest first."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX))


def ask_for(folder: Path, name: str) -> None:
    """Ask the writer of a segment to give it up at its next write or roll; raises OSError."""
    (folder / (name + ASKED)).touch()


def drop_askings(folder: Path) -> None:
    """Delete what was asked of segments that are gone; raises OSError."""
    for path in folder.glob("*" + ASKED):
        if not path.with_suffix("").exists():
            path.unlink(missing_ok=True)


def damaged_names(folder: Path) -> list[str]:
    """Return the names of the damaged segments that were set aside, oldest first."""
    suffix = SUFFIX + DAMAGED
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(suffix))


def abandoned(path: Path, rolled: int) -> bool:
    """Whether a segment's writer is gone and its rows were rolled; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return next(scan(path, rolled), None) is None
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def remove_if_abandoned(path: Path, rolled: int) -> bool:
    """Take a segment away if it is abandoned; return whether it was.

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
