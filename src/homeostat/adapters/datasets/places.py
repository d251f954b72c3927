"""Where the files of a data set lie, on this machine or elsewhere, and how to open them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from homeostat.domain.errors import DataError, NotFoundError, UserError
from homeostat.domain.text import printable

if TYPE_CHECKING:
    import fsspec  # type: ignore[import-untyped]

PARQUET = (".parquet", ".pq")
DELIMITED = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
ARROW = (".arrow", ".feather", ".ipc", ".arrows")
KNOWN = PARQUET + DELIMITED + ARROW
LINES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")

_ADDRESS = re.compile(r"(\w+://)(?:[^/\s@]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?")


@dataclass(frozen=True, slots=True)
class Place:
    """One file.

    Attributes
    ----------
    name : str
        As people are told of it: without passwords and query strings.
    size : int
        Bytes; 0 if its server does not say.
    local : Path or None
        None if it is elsewhere.
    opener : callable
        Opens it for reading, at its beginning, once a call.
    """

    name: str
    size: int
    local: Path | None
    opener: Callable[[], pa.NativeFile]

    @property
    def ending(self) -> str:
        """Which of `KNOWN` and `LINES` its name ends in, or nothing."""
        return _ending(self.name, KNOWN + LINES)

    def open(self) -> pa.NativeFile:
        """Return the file, opened; DataError if that fails."""
        with self.reading():
            return self.opener()

    @contextmanager
    def reading(self, what: str = "") -> Iterator[None]:
        """Say of errors inside which file, and `what` of it, could not be read."""
        # What is elsewhere is read through code that raises errors of its own.
        kinds = (pa.ArrowException, OSError, UnicodeError) if self.local else (Exception,)
        try:
            yield
        except UserError:
            raise
        except kinds as error:
            raise unreadable(f"{self.name}: {what}" if what else self.name, error) from error


def find_places(location: str | Path, known: tuple[str, ...] = KNOWN) -> list[Place]:
    """Return the files at a location: itself, or those in the folder that it is, by name.

    Names in a folder that begin with ``.`` or ``_`` or end in none of `known` are passed over.

    Raises
    ------
    NotFoundError
        If there is nothing.
    DataError
        If it is no file of a known kind, an empty file, or a folder without such files.
    UserError
        If a package is not installed that the kind of address needs.
    """
    text = str(location)
    remote = "://" in text and not text.startswith("file://")
    path = Path(text.removeprefix("file://"))
    found = _remote(text, known) if remote else _local(path, known)
    endings = ", ".join(known)
    if not found:
        raise DataError(f"{_shown(text)} has no data files; they must end in one of {endings}")
    for place in found:
        if not _ending(place.name, known):
            raise DataError(f"{place.name} has an unknown kind; use a file that ends in {endings}")
        if not place.size and (place.local or not text.startswith("http")):
            raise DataError(f"{place.name} is empty; give a file with a header and rows")
    return found


def unreadable(name: str, error: Exception) -> DataError:
    """Return the error that says why a file cannot be read."""
    reason = _ADDRESS.sub(r"\1\2", str(error).partition("\n")[0]) or type(error).__name__
    remedy = "check that it is whole"
    if isinstance(error, UnicodeDecodeError) or "\x00" in reason or "UTF8" in reason:
        remedy = "it is no UTF-8: save it as such (in Excel as 'CSV UTF-8')"
    elif name.endswith(DELIMITED) and "Expected" in reason:
        remedy = "each line needs a value for each name in the first (remove a line such as sep=;)"
    return DataError(f"{name} cannot be read: {printable(reason)}; {remedy}")


def _local(path: Path, known: tuple[str, ...]) -> list[Place]:
    if not path.exists():
        raise NotFoundError(f"there is no file {path}; check the path")
    if path.is_dir():
        inside = (item for item in path.rglob("*") if item.is_file())
        files = sorted(item for item in inside if _wanted(item.relative_to(path).as_posix(), known))
    elif path.is_file():
        files = [path]
    else:
        raise DataError(f"{path} is not a file; give a file or a folder of files")
    return [Place(str(file), file.stat().st_size, file, _file_opener(file)) for file in files]


def _file_opener(path: Path) -> Callable[[], pa.NativeFile]:
    return lambda: pa.OSFile(str(path), "rb")


def _remote(address: str, known: tuple[str, ...]) -> list[Place]:
    from fsspec.core import (  # type: ignore[import-untyped]  # noqa: PLC0415
        url_to_fs,  # most data is on this machine
    )

    shown = _shown(address)
    try:
        store, path = url_to_fs(address)
    except ImportError as error:
        scheme = address.partition("://")[0]
        raise UserError(
            f"{scheme}:// addresses need a package that is not installed ({error}); "
            f"run: pip install 'homeostat[remote]'"
        ) from error
    except ValueError as error:
        raise UserError(f"{shown} is no address that can be read: {error}") from error
    try:
        # Asking a web server whether a file is a folder would fetch it.
        if _ending(shown, known) or not store.isdir(path):
            files = [path]
        else:
            root = path.rstrip("/")
            files = sorted(
                file for file in store.find(path) if _wanted(file[len(root) :].lstrip("/"), known)
            )
        sizes = [store.info(file).get("size") or 0 for file in files]
    except FileNotFoundError as error:
        raise NotFoundError(f"there is nothing at {shown}; check the address") from error
    except Exception as error:
        raise unreadable(shown, error) from error
    alone = files == [path]
    names = [shown if alone else _shown(store.unstrip_protocol(file)) for file in files]
    return [
        Place(name, size, None, _store_opener(store, file))
        for name, size, file in zip(names, sizes, files, strict=True)
    ]


def _store_opener(store: fsspec.AbstractFileSystem, path: str) -> Callable[[], pa.NativeFile]:
    def opened() -> pa.NativeFile:
        handle = store.open(path, "rb")
        if _jumps(handle):
            return pa.PythonFile(handle, mode="r")
        handle.close()
        with store.open(path, "rb", block_size=0) as whole:
            return pa.BufferReader(whole.read())

    return opened


def _jumps(handle: IO[bytes]) -> bool:
    """Whether a file can be read from any place: some web servers only learn to say no."""
    if not handle.seekable():
        return False
    try:
        handle.seek(-1, io.SEEK_END)
        handle.read(1)
        handle.seek(0)
    except ValueError:
        return False
    return True


def _wanted(inside: str, known: tuple[str, ...]) -> bool:
    parts = PurePosixPath(inside).parts
    return bool(_ending(inside, known)) and not any(part.startswith((".", "_")) for part in parts)


def _ending(name: str, known: tuple[str, ...]) -> str:
    return next((end for end in known if name.lower().endswith(end)), "")


def _shown(address: str) -> str:
    """Return an address without what may be secret in it."""
    return _ADDRESS.sub(r"\1\2", address)
