from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.window import Window, closed_windows, floor

DAY = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENTS = st.datetimes(datetime(1999, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))
STEPS = st.timedeltas(timedelta(minutes=1), timedelta(days=7))


def test_the_start_is_in_and_the_end_is_out() -> None:
    window = Window(DAY, DAY + HOUR)
    assert DAY in window
    assert DAY + HOUR not in window
    assert DAY - timedelta(microseconds=1) not in window
    assert str(window) == "2024-03-01T00:00/2024-03-01T01:00"


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="not after its start"):
        Window(DAY, DAY)


@pytest.mark.parametrize("naive", [0, 1])
def test_times_without_a_zone_are_refused(naive: int) -> None:
    times = [DAY, DAY + HOUR]
    times[naive] = times[naive].replace(tzinfo=None)
    with pytest.raises(ValueError, match="time-zone aware"):
        Window(*times)


@given(MOMENTS, STEPS)
def test_floor_is_the_multiple_just_before(moment: datetime, step: timedelta) -> None:
    found = floor(moment, step)
    assert found <= moment < found + step
    assert floor(found, step) == found


@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=20)), st.sampled_from([HOUR, 24 * HOUR]))
def test_closed_windows_tile_what_is_over(
    since: datetime, length: timedelta, step: timedelta
) -> None:
    windows = list(closed_windows(since, since + length, step))
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert all(since <= w.start and w.end <= since + length and w.length == step for w in windows)
    assert len(windows) in {length // step, length // step - 1}


def test_closed_windows_start_at_an_aligned_time_itself() -> None:
    assert list(closed_windows(DAY, DAY + 1.5 * HOUR, HOUR)) == [Window(DAY, DAY + HOUR)]
