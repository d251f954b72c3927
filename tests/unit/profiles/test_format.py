import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.profile import CATEGORY_LIMIT, EMPTY, Profile
from profile_bytes import PROFILES, a_sketch, second_version, some_pairs

GOLDEN = Path(__file__).parent / "golden"


@given(PROFILES)
def test_profiles_survive_a_round_trip(profile: Profile) -> None:
    data = to_bytes(profile)
    assert from_bytes(data) == profile
    assert to_bytes(from_bytes(data)) == data


def test_files_of_version_1_are_read_and_written_as_they_were() -> None:
    data = (GOLDEN / "version1.profile").read_bytes()
    profile = from_bytes(data)
    assert to_bytes(profile) == data
    columns = profile.columns
    assert profile.rows == 8
    assert profile.pairs is None
    assert columns["amount"].mean == pytest.approx(1e300 / 5)
    assert (columns["amount"].missing, columns["amount"].nan, columns["amount"].infinite) == (
        1,
        1,
        1,
    )
    assert columns["age"].minimum == 18.0625  # personal: the middle of its bin
    assert columns["shop"].values == {"a": 3, "b": 1, "ä": 1, "界": 1, "": 1}
    assert columns["online"].values == {"true": 5, "false": 2}
    assert sorted(columns["email"].values.values()) == [1, 1, 2, 3]
    assert columns["email"].distinct == 4
    assert profile.merge(profile).rows == 16


def test_an_overflown_column_of_version_1_can_be_read_and_merged() -> None:
    data = (GOLDEN / "version1_overflown.profile").read_bytes()
    profile = from_bytes(data)
    column = profile.columns["shop"]
    assert to_bytes(profile) == data
    assert (len(column.values), column.other, column.sketch) == (100, 752, None)
    assert column.distinct == pytest.approx(400, rel=0.3)
    name, rows = next(iter(column.values.items()))
    assert (column.bounds(name), column.bounds("not kept")) == ((rows, rows), (0, 752))
    both = profile.merge(profile)
    merged = both.columns["shop"]
    assert merged.present == 2000
    assert merged.values[name] == 2 * rows
    assert merged.distinct == column.distinct
    assert merged.bounds("not kept") == (0, 1504)
    assert from_bytes(to_bytes(both)) == both


def test_version_2_is_written_only_where_it_is_needed() -> None:
    table = pa.table({"shop": [f"{i}" for i in range(CATEGORY_LIMIT + 1)]})
    many = profile_table(table, {"shop": ColumnKind.CATEGORICAL})
    few = profile_table(table.slice(1), {"shop": ColumnKind.CATEGORICAL})
    paired = profile_table(pa.table({"x": [1.0]}), {"x": ColumnKind.NUMERIC}, pairs=True)
    assert [to_bytes(profile)[4] for profile in (few, many, paired, EMPTY)] == [1, 2, 2, 1]
    assert len(to_bytes(many)) < 1 << 15


def test_pairs_of_an_hour_of_traffic_take_little_beside_its_histograms() -> None:
    values = np.random.default_rng(1).lognormal(size=(30, 1000))
    table = pa.table(list(values), names=[f"f{i}" for i in range(30)])
    kinds = dict.fromkeys(table.column_names, ColumnKind.NUMERIC)
    plain, paired = (len(to_bytes(profile_table(table, kinds, pairs=p))) for p in (False, True))
    assert paired - plain < 0.25 * plain


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


def test_refusals_say_what_is_wrong() -> None:
    data = to_bytes(EMPTY)
    with pytest.raises(ValueError, match="not a profile"):
        from_bytes(b"PAR1" + data)
    for version in (b"\x00\x00", b"\x03\x00"):
        with pytest.raises(ValueError, match=r"version [03]; this program reads 1 to 2: use the"):
            from_bytes(data[:4] + version + data[6:])
    with pytest.raises(ValueError, match="bytes after its end"):
        from_bytes(data + b"\0")


def test_the_layout_of_version_2_is_the_documented_one() -> None:
    data = second_version(a_sketch(), some_pairs())
    profile = from_bytes(data)
    column = profile.columns["c"]
    assert column.sketch is not None
    assert (column.sketch.counts, column.sketch.error) == ({"a": 3}, 1)
    assert (column.sketch.unknown, column.sketch.least) == (2, 9)
    assert column.sketch.registers.tolist() == list(range(16))
    assert (column.values, column.other, column.bounds("a")) == ({"a": 4}, 6, (3, 6))
    pairs = profile.pairs
    assert pairs is not None
    assert (pairs.names, pairs.counts.tolist(), pairs.sums.tolist()) == (("x",), [[2]], [[2]])
    assert pairs.squares.tolist() == pairs.products.tolist() == [[[0]], [[10]]]
    assert to_bytes(profile) == data
