import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats import intervals
from homeostat.stats.metrics import auc

LEVELS = st.floats(0.5, 0.99)


@given(st.integers(1, 500), st.data(), LEVELS)
def test_wilson_agrees_with_scipy(n: int, data: st.DataObject, level: float) -> None:
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    found = intervals.wilson(successes, n, level)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0.0 <= found.lower <= found.upper <= 1.0


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30).map(np.array), LEVELS)
def test_mean_interval_agrees_with_scipy(values: NDArray[np.float64], level: float) -> None:
    error = stats.sem(values)
    reach = stats.t.ppf((1 + level) / 2, values.size - 1) * error
    found = intervals.mean(values, level)
    expected = (values.mean() - reach, values.mean() + reach)
    assert (found.lower, found.upper) == pytest.approx(expected)


def test_normal_interval_agrees_with_scipy() -> None:
    found = intervals.normal(3.0, 0.5, 0.9)
    assert (found.lower, found.upper) == pytest.approx(stats.norm(3.0, 0.5).interval(0.9))


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(8).exponential(size=80)
    found = intervals.bootstrap(
        lambda rows: float(values[rows].mean()), 80, np.random.default_rng(9), resamples=2000
    )
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(10)
    ).confidence_interval
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_bootstrap_is_reproducible_from_its_generator() -> None:
    values = np.arange(20.0)
    first, second = (
        intervals.bootstrap(lambda r: float(values[r].mean()), 20, np.random.default_rng(11))
        for _ in range(2)
    )
    assert first == second


def test_bootstrap_leaves_out_undefined_resamples() -> None:
    labels = np.array([1.0, 0.0, 0.0])
    scores = np.array([0.9, 0.1, 0.2])
    found = intervals.bootstrap(
        lambda rows: auc(labels[rows], scores[rows]), 3, np.random.default_rng(12)
    )
    assert found == intervals.Interval(1.0, 1.0)


@pytest.mark.parametrize(
    "interval",
    [
        intervals.wilson(0, 0),
        intervals.mean(np.array([1.0])),
        intervals.bootstrap(lambda _: 0.0, 0, np.random.default_rng(0)),
        intervals.bootstrap(lambda _: float("nan"), 5, np.random.default_rng(0)),
    ],
)
def test_too_little_data_gives_no_bounds(interval: intervals.Interval) -> None:
    assert np.isnan(interval.lower)
    assert np.isnan(interval.upper)
    assert 0.5 not in interval
