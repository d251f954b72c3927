"""Profiles to try, and profiles' bytes written by hand."""

import struct
import zlib

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.profile import ColumnProfile, Profile, listed_categories
from homeostat.profiles.sketch import CategorySketch

NUMBERS = st.lists(st.floats(), max_size=30).map(lambda rows: profile_numbers(np.array(rows)))
CATEGORIES = st.dictionaries(st.text("aäß界", max_size=4), st.integers(1, 10**12), max_size=6).map(
    lambda values: ColumnProfile(
        ColumnKind.CATEGORICAL, count=sum(values.values()) + 7, missing=2, values=values, other=5
    )
)
REGISTERS = st.sampled_from([0, 16, 1 << 14]).flatmap(
    lambda size: st.integers(0, 63).map(lambda top: np.arange(size, dtype=np.uint8) % (top + 1))
)


@st.composite
def overflown(draw: st.DrawFn) -> ColumnProfile:
    certain = draw(st.dictionaries(st.text("aß", max_size=3), st.integers(1, 10**12), max_size=6))
    present = sum(certain.values()) + draw(st.integers(1, 10**6))
    error = draw(st.integers(1, present))
    sketch = CategorySketch(certain, error, draw(st.integers(0, present)), draw(REGISTERS), 7)
    values, other = listed_categories(sketch, present)
    kind = ColumnKind.CATEGORICAL
    return ColumnProfile(kind, count=present, values=values, other=other, sketch=sketch)


PLAIN = st.dictionaries(st.text("xyzé", max_size=3), NUMBERS | CATEGORIES, max_size=4)
ANY = st.dictionaries(st.text("xyzé", max_size=3), NUMBERS | overflown(), max_size=4)
CELLS = st.none() | st.floats()
PAIRED = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=9).map(
    lambda rows: profile_table(
        pa.table(
            {n: pa.array([row[i] for row in rows], pa.float64()) for i, n in enumerate("abc")}
        ),
        dict.fromkeys("abc", ColumnKind.NUMERIC),
        pairs=True,
    )
)
PROFILES = st.builds(Profile, st.integers(0, 2**63), PLAIN | ANY) | PAIRED


def sealed(body: bytes) -> bytes:
    return b"HSPF" + struct.pack("<HII", 1, len(body), zlib.crc32(body)) + body


def body_with(**changes: bytes) -> bytes:
    """Write one column by hand, with an intact checksum whatever it says."""
    parts = {
        "head": struct.pack("<QI", 2, 1),
        "name": struct.pack("<I", 1) + b"x",
        "kind": b"\x00",
        "scalars": struct.pack("<6Q2d", 2, 0, 0, 0, 0, 0, 1.0, 2.0),
        "total": struct.pack("<HH", 0, 0),
        "squares": struct.pack("<HH", 0, 0),
        "bins": struct.pack("<BI", 1, 2) + bytes([7, 1]),
        "counts": struct.pack("<BI", 1, 2) + bytes([1, 1]),
        "rows": struct.pack("<BI", 1, 0),
        "names": b"",
    }
    return sealed(b"".join((parts | changes).values()))


def columns_of_kinds() -> list[bytes]:
    """Write an overflown column "c" of 10 rows, and a numeric one "x" of two, by hand."""
    head = struct.pack("<QI", 10, 2)
    names = {
        "name": struct.pack("<I", 1) + b"c",
        "kind": b"\x01",
        "scalars": struct.pack("<6Q2d", 10, 0, 0, 0, 0, 7, np.nan, np.nan),
        "total": struct.pack("<HH", 0, 0),
        "squares": struct.pack("<HH", 0, 0),
        "bins": struct.pack("<BI", 1, 0),
        "counts": struct.pack("<BI", 1, 0),
        "rows": struct.pack("<BI", 1, 1) + b"\x03",
        "names": struct.pack("<I", 1) + b"a",
    }
    number = body_with()[14 + 12 :]
    return [head, b"".join(names.values()), number]


def second_version(sketch: bytes, pairs: bytes, *, sketches: int = 1) -> bytes:
    body = b"".join([*columns_of_kinds(), struct.pack("<I", sketches), sketch, pairs])
    return b"HSPF" + struct.pack("<HII", 2, len(body), zlib.crc32(body)) + body


def a_sketch(
    place: int = 0,
    error: int = 1,
    unknown: int = 2,
    least: int = 9,
    registers: bytes = struct.pack("<BI", 1, 16) + bytes(range(16)),
) -> bytes:
    return struct.pack("<I3Q", place, error, unknown, least) + registers


def items(*numbers: int, width: int = 1) -> bytes:
    kind = {1: "B", 4: "I", 8: "Q"}[width]
    return struct.pack(f"<BI{len(numbers)}{kind}", width, len(numbers), *numbers)


def some_pairs(**changes: bytes) -> bytes:
    """Write the pairs of one column of two rows, of scores 3 and -1."""
    parts = {
        "flag": b"\x01",
        "names": struct.pack("<II", 1, 1) + b"x",
        "counts": items(2) + items(),
        "sums": items(2 * 2) + items(),  # zigzag
        "high": items(0) + items(),
        "low": items(10) + items(),
        "products": items(0) + items(10),
    }
    return b"".join((parts | changes).values())
