"""The checksums of a columnar file, and of its footer, stand in its name.

PyArrow does not check a footer, and may end the process over a damaged one.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pyarrow as pa

_STATED = re.compile(r"-crc([0-9a-f]{8})\.parquet$")
_FOOTER = re.compile(r"-foot([0-9a-f]{8})-crc[0-9a-f]{8}\.parquet$")
TAIL = 2**16
ENDING = 8
"""Bytes of the footer's length and of the magic number at a file's end."""


def named(name: str, written: Path) -> str:
    """Return the final name of a file that was written; raises OSError."""
    with pa.OSFile(str(written), "rb") as file:
        footer = footer_checksum(file)
    return f"{name}-foot{footer:08x}-crc{file_checksum(written):08x}.parquet"


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


def footer_checksum(file: pa.NativeFile) -> int:
    """Return the CRC-32 of a columnar file's footer and of what follows it; raises OSError."""
    size = file.size()
    file.seek(max(size - TAIL, 0))
    tail = file.read()
    length = min(int.from_bytes(tail[-ENDING:-4], "little") + ENDING, size)
    if length > len(tail):
        file.seek(size - length)
        tail = file.read()
    return zlib.crc32(tail[-length:])


def check_footer(source: Path | pa.NativeFile, path: str) -> None:
    """Compare a file's footer with the checksum that its name states, if it does.

    Raises
    ------
    OSError
        If it cannot be read.
    ArrowInvalid
        If it is another one.
    """
    stated_one = _FOOTER.search(path)
    if stated_one is None:
        return
    if isinstance(source, Path):
        with pa.OSFile(str(source), "rb") as file:
            found = footer_checksum(file)
    else:
        found = footer_checksum(source)
    if found != int(stated_one[1], 16):
        raise pa.ArrowInvalid("its footer is damaged")
