"""Sticky split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from homeostat.serving.split import positions, takes_part

KEYS = [f"customer-{number}" for number in range(4000)]


def test_positions_are_uniform_and_independent_between_salts() -> None:
    one, other = positions("fraud/v2", KEYS), positions("fraud/v3", KEYS)
    assert kstest(one, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.06
    assert one.min() >= 0
    assert one.max() < 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_ramp_moves_only_the_added_share(first: float, second: float) -> None:
    low, high = sorted((first, second))
    before, after = takes_part("s", KEYS[:200], low), takes_part("s", KEYS[:200], high)
    assert not (before & ~after).any()


def test_share_is_what_was_asked_for() -> None:
    assert takes_part("s", KEYS, 0.1).mean() == pytest.approx(0.1, abs=0.02)


def test_same_key_same_side_whatever_its_neighbours() -> None:
    alone = takes_part("s", ["anna"], 0.5)
    assert (takes_part("s", ["anna"] * 3 + KEYS[:7], 0.5)[:3] == alone[0]).all()


@pytest.mark.parametrize(("weight", "share"), [(0.0, 0.0), (1.0, 1.0), (-0.1, 0.0), (1.5, 1.0)])
def test_ends_are_exact(weight: float, share: float) -> None:
    assert takes_part("s", KEYS, weight).mean() == share


def test_no_rows() -> None:
    assert takes_part("s", [], 0.5).shape == (0,)
