import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.sample_ratio import fixed_sample_ratio, sample_ratio
from homeostat.stats.significance import NOTHING


@settings(max_examples=25)
@given(st.lists(st.integers(0, 5000), min_size=2, max_size=5).filter(any))
def test_fixed_is_scipys_chi_squared(counts: list[int]) -> None:
    shares = np.arange(1.0, len(counts) + 1.0)
    expected = stats.chisquare(counts, sum(counts) * shares / shares.sum())
    found = fixed_sample_ratio(counts, shares.tolist())
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-12)


@pytest.mark.statistical
def test_a_right_split_is_hardly_ever_held() -> None:
    rng = np.random.default_rng(0)
    arms = rng.multinomial(500, [0.9, 0.1], (200, 40)).cumsum(axis=1)
    held = sum(
        any(sample_ratio(look, [0.9, 0.1]).p_value <= 0.05 for look in run[::4].tolist())
        for run in arms
    )
    assert held <= 0.05 * 200


def test_a_wrong_split_is_found() -> None:
    assert sample_ratio([91_500, 8_500], [0.9, 0.1]).p_value < 1e-3
    assert sample_ratio([90_100, 9_900], [0.9, 0.1]).p_value == 1.0


def test_shares_are_scaled_and_checked() -> None:
    assert sample_ratio([600, 400], [5, 5]).p_value == sample_ratio([600, 400], [0.5, 0.5]).p_value
    for test in (fixed_sample_ratio, sample_ratio):
        assert test([0, 0], [0.5, 0.5]) is NOTHING
        assert test([7], [1.0]) is NOTHING
        with pytest.raises(ValueError, match="one count"):
            test([1, 2], [1.0])
        with pytest.raises(ValueError, match="positive share"):
            test([1, 2], [1.0, 0.0])
