"""What a disk holds after a power cut, worked out from what `cut.c` wrote down."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np

HEAD = struct.Struct("<BQQIII")
SECTOR = 512


class What(IntEnum):
    WRITE = 1
    TRUNCATE = 2
    CREATE = 3
    MKDIR = 4
    RENAME = 5
    UNLINK = 6
    RMDIR = 7
    SYNC = 8


@dataclass(frozen=True, slots=True)
class Operation:
    what: What
    inode: int
    offset: int
    path: str
    other: str
    data: bytes


def build(folder: Path) -> Path:
    """Compile the preloaded library."""
    library = folder / "cut.so"
    source = Path(__file__).with_name("cut.c")
    options = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *options, "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


def preload(library: Path, root: Path, journal: Path, faults: Path | None = None) -> dict[str, str]:
    """Return the environment of a process whose work on `root` is written down."""
    told = {
        "LD_PRELOAD": str(library),
        "CUT_ROOT": str(root.resolve()),
        "CUT_JOURNAL": str(journal),
    }
    return {**os.environ, **told} | ({"CUT_FAULTS": str(faults)} if faults else {})


def read_journal(path: Path) -> list[Operation]:
    data, at, found = path.read_bytes(), 0, list[Operation]()
    while at < len(data):
        what, inode, offset, *lengths = HEAD.unpack_from(data, at)
        at += HEAD.size
        parts = []
        for length in lengths:
            parts.append(data[at : at + length])
            at += length
        name, other, content = parts
        found.append(Operation(What(what), inode, offset, name.decode(), other.decode(), content))
    return found


@dataclass
class File:
    """What is on the disk for sure, and what the system still holds back, in order."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and bytes of a write; size and None of a truncation."""

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, *change)
        self.pending = []

    def now(self) -> bytes:
        """Return what a process would read."""
        content = bytearray(self.durable)
        for change in self.pending:
            _apply(content, *change)
        return bytes(content)

    def survivor(self, rng: np.random.Generator) -> bytes:
        """Return what may be there after a cut: of what was not synced none, all or some."""
        fate = rng.integers(4)
        if fate == 0:
            return bytes(self.durable)
        if fate == 1:
            return self.now()
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if data is None:
                if rng.random() < 0.5:
                    _apply(content, offset, None)
                continue
            for first, last in _sectors(offset, len(data)):
                if rng.random() < 0.5:
                    _apply(content, first, data[first - offset : last - offset])
        size = len(self.now())
        if fate == 3 and size > len(content):  # its length was kept, its content was not
            content.extend(bytes(size - len(content)))
        return bytes(content)


@dataclass
class Folder:
    """Entries by name, as `File` has content. What is done at once is one change."""

    durable: dict[str, int] = field(default_factory=dict)
    pending: list[dict[str, int | None]] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            _enter(self.durable, change)
        self.pending = []

    def survivor(self, rng: np.random.Generator) -> dict[str, int]:
        """Return what may be there after a cut: changes of entries reach the disk in order."""
        entries = dict(self.durable)
        for change in self.pending[: rng.integers(len(self.pending) + 1)]:
            _enter(entries, change)
        return entries


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is not None:
        content[offset : offset + len(data)] = data


def _sectors(offset: int, size: int) -> Iterator[tuple[int, int]]:
    at, end = offset, offset + size
    while at < end:
        last = min((at // SECTOR + 1) * SECTOR, end)
        yield at, last
        at = last


def _enter(entries: dict[str, int], change: dict[str, int | None]) -> None:
    for name, number in change.items():
        if number is None:
            entries.pop(name, None)
        else:
            entries[name] = number


class Disk:
    """The files under one folder, as operations go on.

    Nothing is taken for durable but what was synced: a file's content by a sync of the file, its
    name by a sync of its folder. Between files and folders nothing is ordered.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root.resolve())
        self._things: list[File | Folder] = [Folder()]
        self._places: dict[str, int] = {self.root: 0}
        self._inodes: dict[int, int] = {root.stat().st_ino: 0}

    def take(self, done: Operation) -> None:
        """Follow one operation."""
        match done.what:
            case What.CREATE | What.MKDIR:
                thing = File() if done.what is What.CREATE else Folder()
                self._things.append(thing)
                number = len(self._things) - 1
                self._places[done.path] = self._inodes[done.inode] = number
                self._change(done.path, number)
            case What.WRITE:
                self._file(done).pending.append((done.offset, done.data))
            case What.TRUNCATE:
                self._file(done).pending.append((done.offset, None))
            case What.SYNC:
                self._things[self._inodes[done.inode]].sync()
            case What.UNLINK | What.RMDIR:
                del self._places[done.path]
                self._change(done.path, None)
            case What.RENAME:
                self._rename(done.path, done.other)

    def _file(self, done: Operation) -> File:
        found = self._things[self._inodes[done.inode]]
        assert isinstance(found, File)
        return found

    def _folder(self, path: str) -> Folder:
        found = self._things[self._places[path]]
        assert isinstance(found, Folder)
        return found

    def _change(self, path: str, number: int | None) -> None:
        above, _, name = path.rpartition("/")
        self._folder(above).pending.append({name: number})

    def _rename(self, old: str, new: str) -> None:
        for path in [path for path in self._places if path == old or path.startswith(old + "/")]:
            self._places[new + path[len(old) :]] = self._places.pop(path)
        number = self._places[new]
        above, _, name = old.rpartition("/")
        target, _, final = new.rpartition("/")
        if above == target:
            self._folder(above).pending.append({name: None, final: number})
        else:
            self._folder(target).pending.append({final: number})
            self._folder(above).pending.append({name: None})

    def content(self, path: Path) -> bytes:
        """Return what a process would read of a file now; nothing if there is none."""
        number = self._places.get(str(path))
        found = None if number is None else self._things[number]
        return found.now() if isinstance(found, File) else b""

    def names(self, folder: Path) -> set[str]:
        """Return the names that a folder has now."""
        return {Path(path).name for path in self._places if Path(path).parent == folder}

    def cut(self, target: Path, rng: np.random.Generator) -> None:
        """Write what may be left after a power cut now to a new folder."""
        self._write(0, target, rng)

    def _write(self, number: int, place: Path, rng: np.random.Generator) -> None:
        found = self._things[number]
        if isinstance(found, File):
            place.write_bytes(found.survivor(rng))
        else:
            place.mkdir()
            for name, below in sorted(found.survivor(rng).items()):
                self._write(below, place / name, rng)
