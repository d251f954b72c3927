import struct
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.pairs import correlation
from homeostat.profiles.profile import Profile
from profile_bytes import (
    PROFILES,
    a_sketch,
    body_with,
    items,
    sealed,
    second_version,
    some_pairs,
)


@given(PROFILES, st.data())
def test_a_damaged_profile_is_never_read(profile: Profile, data: st.DataObject) -> None:
    whole = to_bytes(profile)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), whole[:at], whole + b"\0"):
        with pytest.raises(ValueError, match="profile"):
            from_bytes(damaged)


def test_the_hand_written_column_is_sound() -> None:
    assert from_bytes(body_with()).columns["x"].counts.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": b"\x09"}, "malformed"),
        ({"name": struct.pack("<I", 1) + b"\xff"}, "malformed"),
        ({"name": struct.pack("<I", 999) + b"x"}, "past the end"),
        ({"head": struct.pack("<QI", 2, 2)}, "malformed"),
        ({"head": struct.pack("<QI", 2, 0)}, "unread bytes"),
        ({"bins": struct.pack("<BI", 3, 2) + bytes(6)}, "items of 3 bytes"),
        ({"bins": struct.pack("<BI", 1, 1) + bytes([7])}, "bins and counts do not fit"),
        ({"bins": struct.pack("<BI2I", 4, 2, 7, 1 << 19)}, "bins and counts do not fit"),
        ({"bins": struct.pack("<BI", 1, 2) + bytes([7, 0])}, "not a set"),
        ({"counts": struct.pack("<BI", 1, 2) + bytes([2, 0])}, "without rows"),
        ({"counts": struct.pack("<BI", 1, 2) + bytes([2, 1])}, "do not add up"),
        (
            {
                "rows": struct.pack("<BI", 1, 2) + bytes([1, 1]),
                "names": 2 * (struct.pack("<I", 1) + b"a"),
            },
            "not a set",
        ),
    ],
)
def test_a_sealed_but_malformed_profile_is_refused(changes: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_bytes(body_with(**changes))


def test_a_column_named_twice_is_refused() -> None:
    whole = body_with()
    column = whole[14 + 12 :]
    with pytest.raises(ValueError, match="names a column twice"):
        from_bytes(sealed(struct.pack("<QI", 2, 2) + column + column))


def test_a_bin_without_rows_is_refused_among_categories() -> None:
    changes = {
        "rows": struct.pack("<BI", 1, 1) + bytes([0]),
        "names": struct.pack("<I", 1) + b"a",
    }
    with pytest.raises(ValueError, match="without rows"):
        from_bytes(body_with(**changes))


@pytest.mark.parametrize(
    ("sketch", "message"),
    [
        (a_sketch(place=2), "list index out of range"),
        (a_sketch(place=1), "does not fit its column"),
        (a_sketch() + a_sketch(), "does not fit its column"),
        (a_sketch(error=11), "does not fit its column"),
        (a_sketch(unknown=11), "does not fit its column"),
        (a_sketch(error=0, unknown=0, registers=items()), "does not fit its column"),
        (a_sketch(registers=items(*range(15))), "15 registers"),
        (a_sketch(registers=items(*[64] * 16)), "16 registers"),
        (a_sketch(registers=struct.pack("<BI", 8, 1 << 31)), "past the end"),
    ],
)
def test_a_sealed_but_malformed_sketch_is_refused(sketch: bytes, message: str) -> None:
    amount = 2 if sketch == a_sketch() + a_sketch() else 1
    with pytest.raises(ValueError, match=message):
        from_bytes(second_version(sketch, b"\x00", sketches=amount))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": struct.pack("<I", 51)}, "pairs of 51 columns"),
        ({"names": struct.pack("<II", 1, 1) + b"c"}, "do not fit"),
        ({"names": struct.pack("<II", 1, 1) + b"y"}, "do not fit"),
        ({"names": struct.pack("<I", 0)}, "1 sums of 0"),
        ({"counts": items(3) + items()}, "do not fit"),
        ({"counts": items(2) + items(1)}, "1 sums of 0"),
        ({"counts": items(2) + struct.pack("<BI", 8, 1 << 31)}, "past the end"),
        ({"sums": items(2 * 2 * 131_073, width=4) + items()}, "do not fit"),
        ({"sums": items((1 << 64) - 1, width=8) + items()}, "a number of 2"),
        ({"high": items(9) + items()}, "do not fit"),
        ({"products": items(2 * 9) + items(0)}, "do not fit"),
        ({"products": items(0) + items(1 << 32, width=8)}, "do not fit"),
        ({"products": items(0) + items(10) + b"\x00"}, "unread bytes"),
    ],
)
def test_sealed_but_malformed_pairs_are_refused(changes: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_bytes(second_version(a_sketch(), some_pairs(**changes)))


def test_pairs_that_two_columns_cannot_have_are_refused() -> None:
    table = pa.table({"x": [1.0, 2.0, None], "y": [1.0, 2.0, 3.0]})
    profile = profile_table(table, dict.fromkeys("xy", ColumnKind.NUMERIC), pairs=True)
    assert profile.pairs is not None
    counts = profile.pairs.counts.copy()
    counts[0, 1] = 3
    pairs = replace(profile.pairs, counts=counts)
    with pytest.raises(ValueError, match="do not fit"):
        from_bytes(to_bytes(replace(profile, pairs=pairs)))


def test_hostile_numbers_are_refused() -> None:
    huge = struct.pack("<BI2Q", 8, 2, (1 << 64) - 5, 8)
    with pytest.raises(ValueError, match="a number of 2"):
        from_bytes(body_with(bins=huge))
    with pytest.raises(ValueError, match="do not add up"):
        from_bytes(body_with(counts=struct.pack("<BI2Q", 8, 2, (1 << 63) - 1, (1 << 63) - 1)))
    with pytest.raises(ValueError, match="smallest value is above its largest"):
        from_bytes(body_with(scalars=struct.pack("<6Q2d", 2, 0, 0, 0, 0, 0, 2.0, 1.0)))


@given(PROFILES, st.data())
def test_a_resealed_forgery_is_refused_or_read_as_a_sound_profile(
    profile: Profile, data: st.DataObject
) -> None:
    """Whoever can write a profile can also write its checksum."""
    whole = to_bytes(profile)
    body = bytearray(whole[14:])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    body = body[: data.draw(st.integers(len(body) // 2, len(body)))]
    version = data.draw(st.sampled_from([1, 2]))
    forged = b"HSPF" + struct.pack("<HII", version, len(body), zlib.crc32(body)) + bytes(body)
    try:
        read = from_bytes(forged)
    except ValueError as error:
        assert "profile" in str(error)  # noqa: PT017 - either outcome is right
        return
    assert from_bytes(to_bytes(read)) == read
    for column in read.columns.values():
        assert sum(column.values.values()) + column.other + int(column.counts.sum()) >= 0
        assert column.distinct >= 0
    if read.pairs is not None:
        found = correlation(read.pairs)
        assert ((np.abs(found) <= 1.0) | np.isnan(found)).all()


def test_a_hostile_length_takes_no_memory() -> None:
    lengths = struct.pack("<BI", 8, (1 << 32) - 1)
    forgeries = [
        sealed(struct.pack("<QI", 0, (1 << 32) - 1)),
        body_with(bins=lengths),
        body_with(rows=lengths),
        body_with(name=struct.pack("<I", (1 << 32) - 1)),
        second_version(a_sketch(), b"\x01" + struct.pack("<I", (1 << 32) - 1)),
        second_version(a_sketch(), b"\x00", sketches=(1 << 32) - 1),
    ]
    tracemalloc.start()
    try:
        for forged in forgeries:
            with pytest.raises(ValueError, match="profile"):
                from_bytes(forged)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
