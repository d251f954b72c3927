"""Hour and weekday are taken out."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.detectors.drift.rhythm import Match, fit_rhythm
from homeostat.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def windows(count: int, step: timedelta) -> list[Window]:
    return [Window(START + i * step, START + (i + 1) * step) for i in range(count)]


def test_weekdays_are_learnt_from_four_weeks() -> None:
    rng = np.random.default_rng(0)
    days = windows(28, DAY)
    size = np.sin(np.arange(7))
    values = np.array([[size[day.start.weekday()]] for day in days])
    rhythm = fit_rhythm(days, values + rng.normal(0.0, 0.01, values.shape), "auto")
    ahead = windows(35, DAY)[28:]
    found = [float(rhythm.expected(day)[0]) for day in ahead]
    assert found == pytest.approx((size - size.mean()).tolist(), abs=0.03)
    assert rhythm.lost[0] == pytest.approx(6.0, abs=0.1)
    assert float(rhythm.stretch(ahead[0])[0]) == pytest.approx(0.214, abs=0.02)


def test_hours_and_weekdays_add_up() -> None:
    rng = np.random.default_rng(1)
    hours = windows(24 * 28, HOUR)
    values = np.array([[w.start.hour / 24 + (w.start.weekday() >= 5)] for w in hours])
    rhythm = fit_rhythm(hours, values + rng.normal(0.0, 0.01, values.shape), "auto")
    left = values - np.stack([rhythm.expected(w) for w in hours])
    assert left.std() < 0.01
    assert (len(rhythm.hours), len(rhythm.weekdays)) == (23, 6)


@pytest.mark.parametrize(
    ("match", "step", "count", "hours", "weekdays"),
    [
        ("none", HOUR, 24 * 28, 0, 0),
        ("hour", HOUR, 24 * 28, 23, 0),
        ("weekday", HOUR, 24 * 28, 0, 6),
        ("auto", DAY, 28, 0, 6),
        ("auto", DAY, 20, 0, 0),
        ("auto", 7 * DAY, 28, 0, 0),
        ("auto", HOUR, 24 * 4, 23, 0),
    ],
)
def test_rhythms_are_learnt_where_there_are_windows_enough(
    match: Match, step: timedelta, count: int, hours: int, weekdays: int
) -> None:
    spans = windows(count, step)
    rhythm = fit_rhythm(spans, np.zeros((count, 1)), match)
    assert (len(rhythm.hours), len(rhythm.weekdays)) == (hours, weekdays)


@pytest.mark.statistical
def test_without_a_rhythm_almost_nothing_is_taken_out() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(28, 1300))
    groups = [slice(13 * i, 13 * i + 13) for i in range(100)]
    rhythm = fit_rhythm(windows(28, DAY), values, "auto", groups)
    assert rhythm.kept.mean() < 0.2
    assert (rhythm.leverage >= 0.0).all()
    assert (rhythm.leverage < 1.0).all()


def test_a_group_that_too_few_windows_have_keeps_its_values() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(28, 2))
    values[:21, 1] = np.nan
    rhythm = fit_rhythm(windows(28, DAY), values, "auto", [slice(0, 1), slice(1, 2)])
    assert rhythm.kept[1] == 0.0
    assert rhythm.expected(windows(1, DAY)[0])[1] == 0.0


def test_what_the_reference_never_saw_has_no_effect() -> None:
    rng = np.random.default_rng(4)
    days = [day for day in windows(42, DAY) if day.start.weekday() < 5]
    monday = np.array([[float(day.start.weekday() == 0)] for day in days])
    rhythm = fit_rhythm(days, monday + rng.normal(0.0, 0.01, monday.shape), "auto")
    saturday = next(day for day in windows(7, DAY) if day.start.weekday() == 5)
    assert rhythm.expected(saturday).tolist() == [0.0]
    assert float(rhythm.expected(days[0])[0]) > 0.7
    hours = [hour for hour in windows(24 * 28, HOUR) if hour.start.hour < 12]
    level = np.array([[float(hour.start.hour == 0)] for hour in hours])
    rhythm = fit_rhythm(hours, level + rng.normal(0.0, 0.01, level.shape), "hour")
    assert rhythm.expected(windows(24, HOUR)[20]).tolist() == [0.0]


def test_a_constant_series_has_no_rhythm() -> None:
    rhythm = fit_rhythm(windows(28, DAY), np.full((28, 1), 3.0), "auto")
    assert rhythm.kept.tolist() == [0.0]
