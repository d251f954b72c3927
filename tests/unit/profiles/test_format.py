import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.profile import EMPTY, ColumnProfile, Profile

NUMBERS = st.lists(st.floats(), max_size=30).map(lambda rows: profile_numbers(np.array(rows)))
CATEGORIES = st.dictionaries(st.text("aäß界", max_size=4), st.integers(1, 10**12), max_size=6).map(
    lambda values: ColumnProfile(
        ColumnKind.CATEGORICAL, count=sum(values.values()) + 7, missing=2, values=values, other=5
    )
)
PROFILES = st.builds(
    Profile,
    st.integers(0, 2**63),
    st.dictionaries(st.text("xyzé", max_size=3), NUMBERS | CATEGORIES, max_size=4),
)


@given(PROFILES)
def test_profiles_survive_a_round_trip(profile: Profile) -> None:
    data = to_bytes(profile)
    assert from_bytes(data) == profile
    assert to_bytes(from_bytes(data)) == data


def test_the_layout_is_the_documented_one() -> None:
    column = profile_numbers(np.array([1.0, 2.0, 1.0]), missing=1)
    body = b"".join(
        [
            struct.pack("<QI", 4, 1),
            struct.pack("<I", 1) + b"x",
            struct.pack("<B6Q2d", 0, 4, 1, 0, 0, 0, 0, 1.0, 2.0),
            struct.pack("<HH", 1126 + 2, 1) + b"\x01",  # 4 = 1 * 2**2
            struct.pack("<HH", 2252 + 1, 1) + b"\x03",  # 6 = 3 * 2**1
            struct.pack("<BI", 4, 2) + struct.pack("<2I", 393088, 128),
            struct.pack("<BI", 1, 2) + bytes([2, 1]),
            struct.pack("<BI", 1, 0),
        ]
    )
    envelope = b"HSPF" + struct.pack("<HII", 1, len(body), zlib.crc32(body))
    assert to_bytes(Profile(4, {"x": column})) == envelope + body


def test_an_hour_of_traffic_takes_about_two_kilobytes_a_column() -> None:
    values = np.random.default_rng(1).lognormal(size=(12, 500))
    table = pa.table(list(values), names=[f"f{i}" for i in range(12)])
    profile = profile_table(table, dict.fromkeys(table.column_names, ColumnKind.NUMERIC))
    assert len(to_bytes(profile)) < 12 * 2048


@given(PROFILES, st.data())
def test_a_damaged_profile_is_never_read(profile: Profile, data: st.DataObject) -> None:
    whole = to_bytes(profile)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), whole[:at], whole + b"\0"):
        with pytest.raises(ValueError, match="profile"):
            from_bytes(damaged)


def test_refusals_say_what_is_wrong() -> None:
    data = to_bytes(EMPTY)
    with pytest.raises(ValueError, match="not a profile"):
        from_bytes(b"PAR1" + data)
    with pytest.raises(ValueError, match="format version 2; this program reads 1"):
        from_bytes(data[:4] + b"\x02\x00" + data[6:])
    with pytest.raises(ValueError, match="bytes after its end"):
        from_bytes(data + b"\0")


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
