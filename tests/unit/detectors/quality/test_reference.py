"""What is counted for faults in a column."""

from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.detectors.quality.reference import QualityConfig, fit, tally
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import ColumnProfile, Profile

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
X = Column("x", ColumnKind.NUMERIC, minimum=0.0, maximum=100.0)
SHOP = Column("shop", ColumnKind.CATEGORICAL)


def shops(**values: int) -> ColumnProfile:
    return ColumnProfile(ColumnKind.CATEGORICAL, count=sum(values.values()), values=values)


def test_tails_halves_and_bounds_are_counted() -> None:
    column = profile_numbers(np.arange(1.0, 101.0))
    reference = fit(
        [(Window(START, START + DAY), Profile(100, {"x": column}))], Schema((X,)), QualityConfig()
    )
    known = reference.columns["x"].known
    found = tally(profile_numbers(np.array([-1.0, 0.0, 5.0, 95.0, 101.0, 1e5]), missing=2), known)
    assert found["missing"] == (2, 8)
    assert found["outside"] == (3, 6)
    assert found["far"] == (1, 6)
    assert found["zeros"] == (1, 6)
    assert (found["low"], found["high"]) == ((3, 6), (3, 6))
    assert (found["lower"], found["upper"]) == ((3, 6), (3, 6))


def test_unseen_categories_are_rated_by_windows_that_stand_alone() -> None:
    windows = [
        (Window(START + i * DAY, START + (i + 1) * DAY), Profile(100, {"shop": part}))
        for i, part in enumerate((shops(a=99, once=1), shops(a=100), shops(a=98, twice=2)))
    ]
    reference = fit(windows, Schema((SHOP,)), QualityConfig())
    assert abs(reference.columns["shop"].rates["unseen"].share - 3.5 / 301.0) < 1e-12
    assert (reference.length, reference.span, reference.rows) == (DAY, 3 * DAY, 300)


def test_windows_much_shorter_than_the_references_are_not_comparable() -> None:
    reference = fit(
        [(Window(START, START + DAY), Profile(100, {"shop": shops(a=100)}))],
        Schema((SHOP,)),
        QualityConfig(),
    )
    assert reference.comparable(Window(START, START + DAY / 2))
    assert not reference.comparable(Window(START, START + DAY / 24))


def test_threshold_is_the_budgets_times_the_number_of_tests() -> None:
    assert QualityConfig().check_threshold(10) == 8640 / 0.2 * 9 * 10
