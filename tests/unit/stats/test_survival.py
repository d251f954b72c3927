"""Delays learned from what has arrived so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.survival import arrived_by, kaplan_meier, right_truncated

ROWS = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=40)


@given(ROWS)
def test_kaplan_meier_agrees_with_scipy(rows: list[tuple[int, bool]]) -> None:
    ages = np.array([age for age, _ in rows], float)
    arrived = np.array([event for _, event in rows])
    found = kaplan_meier(ages, arrived)
    data = stats.CensoredData(uncensored=ages[arrived], right=ages[~arrived])
    expected = stats.ecdf(data).cdf
    at = np.arange(0.0, 10.0, 0.5)
    assert found.at(at) == pytest.approx(expected.evaluate(at), abs=1e-12)
    assert np.all(np.diff(found.share) >= 0.0)


def test_greenwood_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    ages, arrived = rng.exponential(size=50), rng.random(50) < 0.6
    found = kaplan_meier(ages, arrived)
    data = stats.CensoredData(uncensored=ages[arrived], right=ages[~arrived])
    expected = stats.ecdf(data).cdf.confidence_interval(0.95)
    reach = stats.norm.ppf(0.975) * found.error[:-1]
    high = found.share[:-1] + reach
    inside = high < 1.0
    at = found.times[:-1][inside]
    high_of_scipy: Any = expected.high
    assert high_of_scipy.evaluate(at) == pytest.approx(high[inside])


def test_without_truncation_it_is_the_empirical_distribution() -> None:
    delays = np.random.default_rng(2).integers(0, 20, 100).astype(float)
    found = right_truncated(delays, np.full(100, 30.0))
    at = np.arange(0.0, 20.0)
    assert found.at(at) == pytest.approx(stats.ecdf(delays).cdf.evaluate(at))


def test_truncated_delays_are_learned_without_bias() -> None:
    """Young rows show only short delays; the plain distribution of what is seen is far off."""
    rng = np.random.default_rng(3)
    ages, delays = rng.uniform(0.0, 6.0, 20_000), rng.exponential(2.0, 20_000)
    seen = delays <= ages
    at = np.array([0.5, 1.0, 2.0, 4.0])
    found = right_truncated(delays[seen], ages[seen])
    true = stats.expon(scale=2.0).cdf(at) / stats.expon(scale=2.0).cdf(6.0)
    assert found.at(at) == pytest.approx(true, abs=0.03)
    assert np.mean(delays[seen] <= 1.0) > true[1] + 0.1


def test_its_error_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(4)
    shares, errors = [], []
    for _ in range(300):
        ages, delays = rng.uniform(0.0, 6.0, 400), rng.exponential(2.0, 400)
        seen = delays <= ages
        found = right_truncated(delays[seen], ages[seen])
        shares.append(found.at(2.0))
        errors.append(found.error[np.searchsorted(found.times, 2.0) - 1])
    assert np.std(shares) == pytest.approx(np.median(errors), rel=0.15)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
def test_shares_from_hazards_rise_to_one(hazards: list[float]) -> None:
    found = arrived_by(np.array(hazards))
    assert found[-1] == 1.0
    assert np.all(np.diff(found) >= 0.0)


def test_nothing_yet() -> None:
    assert kaplan_meier([2.0], [False]).at([5.0]).tolist() == [0.0]
    assert right_truncated([], []).at([5.0]).tolist() == [0.0]


def test_rows_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values for 1"):
        kaplan_meier([1.0, 2.0], [True])
    with pytest.raises(ValueError, match="NaN"):
        kaplan_meier([np.nan], [True])
    for limit in (1.0, np.nan):
        with pytest.raises(ValueError, match="above its limit"):
            right_truncated([2.0], [limit])
