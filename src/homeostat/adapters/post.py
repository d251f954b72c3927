"""A place on this machine that one process occupies: a locked file, free as soon as it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from homeostat.domain.errors import StorageError


@dataclass
class FilePost:
    """Implements `homeostat.engine.lease.Post` by a lock on a file.

    Raises
    ------
    StorageError
        If the file cannot be opened.
    """

    path: Path
    name: str = field(default="", init=False)
    _descriptor: int = field(default=-1, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        descriptor = self._open()
        try:
            place = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        # Other machines have such numbers too, and containers of one name other files.
        self.name = f"{socket.gethostname()}:{place.st_dev}:{place.st_ino}"

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be opened: {error.strerror}") from error

    def occupy(self) -> bool:
        """Take the place, or keep it; False if another process has it."""
        with self._lock:
            if self._descriptor >= 0:
                return True
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
            return True

    def leave(self) -> None:
        """Give the place up."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1
