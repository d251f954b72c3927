"""Batches on disk, kept while the server is away: for this process, or for the next one.

A file is written under another name, synced and renamed, so that it is whole or absent whatever
kills the process. It holds a header and one row a line. Processes share a folder: one at a time
replays, and a batch that is sent twice all the same is counted once by the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from homeostat_client.batch import KINDS, Batch, new_key

try:
    import fcntl
except ImportError:  # Windows: several processes may replay at once, which is only wasteful
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
LARGEST = 64 << 20
JOINED = 256 << 10
MOST_FILES = 10_000
STALE = {"*.tmp": 600.0, "*.damaged": 7 * 86_400.0}  # seconds until they are of no use
NAME = re.compile(r"(\d{20})-(\d+)-(\d+)-(\d+)\.spill")


@dataclass(frozen=True)
class Kept:
    """What `write` did: the file's name, empty if there is none, and the rows that had to go."""

    name: str
    evicted: int = 0
    problem: str = ""


def folder_for(server: str, model: str, base: str | None) -> Path | None:
    """Return the folder of one server and model, made if it is new; None if none can be made.

    Without `base`: in ``$XDG_STATE_HOME`` or ``~/.local/state``, else in the folder for temporary
    files. Only its owner may look into it.
    """
    digest = hashlib.sha256(f"{server}\n{model}".encode()).hexdigest()[:12]
    name = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', model)[:40]}-{digest}"
    if base is not None:
        return _made(Path(base) / name, private=False)
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - Path raises
    user = os.getuid() if hasattr(os, "getuid") else "user"
    for parent in (Path(state) / "homeostat", Path(tempfile.gettempdir()) / f"homeostat-{user}"):
        # A user without a home has "~" for one.
        if (
            parent.is_absolute()
            and _made(parent, private=True)
            and (found := _made(parent / name, private=True))
        ):
            return found
    return None


def _made(folder: Path, *, private: bool) -> Path | None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except (OSError, RuntimeError):
        return None
    stranger = hasattr(os, "getuid") and found.st_uid != os.getuid()
    if private and (stranger or not stat.S_ISDIR(found.st_mode)):
        return None  # somebody else made it: what is logged would be theirs to read
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


class Spill:
    """Batches of one server and model in a folder; for the threads of one client, under its lock.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing: `write` says so.
    limit : int
        Bytes; beyond it the oldest files go.
    """

    def __init__(self, folder: Path | None, limit: int) -> None:
        self.folder, self._limit = folder, limit
        self.own: set[str] = set()
        self._last: tuple[str, Batch | None] = ("", None)
        self._clock = self._sequence = 0
        self._sizes: dict[str, int] = {}
        self._stuck: set[str] = set()
        self._lock: int | None = None
        self._swept = self.damaged = False

    def write(self, batch: Batch, *, alone: bool = False) -> Kept:
        """Keep a batch, durably.

        A small one is joined to the one before, so that files are few, unless it has to stay
        `alone`.
        """
        if self.folder is None:
            return Kept("")
        if batch.size > self._limit:
            return Kept("", problem=f"{batch.size} bytes are more than the folder may hold")
        name, last = self._last
        joined = batch
        fits = last is not None and last.size + batch.size <= JOINED and not alone
        if last is not None and fits and last.kind == batch.kind:
            joined = Batch(batch.kind, new_key(), last.rows + batch.rows)
        else:
            name = ""
        try:
            # A file that is gone has been sent, or is lost: its rows must not return with new ones.
            if name and not (self.folder / name).exists():
                name, joined = "", batch
            evicted = self._make_room(joined.size, spare=name)
            written = self._store(joined)
            if name:
                self.remove(name)
        except OSError as error:
            return Kept("", problem=f"{self.folder}: {error.strerror or error}")
        self.own.add(written)
        self._last = ("", None) if alone else (written, joined)
        return Kept(written, evicted)

    def _store(self, batch: Batch) -> str:
        assert self.folder is not None
        self._clock = max(self._clock + 1, time.time_ns())  # the clock may go back, names may not
        self._sequence += 1
        name = f"{self._clock:020d}-{os.getpid()}-{self._sequence}-{len(batch.rows)}.spill"
        rows = b"\n".join(batch.rows)
        header = {"format": FORMAT, "kind": batch.kind, "key": batch.key, "crc": zlib.crc32(rows)}
        making = self.folder / f"{name}.tmp"
        try:
            handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(json.dumps(header).encode() + b"\n" + rows)
                file.flush()
                os.fsync(handle)
            making.replace(self.folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                making.unlink()
            raise
        _sync_folder(self.folder)
        return name

    def _make_room(self, size: int, spare: str) -> int:
        """Remove the oldest files until so many bytes fit; return the rows that went with them."""
        self._sweep()
        names = [name for name in self.names() if name != spare]
        self._sizes = {name: self._sizes.get(name) or self._size(name) for name in names}
        files = list(self._sizes.items())
        total, evicted = sum(found for _, found in files) + size, 0
        for place, (name, found) in enumerate(files):
            if total <= self._limit and len(files) - place < MOST_FILES:
                break
            self.remove(name)
            total -= found
            evicted += rows_of(name)
        return evicted

    def _size(self, name: str) -> int:
        assert self.folder is not None
        try:
            return (self.folder / name).stat().st_size
        except OSError:
            return 0

    def _sweep(self) -> None:
        """Remove once what killed processes were just writing, and damage that nobody looked at."""
        if self._swept or self.folder is None:
            return
        self._swept = True
        for pattern, age in STALE.items():
            for path in self.folder.glob(pattern):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > age:
                        path.unlink()

    def names(self) -> list[str]:
        """Return the names of the files, oldest first."""
        if self.folder is None:
            return []
        try:
            found = os.listdir(self.folder)  # noqa: PTH208 - half the time of Path.iterdir
            known = (name for name in found if NAME.fullmatch(name))
            return sorted(name for name in known if name not in self._stuck)
        except OSError:
            return []

    def read(self, name: str) -> Batch | None:
        """Return a kept batch, to which nothing more is joined; None if it is gone or `damaged`.

        A damaged file is set aside as ``.damaged``.
        """
        assert self.folder is not None
        self.damaged = False
        if self._last[0] == name:
            self._last = ("", None)
        path = self.folder / name
        try:
            content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
        except OSError:
            return None
        batch = _parse(content)
        if batch is None:
            self.damaged = True
            with contextlib.suppress(OSError):
                path.replace(path.with_suffix(".damaged"))
            self._forget(name)
        return batch

    def remove(self, name: str) -> None:
        """Remove a file; one that cannot be is left alone from now on."""
        assert self.folder is not None
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            pass
        except OSError:
            self._stuck.add(name)  # it was sent: do not send it again and again
        self._forget(name)

    def _forget(self, name: str) -> None:
        self.own.discard(name)
        if self._last[0] == name:
            self._last = ("", None)

    def waiting(self) -> int:
        """Return how many rows of this process are in the folder still."""
        if not self.own:
            return 0
        names = self.own.intersection(self.names())
        self.own = names
        return sum(map(rows_of, names))

    def claim(self) -> bool:
        """Whether this process is the one that replays; asked again it stays so."""
        if self.folder is None:
            return False
        if self._lock is not None or fcntl is None:
            return True
        try:
            handle = os.open(self.folder / ".replay", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def release(self) -> None:
        """Let another process replay."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def disown(self) -> None:
        """In a forked child: what the parent keeps is the parent's."""
        self.release()  # closing a copy leaves the parent's lock in place
        self.own, self._last = set(), ("", None)


def rows_of(name: str) -> int:
    """Return the number of rows that a file's name tells."""
    found = NAME.fullmatch(name)
    return int(found[4]) if found else 0


def _parse(content: bytes) -> Batch | None:
    first, _, rows = content.partition(b"\n")
    try:
        header = json.loads(first)
        kind, key, crc = header["kind"], header["key"], header["crc"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    known = header.get("format") == FORMAT and kind in KINDS and isinstance(key, str)
    if not (known and key.isascii() and crc == zlib.crc32(rows) and rows):
        return None
    return Batch(kind, key, tuple(rows.split(b"\n")))


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
