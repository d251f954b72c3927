import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats import intervals

LEVELS = st.floats(0.5, 0.99)


@given(st.integers(1, 500), st.data(), LEVELS)
def test_wilson_agrees_with_scipy(n: int, data: st.DataObject, level: float) -> None:
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    found = intervals.wilson(successes, n, level)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0.0 <= found.lower <= found.upper <= 1.0


def test_normal_interval_agrees_with_scipy() -> None:
    found = intervals.normal(3.0, 0.5, 0.9)
    assert (found.lower, found.upper) == pytest.approx(stats.norm(3.0, 0.5).interval(0.9))


@pytest.mark.parametrize(
    "interval",
    [
        intervals.wilson(0, 0),
    ],
)
def test_too_little_data_gives_no_bounds(interval: intervals.Interval) -> None:
    assert np.isnan(interval.lower)
    assert np.isnan(interval.upper)
    assert 0.5 not in interval


@given(st.integers(0, 300), LEVELS)
def test_poisson_agrees_with_scipy(count: int, level: float) -> None:
    tail = (1.0 - level) / 2.0
    found = intervals.poisson(count, level)
    assert found.lower == pytest.approx(stats.gamma.ppf(tail, count) if count else 0.0, rel=1e-9)
    assert found.upper == pytest.approx(stats.gamma.isf(tail, count + 1), rel=1e-9)
    assert count in found
