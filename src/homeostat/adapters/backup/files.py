"""The files of a backup: linked or copied, with their checksums in a manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from homeostat.adapters.durable import make_folder, publish, sync
from homeostat.adapters.records.codec import decode, encode
from homeostat.domain.errors import DataError, NotFoundError, StorageError

MANIFEST = "manifest.json"
FORMAT = 1
PARTS = ("records", "log", "models")


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of a backup: its size in bytes and its SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    ``began`` is when it was begun: everything that was acknowledged by then is in it. ``rows`` are
    of the tables, ``files`` by their paths in the backup.
    """

    format: int
    began: datetime
    revision: str
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, Kept] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(kept.bytes for kept in self.files.values())


def digest(path: Path) -> str:
    """Return a file's SHA-256; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bring(source: Path, target: Path, *, link: bool) -> None:
    """Have a file at `target`, durably: another name for the same one where that can be.

    Raises
    ------
    OSError
        If the disk failed or is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            os.link(source, target)
        except OSError:
            pass  # another file system, or one without links
        else:
            return
    shutil.copyfile(source, target)
    sync(target)


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and make all of the folder durable; raises OSError."""
    path = folder / MANIFEST
    path.write_text(encode(manifest), encoding="utf-8")
    sync(path)
    for inner, _, _ in os.walk(folder):
        sync(Path(inner))


def put(folder: Path, target: Path) -> None:
    """Move a sealed folder to its place, as a folder or as one tar file; raises OSError."""
    if target.suffix != ".tar":
        publish(folder, target)
        return
    temporary = target.with_name(target.name + ".tmp")
    with tarfile.open(temporary, "w") as packed:
        packed.add(folder, arcname=".")
    publish(temporary, target)
    shutil.rmtree(folder)


@contextmanager
def unpacked(backup: Path, beside: Path) -> Iterator[Path]:
    """Give a backup as a folder; a tar file is unpacked beside `beside` meanwhile.

    Raises
    ------
    NotFoundError
        If there is nothing.
    DataError
        If it is no backup.
    """
    if backup.is_dir():
        yield backup
        return
    if not backup.exists():
        raise NotFoundError(f"there is no backup {backup}")
    make_folder(beside)
    with TemporaryDirectory(prefix=".restore-", dir=beside) as folder:
        try:
            with tarfile.open(backup) as packed:
                packed.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise DataError(f"{backup} is no backup: {error}") from error
        yield Path(folder)


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup says of itself.

    Raises
    ------
    DataError
        If it is none, is damaged, or was made by a newer Homeostat.
    """
    path = folder / MANIFEST
    try:
        manifest = decode(path.read_text(encoding="utf-8"), Manifest)
    except (OSError, UnicodeDecodeError, StorageError) as error:
        raise DataError(f"{folder} is no backup: {path.name}: {error}") from error
    if manifest.format != FORMAT:
        raise DataError(f"{folder} is of format {manifest.format}; this Homeostat knows {FORMAT}")
    for name in manifest.files:
        parts = Path(name).parts
        if parts[0] not in PARTS or ".." in parts:
            raise DataError(f"{folder}: {MANIFEST} names {name}, which is no part of a backup")
    return manifest


def check(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its checksum.

    Raises
    ------
    DataError
        If one is missing or is not what was backed up.
    """
    for name, kept in manifest.files.items():
        try:
            found = digest(folder / name)
        except OSError as error:
            raise DataError(f"the backup {folder} lacks {name}: {error.strerror}") from error
        if found != kept.sha256:
            raise DataError(f"the backup {folder} is damaged: {name} is not what was backed up")
