"""The log's salt."""

from __future__ import annotations

import os
import secrets
import zlib
from pathlib import Path

from homeostat.adapters.durable import exclusive, publish
from homeostat.adapters.predlog.place import TOLD
from homeostat.domain.errors import StorageError

DIGITS = 16


def read_salt(root: Path, *, fsync: bool) -> int:
    """Return the log's salt; made with the log, never changed.

    Raises
    ------
    StorageError
        If it cannot be read or made, or is missing or damaged: with another one no row that is
        stored would be known again.
    """
    path = root / "salt"
    try:
        if not path.exists():
            with exclusive(root / ".roll.lock"):
                if not path.exists():
                    _make(path, fsync=fsync)
        return _parse(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"the prediction log's salt {path} cannot be read: {error}; put the file back from a "
            "backup: rows that are stored are not known again without it"
        ) from error


def _parse(text: str) -> int:
    digits = text[:DIGITS]
    # The first logs had no checksum.
    if len(digits) < DIGITS or text not in {digits, _with_checksum(digits)}:
        raise ValueError("its checksum is wrong")
    return int(digits, 16)


def _make(path: Path, *, fsync: bool) -> None:
    held = next(path.parent.glob("*/model=*/day=*/*.keys"), None) is not None
    if held or (path.parent / TOLD).exists():
        raise ValueError("it is gone")
    temporary = path.with_name("salt.tmp")
    temporary.write_text(_with_checksum(secrets.token_hex(DIGITS // 2)), encoding="ascii")
    (publish if fsync else os.replace)(temporary, path)


def _with_checksum(digits: str) -> str:
    return f"{digits}{zlib.crc32(digits.encode()):08x}"
