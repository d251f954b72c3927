"""The checksum of a columnar file stands in its name."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

_STATED = re.compile(r"-crc([0-9a-f]{8})\.parquet$")


def named(name: str, written: Path) -> str:
    """Return the final name of a file that was written; raises OSError."""
    return f"{name}-crc{file_checksum(written):08x}.parquet"


def stated(path: str) -> int | None:
    """Return the checksum that a file's name states; None if it was written without one.

    Examples
    --------
    >>> stated("predictions/model=m/day=2024-01-31/0f-crc000000ff.parquet"), stated("0f.parquet")
    (255, None)
    """
    found = _STATED.search(path)
    return int(found[1], 16) if found else None


def file_checksum(path: Path) -> int:
    """Return the CRC-32 of a file's bytes; raises OSError."""
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            checksum = zlib.crc32(piece, checksum)
    return checksum
