"""Budgets are shared fairly, choices are monotone, and intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.alerting.budget import (
    allotted,
    left_out,
    rate_interval,
    strictest,
    weeks_needed,
)

PAGES = st.lists(st.integers(0, 20), max_size=8)
COUNTS = st.integers(1, 8).flatmap(
    lambda weeks: st.lists(
        st.lists(st.integers(0, 5), min_size=weeks, max_size=weeks), min_size=1, max_size=6
    )
)


@given(PAGES, st.floats(0, 60))
def test_what_is_allotted_is_within_the_budget_and_fair(pages: list[int], budget: float) -> None:
    found = allotted(pages, budget)
    assert sum(found) == min(sum(pages), math.floor(budget))
    assert all(0 <= got <= had for got, had in zip(found, pages, strict=True))
    short = [got for got, had in zip(found, pages, strict=True) if got < had]
    if short:
        assert max(found) <= min(short) + 1


@given(PAGES, st.floats(0, 60), st.floats(0, 60))
def test_more_budget_is_no_less_for_anybody(pages: list[int], one: float, more: float) -> None:
    before, after = allotted(pages, one), allotted(pages, one + more)
    assert all(low <= high for low, high in zip(before, after, strict=True))


@given(COUNTS, st.floats(0, 20), st.floats(0, 20))
def test_more_pages_never_ask_for_a_laxer_setting(
    counts: list[list[int]], most: float, more: float
) -> None:
    low, high = strictest(counts, most), strictest(counts, most + more)
    if low is None:
        assert sum(counts[-1]) > most
    else:
        assert high is not None
        assert high <= low
        assert all(sum(row) <= most for row in counts[low:])
        assert low == 0 or sum(counts[low - 1]) > most


@given(COUNTS, st.floats(0, 20))
def test_what_is_left_out_is_judged_by_the_rest(counts: list[list[int]], most: float) -> None:
    weeks = len(counts[0])
    found = left_out(counts, float(weeks), most)
    seen = 0
    for week in range(weeks):
        kept = np.delete(np.array(counts), week, axis=1).sum(axis=1)
        fine = kept <= most * (weeks - 1) / weeks
        place = len(counts) - 1
        while place > 0 and fine[place - 1] and fine[place]:
            place -= 1
        seen += counts[place][week]
    assert found.rate == pytest.approx(seen / weeks)
    assert found.interval.lower <= found.rate <= found.interval.upper


def test_intervals_of_rates_cover() -> None:
    """Poisson weeks, and weeks whose rate varies as much as its mean."""
    rng = np.random.default_rng(1)
    for shape in (math.inf, 1.0):
        hits = 0
        for _ in range(300):
            rate = 0.8 * (1.0 if shape == math.inf else rng.gamma(shape, 1 / shape, 12))
            counts = rng.poisson(rate, 12).tolist()
            hits += 0.8 in rate_interval(counts, 12.0)
        assert hits >= 270


def test_short_histories_say_little() -> None:
    assert rate_interval([0, 0], 2.0).upper > 1.8
    assert weeks_needed(0.5) == pytest.approx(-math.log(0.05) / 0.5, rel=0.01)
