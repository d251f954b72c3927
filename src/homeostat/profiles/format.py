"""Profiles as bytes: versioned, checked, the same bytes for equal profiles.

The layout is documented in ``docs/reference/profile-format.md``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.profile import CATEGORY_LIMIT, ColumnProfile, Profile
from homeostat.stats.bitbins import BIN_COUNT

MAGIC = b"HSPF"
VERSION = 1

_HEADER = struct.Struct("<4sHII")  # magic, version, length and CRC-32 of what follows
_PROFILE = struct.Struct("<QI")  # rows, columns
_COLUMN = struct.Struct("<B6Q2d")  # kind, six counts, minimum, maximum
_NUMBER = struct.Struct("<HH")  # trailing zero bits, bytes
_ARRAY = struct.Struct("<BI")  # bytes an item, items
_TEXT = struct.Struct("<I")
_KINDS = (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)
_ARRAY_TYPES = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


def to_bytes(profile: Profile) -> bytes:
    r"""Return the profile's bytes; equal profiles give equal bytes.

    Examples
    --------
    >>> from homeostat.profiles.profile import EMPTY
    >>> to_bytes(EMPTY)[:6]
    b'HSPF\x01\x00'
    """
    parts = [_PROFILE.pack(profile.rows, len(profile.columns))]
    for name in sorted(profile.columns):
        parts.append(_text(name))
        parts.extend(_column(profile.columns[name]))
    body = b"".join(parts)
    return _HEADER.pack(MAGIC, VERSION, len(body), zlib.crc32(body)) + body


def from_bytes(data: bytes) -> Profile:
    """Return the profile that `to_bytes` wrote.

    Raises
    ------
    ValueError
        If the bytes are no profile, of a newer format, cut short, or changed; the message says
        which.

    Examples
    --------
    >>> from homeostat.profiles.profile import EMPTY
    >>> from_bytes(to_bytes(EMPTY)) == EMPTY
    True
    >>> from_bytes(to_bytes(EMPTY)[:-1])
    Traceback (most recent call last):
    ValueError: profile is cut short: 11 of 12 bytes
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise ValueError(f"not a profile: it does not begin with {MAGIC!r} and a header")
    _, version, length, checksum = _HEADER.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"profile has format version {version}; this program reads {VERSION}")
    body = data[_HEADER.size :]
    if len(body) != length:
        what = "is cut short" if len(body) < length else "has bytes after its end"
        raise ValueError(f"profile {what}: {len(body)} of {length} bytes")
    if zlib.crc32(body) != checksum:
        raise ValueError("profile is corrupt: its checksum does not match")
    try:
        return _Reader(body).profile()
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"profile is malformed: {error}") from error


def _column(column: ColumnProfile) -> list[bytes]:
    scalars = (column.count, column.missing, column.nan, column.infinite, column.zeros)
    kind = _KINDS.index(column.kind)
    steps = column.bins.astype(np.int64)
    steps[1:] -= column.bins[:-1]
    return [
        _COLUMN.pack(kind, *scalars, column.other, column.minimum, column.maximum),
        _number(column.total),
        _number(column.squares),
        _array(steps),
        _array(column.counts),
        *_categories(column.values),
    ]


def _categories(values: Mapping[str, int]) -> list[bytes]:
    names = sorted(values)
    counts = _array(np.array([values[name] for name in names], dtype=np.int64))
    return [counts, *map(_text, names)]


def _number(amount: int) -> bytes:
    """Write an integer as an odd number and its trailing zero bits."""
    zeros = (amount & -amount).bit_length() - 1 if amount else 0
    odd = amount >> zeros
    size = odd.bit_length() // 8 + 1 if odd else 0
    return _NUMBER.pack(zeros, size) + odd.to_bytes(size, "little", signed=True)


def _array(items: NDArray[np.int64]) -> bytes:
    """Write whole numbers ≥ 0 in the narrowest type that holds the largest."""
    largest = int(items.max()) if items.size else 0
    width = next(width for width in _ARRAY_TYPES if largest < 1 << 8 * width)
    return _ARRAY.pack(width, items.size) + items.astype(_ARRAY_TYPES[width]).tobytes()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _TEXT.pack(len(encoded)) + encoded


class _Reader:
    """Reads a profile's body from front to back."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def profile(self) -> Profile:
        rows, columns = self._unpack(_PROFILE)
        found = {self._text(): self._column() for _ in range(columns)}
        if self._at != len(self._body):
            raise ValueError(f"profile has {len(self._body) - self._at} unread bytes at its end")
        if len(found) != columns:
            raise ValueError("profile names a column twice")
        return Profile(rows, found)

    def _column(self) -> ColumnProfile:
        kind, count, missing, nan, infinite, zeros, other, low, high = self._unpack(_COLUMN)
        total, squares = self._number(), self._number()
        bins = np.cumsum(self._array())
        counts, rows = self._array(), self._array()
        values = {self._text(): amount for amount in rows.tolist()}
        column = ColumnProfile(
            kind=_KINDS[kind],
            count=count,
            missing=missing,
            nan=nan,
            infinite=infinite,
            zeros=zeros,
            bins=bins.astype(np.uint32),
            counts=counts,
            minimum=low,
            maximum=high,
            total=total,
            squares=squares,
            values=values,
            other=other,
        )
        if bins.size != counts.size or (bins.size and int(bins[-1]) >= BIN_COUNT):
            raise ValueError("profile is malformed: bins and counts do not fit")
        if (np.diff(bins) <= 0).any() or len(values) != rows.size or rows.size > CATEGORY_LIMIT:
            raise ValueError("profile is malformed: its bins or categories are not a set")
        if (counts <= 0).any() or (rows <= 0).any():
            raise ValueError("profile is malformed: a bin or category without rows is listed")
        if int(counts.sum()) + int(rows.sum()) + other != column.present:
            raise ValueError("profile is malformed: its counts do not add up to its rows")
        return column

    def _unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        values = layout.unpack_from(self._body, self._at)
        self._at += layout.size
        return values

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._body):
            raise IndexError("an item reaches past the end")
        return self._body[start : self._at]

    def _number(self) -> int:
        zeros, size = self._unpack(_NUMBER)
        return int.from_bytes(self._take(size), "little", signed=True) << zeros

    def _array(self) -> NDArray[np.int64]:
        width, items = self._unpack(_ARRAY)
        if width not in _ARRAY_TYPES:
            raise ValueError(f"profile is malformed: items of {width} bytes")
        return np.frombuffer(self._take(width * items), _ARRAY_TYPES[width]).astype(np.int64)

    def _text(self) -> str:
        return self._take(self._unpack(_TEXT)[0]).decode()
