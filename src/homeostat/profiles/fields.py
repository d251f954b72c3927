"""The fields of which a profile's bytes are made: numbers, arrays and texts, little-endian."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_NUMBER = struct.Struct("<HH")  # trailing zero bits, bytes
_ARRAY = struct.Struct("<BI")  # bytes an item, items
_TEXT = struct.Struct("<I")
_ARRAY_TYPES = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


def number_field(amount: int) -> bytes:
    r"""Write an integer as an odd number and its trailing zero bits.

    Examples
    --------
    >>> number_field(12)
    b'\x02\x00\x01\x00\x03'
    """
    zeros = (amount & -amount).bit_length() - 1 if amount else 0
    odd = amount >> zeros
    size = odd.bit_length() // 8 + 1 if odd else 0
    return _NUMBER.pack(zeros, size) + odd.to_bytes(size, "little", signed=True)


def array_field(items: NDArray[np.int64]) -> bytes:
    r"""Write whole numbers ≥ 0 in the narrowest type that holds the largest.

    Examples
    --------
    >>> array_field(np.array([1, 255]))
    b'\x01\x02\x00\x00\x00\x01\xff'
    """
    largest = int(items.max()) if items.size else 0
    width = next(width for width in _ARRAY_TYPES if largest < 1 << 8 * width)
    return _ARRAY.pack(width, items.size) + items.astype(_ARRAY_TYPES[width]).tobytes()


def text_field(text: str) -> bytes:
    r"""Write a text in UTF-8, after its length in bytes.

    Examples
    --------
    >>> text_field("é")
    b'\x02\x00\x00\x00\xc3\xa9'
    """
    encoded = text.encode()
    return _TEXT.pack(len(encoded)) + encoded


class FieldReader:
    """Reads fields from front to back; never takes memory for more than there is.

    Raises IndexError or struct.error where the bytes end too early, UnicodeDecodeError where a text
    is none, ValueError where an array is none.

    Examples
    --------
    >>> reader = FieldReader(text_field("shop") + number_field(-6))
    >>> reader.text(), reader.number(), reader.left
    ('shop', -6, 0)
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read."""
        return len(self._body) - self._at

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Read a fixed layout."""
        values = layout.unpack_from(self._body, self._at)
        self._at += layout.size
        return values

    def number(self) -> int:
        """Read what `number_field` wrote."""
        zeros, size = self.unpack(_NUMBER)
        return int.from_bytes(self._take(size), "little", signed=True) << zeros

    def array(self) -> NDArray[np.int64]:
        """Read what `array_field` wrote."""
        width, items = self.unpack(_ARRAY)
        if width not in _ARRAY_TYPES:
            raise ValueError(f"profile is malformed: items of {width} bytes")
        raw = np.frombuffer(self._take(width * items), _ARRAY_TYPES[width])
        found = raw.astype(np.int64)
        if width == 8 and (found < 0).any():
            raise ValueError("profile is malformed: a number of 2**63 or more")
        return found

    def text(self) -> str:
        """Read what `text_field` wrote."""
        return self._take(self.unpack(_TEXT)[0]).decode()

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise IndexError("an item reaches past the end")
        start, self._at = self._at, self._at + size
        return self._body[start : self._at]
