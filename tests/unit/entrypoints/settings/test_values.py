from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.entrypoints.settings.values import format_duration, nearest, parse_duration

MILLISECOND = timedelta(milliseconds=1)


@given(st.integers(0, 10**12))
def test_durations_round_trip(milliseconds: int) -> None:
    duration = milliseconds * MILLISECOND
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["", "10", "d", "-1d", "1 d", "1y", "1d2", "1.d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_fractions_and_sums() -> None:
    assert parse_duration("1.5h") == timedelta(minutes=90)
    assert parse_duration("1w2d") == timedelta(days=9)


def test_nearest_lists_what_is_known_when_nothing_is_close() -> None:
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "nothing may stand here"
