"""When an alarm about a share of rows is over."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.detectors.service.recovery import FEWEST_ROWS, Recovery, recover


def rows_until_over(share: float, seen: float, seed: int, most: int, per_period: int = 25) -> int:
    """Return after how many rows an alarm seen at `seen` is called over where `share` miss."""
    rng, state = np.random.default_rng(seed), Recovery(round(1000 * seen), 1000)
    for start in range(0, most, per_period):
        state, over = recover(state, int(rng.binomial(per_period, share)), per_period, 0.01)
        if over:
            return start + per_period
    return most


@pytest.mark.parametrize("seen", [0.03, 0.1, 0.3, 1.0])
def test_an_alarm_that_goes_on_is_hardly_ever_called_over(seen: float) -> None:
    """The bound of the CUSUM: ten thousand rows to a wrong end, on average and at least."""
    ends = [rows_until_over(seen, seen, seed, 10_000) for seed in range(40)]
    assert np.mean(ends) > 9_000


@pytest.mark.parametrize(("seen", "most"), [(1.0, 25), (0.3, 50), (0.1, 200), (0.03, 900)])
def test_what_is_over_is_soon_called_over(seen: float, most: int) -> None:
    ends = [rows_until_over(0.002, seen, seed, 20_000) for seed in range(40)]
    assert np.median(ends) <= most


def test_better_than_before_is_not_over() -> None:
    """One in five failed; now it is 3 in 100 of many rows, and 1 may."""
    state = Recovery(200, 1000)
    for _ in range(50):
        state, over = recover(state, 300, 10_000, 0.01)
        assert not over
    state, over = recover(state, 20, 10_000, 0.01)
    assert over
    assert state == Recovery()


def test_the_likelihood_ratio_is_that_of_two_binomials() -> None:
    """Each period's evidence by the definition, from the probabilities of its rows."""
    allowed, seen, missed, judged = 0.02, 0.1, 2, 60

    def log_chance(share: float) -> float:
        chances = [share] * missed + [1 - share] * (judged - missed)
        return sum(map(math.log, chances))

    state, _ = recover(Recovery(10, 100), missed, judged, allowed)
    assert state.evidence == pytest.approx(log_chance(allowed) - log_chance(seen))
    assert (state.late_missed, state.late_judged) == (missed, judged)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), max_size=30),
    st.sampled_from([0.001, 0.01, 0.2, 0.6, 0.9]),
)
def test_it_is_over_only_after_rows_enough_of_which_no_more_miss_than_may(
    periods: list[tuple[int, int]], allowed: float
) -> None:
    state = Recovery(1, 1)
    for missed, more in periods:
        late = (state.late_missed + missed, state.late_judged + missed + more)
        state, over = recover(state, missed, missed + more, allowed)
        assert state.evidence >= 0.0
        if over:
            assert late[1] >= FEWEST_ROWS
            assert late[0] <= allowed * late[1]
