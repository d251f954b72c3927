"""Backing a deployment up while it runs, and restoring it where there is none.

What was acknowledged before is moved from the landing segments to files. One snapshot of the
records then says which files are the log; nothing is merged or deleted until all are linked or
copied. So a backup has whole appends only: all from before it began, and later ones that a roll
had moved by then, or nothing of them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from homeostat.adapters.backup import tables
from homeostat.adapters.backup.files import (
    FORMAT,
    Kept,
    Manifest,
    bring,
    check,
    digest,
    put,
    read_manifest,
    seal,
    unpacked,
)
from homeostat.adapters.durable import make_folder, publish, sync
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.parquet import key_path
from homeostat.adapters.predlog.place import Place, settle
from homeostat.adapters.predlog.salt import read_salt
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.errors import ConflictError, DataError, StorageError


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: when it was begun, its files and bytes, and rows by table."""

    began: datetime
    files: int
    bytes: int
    rows: dict[str, int]


def back_up(
    records: DatabaseRecords,
    log: FilePredictionLog,
    models: Path,
    target: Path,
    now: datetime,
    *,
    link: bool = True,
) -> Backup:
    """Write a backup; appends, reads, rolls and the engine go on meanwhile.

    Parameters
    ----------
    records, log : DatabaseRecords, FilePredictionLog
    models : Path
        Folder of the model registry.
    target : Path
        A folder that does not exist yet, or with the ending ``.tar`` a file.
    now : datetime
    link : bool
        Share the bytes of files that never change with the deployment, where the backup is on the
        same file system: no time and no room, and no help against a damaged disk.

    Raises
    ------
    ConflictError
        If the target exists.
    StorageError
        If a disk or the database failed: no backup was made.
    """
    if target.exists():
        raise ConflictError(f"{target} exists; backups never overwrite: name another one")
    try:
        make_folder(target.parent)
        folder = Path(tempfile.mkdtemp(prefix=".backup-", dir=target.parent))
        try:
            manifest = _fill(folder, records, log, models, now, link=link)
            seal(folder, manifest)
            folder.chmod(0o755)
            put(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"the backup {target} cannot be written: {error}") from error
    return _told(manifest)


def _fill(
    folder: Path,
    records: DatabaseRecords,
    log: FilePredictionLog,
    models: Path,
    now: datetime,
    *,
    link: bool,
) -> Manifest:
    (folder / "records").mkdir()
    with log.still(now):
        with records.database.read() as connection:
            revision = tables.revision(connection)
            rows = tables.dump(connection, folder / "records")
        bring(log.root / "salt", folder / "log" / "salt", link=link)
        place = log.upkeep.store.place
        for name in tables.log_paths(folder / "records"):
            with place.whole(name) as path:
                bring(path, folder / "log" / name, link=link)
            keys = key_path(name)
            if place.size(keys) is not None:  # made anew from the file where it is missing
                with place.whole(keys) as path:
                    bring(path, folder / "log" / keys, link=link)
    # Later than the records: every version that they name is there.
    for path in sorted(p for p in models.glob("*/[!.]*/**/*") if p.is_file()):
        bring(path, folder / "models" / path.relative_to(models), link=link)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = {
        path.relative_to(folder).as_posix(): Kept(path.stat().st_size, digest(path))
        for path in found
    }
    for path in (folder / "records").iterdir():
        sync(path)
    return Manifest(FORMAT, now, revision, rows, kept)


def restore(
    records: DatabaseRecords,
    log: Path,
    models: Path,
    source: Path,
    place: Callable[[Path, int], Place] | None = None,
) -> Backup:
    """Bring a backup into an empty deployment; its database may be another than it came from.

    Nothing is written before every checksum has been compared. The records come last, in one
    transaction: a restore that fails leaves an empty database.

    Parameters
    ----------
    records : DatabaseRecords
        Into which nothing has been recorded yet.
    log, models : Path
        Folders that do not exist yet, or are empty.
    source : Path
        What `back_up` wrote.
    place : callable, optional
        Makes the place of the log's files, as in `FilePredictionLog`; nothing may be there yet.

    Raises
    ------
    ConflictError
        If there is something already.
    DataError, NotFoundError
        If the backup is missing, damaged, or of another version.
    StorageError
        If a disk or the database failed.
    """
    for folder in (log, models):
        if folder.exists() and any(folder.iterdir()):
            raise ConflictError(f"{folder} is not empty; a restore never overwrites: move it away")
    try:
        with unpacked(source, log.parent) as folder:
            manifest = read_manifest(folder)
            check(folder, manifest)
            _check_records(records, manifest, source)
            away = [] if place is None else [n for n in manifest.files if _is_row_file(n)]
            with ExitStack() as undo:
                for target, part in ((log, "log"), (models, "models")):
                    _place(folder, target, part, set(manifest.files).difference(away))
                    undo.callback(shutil.rmtree, target, ignore_errors=True)
                if place is not None:
                    _upload(folder, log, place(log, read_salt(log, fsync=True)), away, undo)
                with records.database.write() as connection:
                    tables.load(connection, folder / "records")
                undo.pop_all()
    except OSError as error:
        raise StorageError(f"{source} cannot be restored: {error}") from error
    return _told(manifest)


def _check_records(records: DatabaseRecords, manifest: Manifest, source: Path) -> None:
    with records.database.read() as connection:
        ours, empty = tables.revision(connection), tables.is_empty(connection)
    if not empty:
        raise ConflictError(tables.NOT_EMPTY)
    if manifest.revision != ours:
        raise DataError(
            f"{source} was made at schema revision {manifest.revision}, this Homeostat has {ours}: "
            "restore it with the version that made it, then upgrade"
        )


def _is_row_file(name: str) -> bool:
    return name.startswith(tuple(f"log/{kind.name.lower()}/" for kind in Kind))


def _upload(folder: Path, log: Path, place: Place, names: list[str], undo: ExitStack) -> None:
    """Bring the log's files to a place in which there is nothing, and note the place."""
    if any(place.names(kind.name.lower()) for kind in Kind):
        raise ConflictError(
            f"{place.name} is not empty (a restore that failed may have left files there): "
            "name another prefix in storage.parquet"
        )
    for name in names:
        path = PurePosixPath(name).relative_to("log")
        with place.bench(str(path.parent)) as bench:
            copy = bench / path.name
            bring(folder / name, copy, link=False)
            undo.callback(_delete, place, str(path))
            place.put(copy, str(path))
    settle(log, place)


def _delete(place: Place, path: str) -> None:
    with suppress(OSError):  # why the restore failed is told; what is left there is too
        place.delete(path)


def _place(folder: Path, place: Path, part: str, names: Iterable[str]) -> None:
    """Copy one part of a backup to its place, all of it or nothing."""
    make_folder(place.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{part}-", dir=place.parent))
    try:
        for name in names:
            if name.startswith(f"{part}/"):
                bring(folder / name, temporary / Path(name).relative_to(part), link=False)
        for inner in (path for path in temporary.rglob("*") if path.is_dir()):
            sync(inner)
        temporary.chmod(0o755)
        publish(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _told(manifest: Manifest) -> Backup:
    return Backup(manifest.began, len(manifest.files), manifest.bytes, dict(manifest.rows))
