"""Files that survive a power cut once a call has returned."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def folder_name(name: str) -> str:
    """Return `name` as one safe path component.

    Examples
    --------
    >>> folder_name("../fraud model")
    '%2E%2E%2Ffraud%20model'
    """
    return quote(name, safe="").replace(".", "%2E")


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, each of them durable; raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def publish(temporary: Path, final: Path) -> None:
    """Rename a written file or folder into place, durably; raises OSError.

    A reader sees all of it or nothing. Files inside a folder must be synced before.
    """
    sync(temporary)
    temporary.replace(final)
    sync(final.parent)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock that is shared by the processes of this machine and ends with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
