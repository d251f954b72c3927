"""Finished files in an object store; key files are held near as well, in bounded room."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from homeostat.adapters.durable import make_folder
from homeostat.adapters.predlog.cache import SizedCache
from homeostat.adapters.predlog.checksum import stated
from homeostat.adapters.predlog.keyfile import SUFFIX
from homeostat.adapters.predlog.place import BENCH, CACHE, OWNER, AwayError, Source

PIECE = 2**22
SMALL, SMALL_BYTES = 4 * 2**20, 64 * 2**20
"""Bytes up to which an object is fetched in one piece, and of such objects that are held."""
KEY_BYTES = 4 * 2**30
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds for which a store that failed is not asked: each time twice as long, and never shorter
than the failure took."""
STALE = 86_400.0
"""Seconds after which what is on a bench was left by a process that died."""


@dataclass
class ObjectStore:
    """A place in an object store that belongs to one log.

    A store that does not answer is left alone for some seconds: who needs it is told at once,
    instead of waiting for one time-out after the other.

    Parameters
    ----------
    files : pyarrow.fs.FileSystem
        With time-outs and retries of its own.
    base : str
        Bucket and prefix.
    name : str
        Its address.
    root : Path
        The log's own folder: benches, and key files that are held near.
    owner : str
        Names the log.
    most_keys : int
        Bytes of key files that are held near.
    clock : callable
        Seconds, monotonic.
    """

    files: fs.FileSystem
    base: str
    name: str
    root: Path
    owner: str
    most_keys: int | None = KEY_BYTES
    clock: Callable[[], float] = time.monotonic
    trouble: str = ""
    _pause: float = field(default=0.0, init=False)
    _until: float = field(default=0.0, init=False)
    _owned: bool = field(default=False, init=False)
    _small: SizedCache[pa.Buffer] = field(init=False)

    def __post_init__(self) -> None:
        self._small = SizedCache(SMALL_BYTES, len)

    @contextlib.contextmanager
    def bench(self, folder: str) -> Iterator[Path]:  # noqa: ARG002
        """Give a folder of its own, which is deleted in the end."""
        self._patience()
        make_folder(self.root / BENCH)
        with tempfile.TemporaryDirectory(dir=self.root / BENCH) as made:
            yield Path(made)

    def put(self, written: Path, path: str) -> None:
        """Upload a file; a key file is held near too."""
        with self._asking():
            self._own()
            target = f"{self.base}/{path}"
            with written.open("rb") as source, self.files.open_output_stream(target) as sink:
                while piece := source.read(PIECE):
                    sink.write(piece)
            size = self.files.get_file_info(target).size
            if size != written.stat().st_size:
                raise OSError(f"it kept {size} bytes of {path}")
        if path.endswith(SUFFIX):
            self._hold(written, path)

    def open(self, path: str) -> Source:
        """Return the object; a small one is fetched at once, of others what is read."""
        held = self._small.get(path)
        if held is None:
            with self._asking():
                source = self.files.open_input_file(f"{self.base}/{path}")
                if source.size() > SMALL:
                    return source
                held = source.read_buffer()
            if stated(path) not in {None, zlib.crc32(held)}:
                raise pa.ArrowInvalid("its checksum is not the one it was written with")
            self._small.put(path, held)
        return pa.BufferReader(held)

    @contextlib.contextmanager
    def whole(self, path: str) -> Iterator[Path]:
        """Give a copy, which is deleted in the end."""
        with self.bench("") as folder:
            copy = folder / PurePosixPath(path).name
            with copy.open("wb") as sink:
                for piece in self._pieces(path):
                    sink.write(piece)
            yield copy

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self._asking(), self.files.open_input_file(f"{self.base}/{path}") as source:
            left = source.size()
            while piece := source.read(PIECE):
                left -= len(piece)
                yield piece
            if left:
                raise OSError(f"{path} was cut short on its way")

    def near(self, path: str) -> Path:
        """Return a key file that is held near; it is fetched if it is not."""
        copy = self.root / CACHE / path
        try:
            os.utime(copy)
        except FileNotFoundError:
            with self.whole(path) as fetched:
                self._hold(fetched, path)
        return copy

    def drop(self, path: str) -> bool:
        """Let go of a copy."""
        self._small.forget(path)
        (self.root / CACHE / path).unlink(missing_ok=True)
        return True

    def size(self, path: str) -> int | None:
        """Return an object's bytes, None if it is not there."""
        with self._asking():
            found = self.files.get_file_info(f"{self.base}/{path}")
        return int(found.size) if found.type == fs.FileType.File else None

    def names(self, folder: str) -> list[str]:
        """Return the paths of all objects below a folder."""
        wanted = fs.FileSelector(f"{self.base}/{folder}", allow_not_found=True, recursive=True)
        with self._asking():
            found = self.files.get_file_info(wanted)
        start = len(self.base) + 1
        return sorted(one.path[start:] for one in found if one.type == fs.FileType.File)

    def delete(self, path: str) -> None:
        """Delete an object and the copy of it."""
        self.drop(path)
        with contextlib.suppress(FileNotFoundError), self._asking():
            self._own()
            self.files.delete_file(f"{self.base}/{path}")

    def tidy(self) -> None:
        """Delete what processes that died left on their benches; raises OSError."""
        for folder in (self.root / BENCH).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > STALE:
                    shutil.rmtree(folder)

    def _hold(self, copy: Path, path: str) -> None:
        """Move a key file to those that are near, and let go of what was not used the longest."""
        target = self.root / CACHE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        copy.replace(target)
        held: list[tuple[float, int, Path]] = []
        for one in (self.root / CACHE).rglob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                seen = one.stat()
                held.append((seen.st_mtime, seen.st_size, one))
        size = sum(size for _, size, _ in held)
        for _, bytes_, one in sorted(held):
            if self.most_keys is None or size <= self.most_keys or one == target:
                break
            one.unlink(missing_ok=True)
            size -= bytes_

    def _own(self) -> None:
        """Make the place this log's, or see that it is; else a sweep would delete another's."""
        if self._owned:
            return
        path = f"{self.base}/{OWNER}"
        if self.files.get_file_info(path).type == fs.FileType.NotFound:
            with self.files.open_output_stream(path) as sink:
                sink.write(self.owner.encode())
        with self.files.open_input_file(path) as source:
            self._compare(source.read())
        self._owned = True

    def recognise(self) -> None:
        """Compare the log that the place names as its own; raises OSError if it is another."""
        try:
            self._compare(b"".join(self._pieces(OWNER)))
        except FileNotFoundError as error:
            raise PermissionError(
                f"{self.name} names no log as its own ({OWNER} is not there): is it the right "
                "place, and is the bucket there?"
            ) from error

    def _compare(self, found: bytes) -> None:
        if found != self.owner.encode():
            raise PermissionError(
                f"{self.name} belongs to another prediction log ({OWNER} there says so): "
                "name a prefix of its own in storage.parquet"
            )

    def _patience(self) -> None:
        if self.trouble and self.clock() < self._until:
            raise AwayError(self.trouble)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Ask the store, if it answered lately; tell its failures from those of this machine."""
        self._patience()
        began = self.clock()
        try:
            yield
        except (FileNotFoundError, PermissionError):
            self.trouble, self._pause = "", 0.0
            raise
        except (OSError, pa.ArrowException) as error:
            now = self.clock()
            longer = max(2 * self._pause, now - began, FIRST_PAUSE)
            self._pause = min(longer, LONGEST_PAUSE)
            self._until = now + self._pause
            self.trouble = f"{self.name} cannot be used: {error}"
            raise AwayError(self.trouble) from error
        else:
            self.trouble, self._pause = "", 0.0
