import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.stats.mixtures import log_multinomial, share_concentration
from homeostat.stats.rare_shares import same_share_p, share_ratio

SIDES = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=12)
@given(SIDES, SIDES, st.sampled_from([0.9, 1.0, 1.2]))
def test_it_is_the_least_evidence_over_all_shares(
    one: tuple[int, int], other: tuple[int, int], factor: float
) -> None:
    weight = share_concentration(200.0)
    grid = np.linspace(1e-5, min(1.0, 1.0 / factor) - 1e-5, 800).tolist()
    least = min(
        log_multinomial((one[0], one[1] - one[0]), (p, 1.0 - p), weight)
        + log_multinomial((other[0], other[1] - other[0]), (factor * p, 1.0 - factor * p), weight)
        for p in grid
    )
    found = same_share_p(one, other, factor, 200.0)
    assert found == pytest.approx(math.exp(-max(0.0, least)), rel=0.05, abs=1e-9)


@pytest.mark.statistical
def test_rare_events_do_not_alarm() -> None:
    """Two in a thousand, looked at five times: where limit theorems fail."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        a, b = rng.binomial(600, 0.002, (2, 5)).cumsum(axis=1).tolist()
        looks = enumerate(zip(a, b, strict=True), 1)
        found += any(same_share_p((x, 600 * k), (y, 600 * k)) <= 0.05 for k, (x, y) in looks)
    assert found <= 2


def test_none_against_many_is_proof() -> None:
    assert same_share_p((0, 1000), (20, 1000)) < 0.001
    assert same_share_p((1000, 1000), (980, 1000)) < 0.001
    assert same_share_p((0, 1000), (0, 1000)) > 0.9


def test_a_ratio_is_bounded_by_both_shares() -> None:
    interval = share_ratio((0, 200), (30, 200))
    assert interval.lower > 1.0
    assert interval.upper == math.inf
    assert 1.0 in share_ratio((3, 200), (4, 200))


def test_no_rows_no_answer() -> None:
    assert math.isnan(same_share_p((0, 0), (1, 2)))
    assert math.isnan(share_ratio((1, 2), (0, 0)).lower)
    assert math.isnan(share_ratio((0, 0), (1, 2)).lower)
