from datetime import UTC, datetime, timedelta

import pytest

from homeostat.simulation.clock import SimulatedClock

T0 = datetime(2024, 1, 1, tzinfo=UTC)


def test_time_moves_only_when_told() -> None:
    clock = SimulatedClock(T0)
    assert (clock.now(), clock.monotonic()) == (T0, 0.0)
    clock.advance(timedelta(seconds=1.5))
    assert (clock.now(), clock.monotonic()) == (T0 + timedelta(seconds=1.5), 1.5)


def test_monotonic_time_does_not_follow_a_step_back() -> None:
    clock = SimulatedClock(T0)
    clock.set(T0 + timedelta(hours=1))
    clock.set(T0)
    assert (clock.now(), clock.monotonic()) == (T0, 3600.0)


def test_impossible_times_are_refused() -> None:
    with pytest.raises(ValueError, match="time-zone aware"):
        SimulatedClock(datetime(2024, 1, 1))
    clock = SimulatedClock(T0)
    with pytest.raises(ValueError, match="time-zone aware"):
        clock.set(datetime(2024, 1, 1))
    with pytest.raises(ValueError, match="cannot advance"):
        clock.advance(timedelta(seconds=-1))
