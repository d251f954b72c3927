"""Profiles as bytes: versioned, checked, the same bytes for equal profiles.

The layout is documented in ``docs/reference/profile-format.md``. A profile is written in the oldest
version that can hold it: version 2 only if it has sketches or pairs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.fields import FieldReader, array_field, number_field, text_field
from homeostat.profiles.pairs import LIMB, MOST_COLUMNS, SCORE_LIMIT, Pairs
from homeostat.profiles.profile import CATEGORY_LIMIT, ColumnProfile, Profile, listed_categories
from homeostat.profiles.sketch import LEVELS, CategorySketch
from homeostat.stats.bitbins import BIN_COUNT

MAGIC = b"HSPF"
VERSION = 2

_HEADER = struct.Struct("<4sHII")  # magic, version, length and CRC-32 of what follows
_PROFILE = struct.Struct("<QI")  # rows, columns
_COLUMN = struct.Struct("<B6Q2d")  # kind, six counts, minimum, maximum
_AMOUNT = struct.Struct("<I")
_SKETCH = struct.Struct("<I3Q")  # column, error, unknown, least
_FLAG = struct.Struct("<B")
_KINDS = (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)
_REGISTER_SIZES = tuple(1 << log for log in range(4, 22))
_MOST_ROWS = 1 << 44  # up to which sums of scores fit their integers


def to_bytes(profile: Profile) -> bytes:
    r"""Return the profile's bytes; equal profiles give equal bytes.

    Examples
    --------
    >>> from homeostat.profiles.profile import EMPTY
    >>> to_bytes(EMPTY)[:6]
    b'HSPF\x01\x00'
    """
    parts = [_PROFILE.pack(profile.rows, len(profile.columns))]
    sketches: list[bytes] = []
    for place, name in enumerate(sorted(profile.columns)):
        column = profile.columns[name]
        parts.append(text_field(name))
        if column.sketch is not None:
            sketches.append(_sketch(place, column.sketch))
            column = _certain(column, column.sketch)
        parts.extend(_column(column))
    version = 2 if sketches or profile.pairs is not None else 1
    if version == 2:
        parts.extend((_AMOUNT.pack(len(sketches)), *sketches, *_pairs(profile.pairs)))
    body = b"".join(parts)
    return _HEADER.pack(MAGIC, version, len(body), zlib.crc32(body)) + body


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
    if not 1 <= version <= VERSION:
        raise ValueError(
            f"profile has format version {version}; this program reads 1 to {VERSION}: "
            "use the version of Homeostat that wrote it, or a newer one"
        )
    body = data[_HEADER.size :]
    if len(body) != length:
        what = "is cut short" if len(body) < length else "has bytes after its end"
        raise ValueError(f"profile {what}: {len(body)} of {length} bytes")
    if zlib.crc32(body) != checksum:
        raise ValueError("profile is corrupt: its checksum does not match")
    try:
        return _read_profile(FieldReader(body), version)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"profile is malformed: {error}") from error


def _column(column: ColumnProfile) -> list[bytes]:
    scalars = (column.count, column.missing, column.nan, column.infinite, column.zeros)
    kind = _KINDS.index(column.kind)
    steps = column.bins.astype(np.int64)
    steps[1:] -= column.bins[:-1]
    return [
        _COLUMN.pack(kind, *scalars, column.other, column.minimum, column.maximum),
        number_field(column.total),
        number_field(column.squares),
        array_field(steps),
        array_field(column.counts),
        *_categories(column.values),
    ]


def _categories(values: Mapping[str, int]) -> list[bytes]:
    names = sorted(values)
    counts = array_field(np.array([values[name] for name in names], dtype=np.int64))
    return [counts, *map(text_field, names)]


def _certain(column: ColumnProfile, sketch: CategorySketch) -> ColumnProfile:
    """Return the column with what its sketch is sure of in place of the estimates made from it."""
    other = column.present - sum(sketch.counts.values())
    return replace(column, values=sketch.counts, other=other, sketch=None)


def _sketch(place: int, sketch: CategorySketch) -> bytes:
    head = _SKETCH.pack(place, sketch.error, sketch.unknown, sketch.least)
    return head + array_field(sketch.registers.astype(np.int64))


def _pairs(pairs: Pairs | None) -> list[bytes]:
    """Write sums as what they lack of those of the diagonal, which is mostly nothing."""
    if pairs is None:
        return [_FLAG.pack(0)]
    size = len(pairs.names)
    upper, off = np.triu_indices(size), ~np.eye(size, dtype=np.bool_)
    items = [np.diagonal(pairs.counts), _lack(pairs.counts)[off]]
    items += [_zigzag(np.diagonal(pairs.sums)), _zigzag(_lack(pairs.sums)[off])]
    for whole, lack in zip(pairs.squares, _borrow(_lack(pairs.squares)), strict=True):
        items += [np.diagonal(whole), lack[off]]
    high, low = pairs.products[:, *upper]
    items += [_zigzag(high), low]
    names = map(text_field, pairs.names)
    return [_FLAG.pack(1), _AMOUNT.pack(size), *names, *map(array_field, items)]


def _read_profile(reader: FieldReader, version: int) -> Profile:
    rows, columns = reader.unpack(_PROFILE)
    found = {reader.text(): _read_column(reader) for _ in range(columns)}
    if len(found) != columns:
        raise ValueError("profile names a column twice")
    pairs = None
    if version > 1:
        for _ in range(reader.unpack(_AMOUNT)[0]):
            _read_sketch(reader, found)
        pairs = _read_pairs(reader, found)
    if reader.left:
        raise ValueError(f"profile has {reader.left} unread bytes at its end")
    return Profile(rows, found, pairs)


def _read_column(reader: FieldReader) -> ColumnProfile:
    kind, count, missing, nan, infinite, zeros, other, low, high = reader.unpack(_COLUMN)
    total, squares = reader.number(), reader.number()
    bins = np.cumsum(reader.array())
    counts, rows = reader.array(), reader.array()
    values = {reader.text(): amount for amount in rows.tolist()}
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
    if bins.size != counts.size or (bins.size and not 0 <= bins[0] <= bins[-1] < BIN_COUNT):
        raise ValueError("profile is malformed: bins and counts do not fit")
    if (np.diff(bins) <= 0).any() or len(values) != rows.size or rows.size > CATEGORY_LIMIT:
        raise ValueError("profile is malformed: its bins or categories are not a set")
    if (counts <= 0).any() or (rows <= 0).any():
        raise ValueError("profile is malformed: a bin or category without rows is listed")
    if sum(counts.tolist()) + sum(values.values()) + other != column.present:
        raise ValueError("profile is malformed: its counts do not add up to its rows")
    if bins.size and not low <= high:
        raise ValueError("profile is malformed: its smallest value is above its largest")
    return column


def _read_sketch(reader: FieldReader, columns: dict[str, ColumnProfile]) -> None:
    """Put a sketch's estimates in place of what it is sure of."""
    place, error, unknown, least = reader.unpack(_SKETCH)
    registers = reader.array()
    name = list(columns)[place]
    column = columns[name]
    if registers.size and (registers.size not in _REGISTER_SIZES or registers.max() >= LEVELS):
        raise ValueError(f"profile is malformed: {registers.size} registers")
    sketch = CategorySketch(column.values, error, unknown, registers.astype(np.uint8), least)
    sound = column.kind is ColumnKind.CATEGORICAL and column.sketch is None and column.present
    if not sound or sketch.exact or max(error, unknown) > column.present:
        raise ValueError("profile is malformed: a sketch does not fit its column")
    values, other = listed_categories(sketch, column.present)
    columns[name] = replace(column, values=values, other=other, sketch=sketch)


def _read_pairs(reader: FieldReader, columns: Mapping[str, ColumnProfile]) -> Pairs | None:
    if not reader.unpack(_FLAG)[0]:
        return None
    (size,) = reader.unpack(_AMOUNT)
    if size > MOST_COLUMNS:
        raise ValueError(f"profile is malformed: pairs of {size} columns")
    names = tuple(reader.text() for _ in range(size))
    counts, sums, high, low = (_read_square(reader, size, signed=i == 1) for i in range(4))
    squares = _borrow(np.stack((high, low)))
    products = np.zeros((2, size, size), np.int64)
    upper = np.triu_indices(size)
    for limb in products:
        limb[upper] = _sized(reader.array(), upper[0].size)
    products[0] = _unzigzag(products[0])
    pairs = Pairs(names, counts, sums, squares, products)
    numeric = {n: c.present for n, c in columns.items() if c.kind is ColumnKind.NUMERIC}
    alone = [numeric.get(name, -1) for name in names]
    if len(set(names)) < size or alone != np.diagonal(counts).tolist() or not _possible(pairs):
        raise ValueError("profile is malformed: its pairs do not fit its columns")
    return pairs


def _read_square(reader: FieldReader, size: int, *, signed: bool) -> NDArray[np.int64]:
    diagonal = _sized(reader.array(), size)
    lacking = _sized(reader.array(), size * (size - 1))
    if signed:
        diagonal, lacking = _unzigzag(diagonal), _unzigzag(lacking)
    square = np.zeros((size, size), np.int64)
    square[~np.eye(size, dtype=np.bool_)] = lacking
    return diagonal[:, np.newaxis] - square


def _sized(items: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if items.size != size:
        raise ValueError(f"profile is malformed: {items.size} sums of {size}")
    return items


def _possible(pairs: Pairs) -> bool:
    """Whether no sum is larger than its number of rows allows."""
    n, alone = pairs.counts, np.diagonal(pairs.counts)
    if not ((n >= 0) & (n <= _MOST_ROWS) & (n == n.T) & (n <= alone)).all():
        return False
    most, highest = n * SCORE_LIMIT, n * (SCORE_LIMIT * SCORE_LIMIT >> LIMB)
    square, product = pairs.squares[0], pairs.products[0]
    within = (pairs.sums <= most) & (pairs.sums >= -most)
    within &= (square >= 0) & (square <= highest)
    within &= (product >= -highest) & (product <= highest) & (pairs.products[1] >> LIMB == 0)
    return bool(within.all())


def _lack(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the diagonal's value in each row less the row."""
    lack: NDArray[np.int64] = np.diagonal(sums, axis1=-2, axis2=-1)[..., np.newaxis] - sums
    return lack


def _borrow(limbs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bring the lower parts of limbs back to [0, 2**32)."""
    return np.stack((limbs[0] + (limbs[1] >> LIMB), limbs[1] & ((1 << LIMB) - 1)))


def _zigzag(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map 0, -1, 1, -2, ... to 0, 1, 2, 3, ..."""
    return (items << 1) ^ (items >> 63)


def _unzigzag(items: NDArray[np.int64]) -> NDArray[np.int64]:
    return (items >> 1) ^ -(items & 1)
