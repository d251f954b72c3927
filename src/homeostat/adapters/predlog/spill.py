"""Prediction records on disk while the log is away: for this process, or for the next one."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.durable import make_folder
from homeostat.adapters.predlog.frames import Kind, pack, scan
from homeostat.adapters.predlog.segments import SegmentWriter, segment_names
from homeostat.domain.errors import HomeostatError, OverloadError, StorageError

SEGMENT_BYTES = 8 * 2**20
REFUSED = ".refused"
Send = Callable[[str, pa.Table], None]
"""Brings rows of a model to the log; StorageError, OverloadError and OSError mean "later"."""

logger = logging.getLogger(__name__)


@dataclass
class Spill:
    """Segments of frames in a folder that processes share, each writing to one of its own.

    What is kept is on the disk when `keep` returns, and is replayed by whoever comes first: this
    process, another one, or one started after a crash. Rows may be replayed twice if the process is
    killed meanwhile; the log takes each id once.

    Parameters
    ----------
    folder : Path
        Made when it is first needed.
    most_bytes : int
        Of all that is kept in the folder, by all processes; of what was refused, as much again.
    fsync : bool
        Off only in simulations.
    """

    folder: Path
    most_bytes: int = 2**30
    fsync: bool = True
    _writer: SegmentWriter | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _rows: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def rows(self) -> int:
        """Rows that this process kept and that still wait."""
        return sum(self._rows.copy().values())

    @property
    def waiting(self) -> bool:
        """Whether anything is kept, by whichever process; raises OSError."""
        return self.folder.is_dir() and bool(segment_names(self.folder))

    def keep(self, batches: Sequence[tuple[str, pa.Table]], share: float = 1.0) -> bool:
        """Write rows of models with one sync.

        Parameters
        ----------
        batches : sequence of (str, Table)
            Model and prediction records.
        share : float
            Part of `most_bytes` that these may use; less important ones get less.

        Returns
        -------
        bool
            False if there is no room: nothing of them is kept.

        Raises
        ------
        StorageError
            If the disk failed: nothing of them is kept.
        """
        frames = [pack(Kind.PREDICTIONS, model, rows) for model, rows in batches]
        with self._lock:
            try:
                make_folder(self.folder)
                used = _size(self.folder)
                if self._writer is None or not self._writer.segment:  # the folder may be a new one
                    self._writer = SegmentWriter(self.folder, self.fsync, SEGMENT_BYTES)
            except OSError as error:
                raise StorageError(f"{self.folder} cannot be used: {error}") from error
            if used + sum(map(len, frames)) > self.most_bytes * share:
                return False
            ends = self._writer.write(frames)
            for (segment, _), (_, rows) in zip(ends, batches, strict=True):
                self._rows[segment] = self._rows.get(segment, 0) + rows.num_rows
        return True

    def replay(self, send: Send) -> None:
        """Send what is kept, oldest first, and delete it; what others write to is left to them.

        A segment of which rows were refused is set aside under a name that ends with ``.refused``;
        when there are too many of them the oldest go.

        Raises
        ------
        StorageError, OverloadError, OSError
            As `send`: what is not sent yet stays where it is.
        """
        with self._lock:
            names = segment_names(self.folder) if self.folder.is_dir() else []
            for gone in self._rows.keys() - set(names):  # another process brought them to the log
                del self._rows[gone]
        for name in names:
            with self._lock:
                if self._writer is not None and name == self._writer.segment:
                    self._writer.close()
            self._replay(self.folder / name, send)

    def close(self) -> None:
        """Give this process's segment up, so that another one may replay it."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()

    def _make_room(self) -> None:
        """Delete the oldest of what was refused, if it is too much; raises OSError."""
        used = _size(self.folder, refused=True)
        for path in sorted(self.folder.glob(f"*{REFUSED}")):
            if used <= self.most_bytes:
                return
            logger.error("%s is deleted: more than %d bytes were refused", path, self.most_bytes)
            with suppress(FileNotFoundError):  # another process was faster
                used -= path.stat().st_size
                path.unlink()

    def _replay(self, path: Path, send: Send) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # another process was faster
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                return
            refused = _sent(path, send)
            if refused:
                path.rename(path.with_name(path.name + REFUSED))
                self._make_room()
            else:
                path.unlink()
            self._rows.pop(path.name, None)
        except BlockingIOError:
            return
        finally:
            os.close(descriptor)


def _sent(path: Path, send: Send) -> bool:
    """Send a segment's frames; return whether any were refused."""
    refused = False
    for frame in scan(path, 0):
        try:
            send(frame.model, frame.rows)
        except (StorageError, OverloadError):
            raise
        except (HomeostatError, pa.ArrowException) as error:
            refused = True
            logger.error(  # noqa: TRY400
                "%s: %d kept records refused by the log, they stay in %s%s: %s",
                *(frame.model, len(frame.rows), path, REFUSED, error),
            )
    return refused


def _size(folder: Path, *, refused: bool = False) -> int:
    """Return the bytes of what was refused, or of what waits."""
    total = 0
    for entry in os.scandir(folder):
        if entry.name.endswith(REFUSED) is not refused:
            continue
        try:
            total += entry.stat().st_size
        except FileNotFoundError:  # replayed and deleted by another process
            continue
    return total
