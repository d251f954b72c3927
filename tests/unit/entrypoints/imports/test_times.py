"""Times in files: pandas and the standard library say what is right."""

from __future__ import annotations

import decimal
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.errors import UserError
from homeostat.domain.record import TIMESTAMP
from homeostat.entrypoints.imports.times import Times, zone_of

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
SECONDS = 1_704_067_200
UTC_TIMES = Times(zone_of("UTC"))
LISBON = Times(zone_of("Europe/Lisbon"))
MOMENTS = st.datetimes(datetime(1975, 1, 1), datetime(2200, 1, 1))
# Arrow knows of no daylight saving after 2037.
LATELY = st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1))


def read(times: Times, values: list[Any], kind: pa.DataType | None = None) -> list[Any]:
    column, bad = times.read(pa.chunked_array([pa.array(values, kind)]))
    assert column.type == TIMESTAMP
    return [
        "bad" if wrong else value
        for value, wrong in zip(column.to_pylist(), bad.tolist(), strict=True)
    ]


@given(st.lists(MOMENTS, min_size=1), st.sampled_from(["s", "ms", "us", "ns"]))
def test_numbers_are_told_by_their_size(moments: list[datetime], unit: str) -> None:
    stamps = pd.Series(moments).dt.tz_localize("UTC").dt.floor("s")
    steps = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    numbers = [stamp.value // steps[unit] for stamp in stamps]
    expected = list(stamps.dt.to_pydatetime())
    named = Times(zone_of("UTC"), unit)
    for times, values in (
        (UTC_TIMES, numbers),
        (UTC_TIMES, list(map(str, numbers))),
        (named, numbers),
    ):
        assert read(times, values) == expected


@given(LATELY, st.sampled_from(["UTC", "Europe/Lisbon", "Asia/Kathmandu"]))
def test_texts_are_iso_with_a_zone_or_without(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    here = moment.replace(tzinfo=zone)
    expected = [here.astimezone(UTC)]
    times = Times(zone_of(name))
    assert read(times, [here.isoformat()]) == expected
    assert read(times, [moment.isoformat(), "no time"]) == [*expected, "bad"]
    assert read(times, [moment.isoformat()]) == expected
    assert read(times, [moment], pa.timestamp("us")) == expected
    assert read(times, [here.replace(microsecond=0, fold=0)], pa.timestamp("s", name)) == [
        here.replace(microsecond=0).astimezone(UTC)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01", NEW_YEAR),
        ("20240101", NEW_YEAR),
        ("2024-01-01T00:00:00.123456789Z", NEW_YEAR + timedelta(microseconds=123_456)),
        ("2024-01-01 01:00+01:00", NEW_YEAR),
        (" 2024/01/01 00:00 ", NEW_YEAR),
        ("01.01.2024", NEW_YEAR),
        (format_datetime(NEW_YEAR), NEW_YEAR),
        ("1704067200.5", NEW_YEAR + timedelta(seconds=0.5)),
        ("1e400", "bad"),
        ("03/04/2024", "bad"),  # March or April?
        ("", "bad"),
        ("2024-13-01", "bad"),
        ("٢٠٢٤", "bad"),
        ("9" * 30, "bad"),
        ("nan", "bad"),
    ],
    ids=repr,
)
def test_a_text_beside_others(text: str, expected: object) -> None:
    assert read(UTC_TIMES, [text, None, "2024-01-01T00:00:00Z"]) == [expected, None, NEW_YEAR]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([date(2024, 1, 1), None], pa.date32(), [NEW_YEAR, None]),
        ([decimal.Decimal(f"{SECONDS}.25")], None, [NEW_YEAR + timedelta(seconds=0.25)]),
        ([SECONDS + 0.25, float("nan")], None, [NEW_YEAR + timedelta(seconds=0.25), None]),
        ([1e300, None], None, ["bad", None]),
        ([20240101, 20240102], None, [NEW_YEAR, NEW_YEAR + timedelta(days=1)]),
        ([SECONDS * 10**9], pa.uint64(), [NEW_YEAR]),
        ([NEW_YEAR], pa.timestamp("ns", "UTC"), [NEW_YEAR]),
        ([None, None], None, [None, None]),
        ([True, None], None, ["bad", None]),
        ([["2024-01-01"]], None, ["bad"]),
        (["2024-01-01"], pa.large_string(), [NEW_YEAR]),
    ],
    ids=str,
)
def test_types(values: list[Any], kind: pa.DataType | None, expected: list[Any]) -> None:
    assert read(UTC_TIMES, values, kind) == expected


def test_hours_that_a_clock_shows_twice_or_never() -> None:
    twice, never = datetime(2024, 10, 27, 1, 30), datetime(2024, 3, 31, 1, 30)
    expected = [moment.replace(tzinfo=LISBON.zone).astimezone(UTC) for moment in (twice, never)]
    assert read(LISBON, [twice, never], pa.timestamp("us")) == expected
    assert read(LISBON, [str(twice), str(never)]) == expected
    assert read(LISBON, [str(twice), str(never), "?"]) == [*expected, "bad"]


def test_a_form_that_is_told() -> None:
    times = Times(zone_of("UTC"), form="%d/%m/%Y")
    assert read(times, ["03/04/2024", "2024-04-03"]) == [datetime(2024, 4, 3, tzinfo=UTC), "bad"]


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "a\x00b"])
def test_unknown_zones(name: str) -> None:
    with pytest.raises(UserError, match="no time zone"):
        zone_of(name)
