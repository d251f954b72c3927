"""Level and rhythm that are learnt one point after the other."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.stats.rhythm import DAY, HOUR, WEEK, Rhythm


def taught(values: np.ndarray, step: float, memory: float = WEEK) -> Rhythm:
    rhythm = Rhythm(float(values[0]))
    for place, value in enumerate(values.tolist()):
        time = place * step
        rhythm = rhythm.learning(time, value - rhythm.expected(time, step), step, memory)
    return rhythm


def test_a_level_alone_is_the_mean_of_the_first_points() -> None:
    values = np.random.default_rng(1).normal(5.0, 1.0, 40)
    # Weeks apart: neither hours nor weekdays can be told apart.
    assert taught(values, WEEK, 100 * WEEK).level == pytest.approx(values.mean())


def test_a_lasting_change_of_level_is_followed_within_the_memory() -> None:
    values = np.concatenate([np.zeros(500), np.full(500, 10.0)])
    rhythm = taught(values, WEEK, 100 * WEEK)
    assert rhythm.level == pytest.approx(10.0, abs=0.1)
    assert taught(values, WEEK, 10_000 * WEEK).level == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("step", [300.0, HOUR, 6 * HOUR], ids=["5-minutes", "hour", "6-hours"])
def test_hours_and_weekdays_are_learnt_at_any_step(step: float) -> None:
    times = np.arange(0.0, 8 * WEEK, step)
    hours, days = times % DAY // HOUR, times // DAY % 7
    values = np.where(hours >= 12, 2.0, 0.0) - np.where(days >= 5, 4.0, 0.0)
    rhythm = taught(values, step)
    for time in (6 * HOUR, 18 * HOUR, 5 * DAY + 6 * HOUR, 6 * DAY + 18 * HOUR):
        expected = values[np.flatnonzero(times == time)[0]]
        assert rhythm.expected(8 * WEEK + time, step) == pytest.approx(expected, abs=0.7)


def test_days_apart_there_are_weekdays_but_no_hours() -> None:
    values = np.tile([1.0, 1.0, 1.0, 1.0, 1.0, -3.0, -3.0], 20)
    rhythm = taught(values, DAY)
    assert rhythm.hours.points == (0,) * 24
    apart = rhythm.expected(140 * DAY, DAY) - rhythm.expected(145 * DAY, DAY)
    assert apart == pytest.approx(4.0, abs=0.5)


def test_what_was_seen_once_counts_half() -> None:
    rhythm = Rhythm(0.0, 1_000_000).learning(0.0, 8.0, HOUR, 1e12)
    assert rhythm.hours.adds[0] == 8.0
    assert rhythm.hours.added(0, 1.0) == 4.0


def test_a_level_that_is_taken_over_moves_on_quickly() -> None:
    moved = Rhythm(3.0, 10_000).moved(2.0, 50)
    assert (moved.level, moved.count) == (5.0, 50)
    assert moved.learning(0.0, 1.0, WEEK, 1e12).level == pytest.approx(5.0 + 1.0 / 51.0)
