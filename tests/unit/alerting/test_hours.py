"""Hours of the week, by an oracle that walks every minute."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.alerting.hours import Hours

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30]))


@settings(max_examples=60)
@given(CLOCKS, CLOCKS, st.frozensets(st.integers(0, 6)), st.integers(0, 7 * 48 - 1))
def test_a_moment_is_in_a_stretch_that_began_on_one_of_the_days(
    start: time, end: time, days: frozenset[int], half_hours: int
) -> None:
    moment = MONDAY + timedelta(minutes=30) * half_hours
    held = False
    for back in (0, 1):
        day = (moment - timedelta(days=back)).date()
        begins = datetime.combine(day, start, UTC)
        ends = datetime.combine(day, end, UTC)
        if ends <= begins:
            ends += timedelta(days=1)
        held |= day.weekday() in days and begins <= moment < ends
    assert Hours(start, end, UTC, days).hold(moment) is held


@pytest.mark.parametrize(
    ("utc", "quiet"),
    [
        ("2024-03-30T22:30", True),  # winter time: 23:30
        ("2024-03-31T04:30", True),  # summer time since 01:00 UTC: 06:30
        ("2024-03-31T05:00", False),  # 07:00
        ("2024-10-27T05:30", True),  # winter time again: 06:30
        ("2024-10-27T06:00", False),
    ],
)
def test_the_clock_is_that_of_the_people_there(utc: str, quiet: bool) -> None:
    night = Hours(time(23), time(7), ZoneInfo("Europe/Berlin"))
    assert night.hold(datetime.fromisoformat(utc).replace(tzinfo=UTC)) is quiet
