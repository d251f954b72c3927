"""Where the finished files of a log lie: in its own folder, or in an object store.

Nothing here decides what is part of the log: the catalogue does. So a file is brought to its place
first and registered then, and what is there without being registered is swept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa

from homeostat.adapters.durable import make_folder, publish
from homeostat.domain.errors import StorageError

Source: TypeAlias = "Path | pa.NativeFile"
"""What PyArrow reads a columnar file from."""

TOLD = "place"
"""File in the log's folder that names the place, if it is another one."""
OWN = frozenset({"salt", TOLD, ".roll.lock", ".tidy.lock"})
"""Files in the log's folder that are no rows."""
OWNER = "homeostat-log"
"""Object that names the log to which a place in an object store belongs."""
CACHE, BENCH = "cache", "bench"
"""Folders in the log's folder of what is brought near, and of what is on its way."""


class AwayError(OSError):
    """The place does not answer; what is there is there still."""


class Place(Protocol):
    """Where finished files lie. Paths are relative, with forward slashes."""

    @property
    def name(self) -> str:
        """What it is called; shown to people."""
        ...

    @property
    def most_keys(self) -> int | None:
        """Bytes of key files that may be held near at a time; None: they are near as it is."""
        ...

    @property
    def trouble(self) -> str:
        """Why it does not answer; empty while it does."""
        ...

    def bench(self, folder: str) -> contextlib.AbstractContextManager[Path]:
        """Give a folder of this machine in which a file of `folder` is written; raises OSError."""
        ...

    def put(self, written: Path, path: str) -> None:
        """Move a file from a bench to its place, durably; raises OSError."""
        ...

    def open(self, path: str) -> Source:
        """Return what to read a file from, piece by piece; raises OSError."""
        ...

    def whole(self, path: str) -> contextlib.AbstractContextManager[Path]:
        """Give a file, or a copy of it, on this machine.

        Raises
        ------
        AwayError
            If the place does not answer.
        FileNotFoundError
            If it is another place than a folder, and the file is not there.
        """
        ...

    def near(self, path: str) -> Path:
        """Return a copy of a file on this machine that stays some time; raises OSError."""
        ...

    def drop(self, path: str) -> bool:
        """Let go of copies of a file; False if there are none but the file itself."""
        ...

    def size(self, path: str) -> int | None:
        """Return a file's bytes, None if it is not there; raises OSError."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder; raises OSError."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file, if it is there; raises OSError."""
        ...

    def tidy(self) -> None:
        """Delete what processes that died left on their benches; raises OSError."""
        ...

    def recognise(self) -> None:
        """Raise OSError if it is not the place that this log's files went to."""
        ...


@dataclass
class Folder:
    """The log's own folder. ``fsync`` is off only in simulations."""

    root: Path
    fsync: bool = True
    most_keys: int | None = None
    trouble: str = ""

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.root)

    @contextlib.contextmanager
    def bench(self, folder: str) -> Iterator[Path]:
        """Give the folder itself: a file is renamed where it was written."""
        path = self.root / folder
        if self.fsync:
            make_folder(path)
        else:
            path.mkdir(parents=True, exist_ok=True)
        yield path

    def put(self, written: Path, path: str) -> None:
        """Rename a file."""
        (publish if self.fsync else os.replace)(written, self.root / path)

    def open(self, path: str) -> Source:
        """Return the file's path."""
        return self.root / path

    @contextlib.contextmanager
    def whole(self, path: str) -> Iterator[Path]:
        """Give the file itself."""
        yield self.root / path

    def near(self, path: str) -> Path:
        """Return the file's path."""
        return self.root / path

    def drop(self, path: str) -> bool:  # noqa: ARG002
        """Say that there is no copy."""
        return False

    def size(self, path: str) -> int | None:
        """Return a file's bytes, None if it is not there."""
        try:
            return (self.root / path).stat().st_size
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the paths of all files of models' days below a folder."""
        found = (self.root / folder).glob("model=*/day=*/*")
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        (self.root / path).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Do nothing: what lies beside files is swept with them."""

    def recognise(self) -> None:
        """Do nothing: the folder holds the salt too."""


def settle(root: Path, place: Place) -> None:
    """Compare a place with the one that the log's files went to before, and note a new one.

    Raises
    ------
    StorageError
        If they lie elsewhere: the log would seem to have lost its files.
    """
    own, note = isinstance(place, Folder), root / TOLD
    try:
        before = note.read_text(encoding="utf-8").strip() if note.exists() else ""
        if not before and not own and next(root.glob("*/model=*/day=*/*"), None) is not None:
            before = str(root)
        if before and before != place.name:
            raise StorageError(
                f"the files of the prediction log {root} are in {before}, the settings name "
                f"{place.name}: copy the folders predictions and labels there while nothing runs, "
                f"delete them in {before}, and write the new address into {note} (delete that file "
                "if the log goes back to its own folder)"
            )
        if not before and not own:
            temporary = note.with_name(TOLD + ".tmp")
            temporary.write_text(place.name, encoding="utf-8")
            publish(temporary, note)
    except OSError as error:
        raise StorageError(f"the prediction log {root}: {error}") from error
