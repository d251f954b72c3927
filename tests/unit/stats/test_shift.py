import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.stats.location import mann_whitney
from homeostat.stats.shift import LARGEST, hodges_lehmann

SIDES = st.lists(st.integers(0, 10**6), min_size=5, max_size=9, unique=True)


@settings(max_examples=15)
@given(SIDES, SIDES)
def test_the_interval_holds_the_shifts_that_mann_whitney_does_not_refute(
    one: list[int], other: list[int]
) -> None:
    control, treated = np.array(one, float), np.array(other, float) + 0.5
    found = hodges_lehmann(control, treated)
    for bound, outwards in ((found.interval.lower, -0.1), (found.interval.upper, 0.1)):
        inside = mann_whitney(control + bound - outwards, treated).p_value
        outside = mann_whitney(control + bound + outwards, treated).p_value
        if len(np.unique(np.concatenate((control + bound - outwards, treated)))) == len(
            one + other
        ):
            assert inside > 0.05
        if len(np.unique(np.concatenate((control + bound + outwards, treated)))) == len(
            one + other
        ):
            assert outside <= 0.05


@pytest.mark.statistical
def test_it_covers_under_heavy_tails() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        found = hodges_lehmann(rng.standard_t(2, 40), rng.standard_t(2, 60) + 0.7)
        held += 0.7 in found.interval
    assert 180 <= held <= 199


def test_odd_samples() -> None:
    nothing = hodges_lehmann([], [1.0])
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.interval.lower)
    same = hodges_lehmann([2.0] * 40, [2.0] * 40)
    assert (same.value, same.interval.lower, same.interval.upper) == (0.0, 0.0, 0.0)
    two = hodges_lehmann([1.0, math.nan], [4.0, 5.0])
    assert (two.value, two.interval.lower, two.interval.upper) == (3.5, 3.0, 4.0)


def test_what_it_cannot_hold_or_subtract_it_refuses() -> None:
    rows = np.zeros(math.isqrt(LARGEST) + 1)
    with pytest.raises(ValueError, match="take a sample"):
        hodges_lehmann(rows, rows)
    with pytest.raises(ValueError, match="infinite"):
        hodges_lehmann([math.inf], [1.0])
