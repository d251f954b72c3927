"""Fitting a drift reference."""

from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.detectors.drift.reference import DriftConfig, fit
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import Profile

START = datetime(2024, 1, 1, 5, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
NAMES = ("x", "absent")


def windows(n: int, step: timedelta) -> list[tuple[Window, Profile]]:
    rng = np.random.default_rng(0)
    return [
        (
            Window(START + i * step, START + (i + 1) * step),
            Profile(100, {n: profile_numbers(rng.normal(size=100)) for n in ("x", "other")}),
        )
        for i in range(n)
    ]


def test_threshold_follows_from_the_budget() -> None:
    assert DriftConfig().threshold == 360.0


def test_columns_that_the_reference_lacks_are_left_out() -> None:
    fitted = fit(windows(3, HOUR), NAMES, DriftConfig())
    assert [stream.subject for stream in fitted.streams] == ["x"]


def test_a_reference_is_partial_until_it_has_seen_a_week_and_four_windows() -> None:
    partial = [
        fit(windows(n, timedelta(days=days)), NAMES, DriftConfig()).partial
        for n, days in ((3, 3), (6, 1), (7, 1), (4, 7))
    ]
    assert partial == [True, True, False, False]


def test_other_data_or_columns_are_another_reference() -> None:
    keys = {
        fit(windows(7, HOUR), NAMES, DriftConfig()).key,
        fit(windows(8, HOUR), NAMES, DriftConfig()).key,
        fit(windows(7, HOUR), ("other",), DriftConfig()).key,
    }
    assert len(keys) == 3
