from dataclasses import replace

import numpy as np
import pytest

from homeostat.reports.pooling import Difference, answers, difference, pooled, thinned
from unit.reports.told import day, point


def test_intervals_cover_the_mean_whether_or_not_windows_differ_by_more_than_they_say() -> None:
    """A simulation is the oracle: the truth lies within in about 95 % of worlds."""
    rng = np.random.default_rng(5)
    for spread, least in ((0.0, 0.93), (0.03, 0.85)):
        hits = 0
        for _ in range(400):
            levels = 0.9 + rng.normal(0, spread, 14)
            values = levels + rng.normal(0, 0.01, 14)
            found = pooled([point(k, float(v), 0.0196) for k, v in enumerate(values)])
            assert found is not None
            hits += found.lower <= 0.9 <= found.upper
        assert hits / 400 >= least


def test_windows_count_by_their_rows() -> None:
    found = pooled([point(0, 1.0, n=100), point(1, 0.0, n=300), point(2, 0.0, n=0)])
    assert found is not None
    assert found.value == pytest.approx(100 / 401)
    assert (found.n, found.windows) == (400, 3)
    assert found.span.length == 3 * day(0).length


def test_what_has_no_interval_gives_none() -> None:
    endless = replace(point(0, 0.9), upper=float("inf"))
    found = pooled([endless, point(1, 0.9)])
    assert found is not None
    assert found.lower != found.lower
    assert difference(found, pooled([point(5, 0.8)])) is None
    assert difference(None, found) is None
    assert difference(found, None) is None
    assert pooled([]) is None


def test_a_difference_is_clear_if_it_leaves_zero_out() -> None:
    assert Difference(-1.0, -2.0, -0.5).clear
    assert not Difference(0.1, -0.2, 0.4).clear


def test_the_version_that_answered_most_counts() -> None:
    found = answers([point(0, 0.5, n=10, version="v3"), point(0, 0.9, n=900), point(1, 0.8)])
    assert [each.value for each in found] == [0.8, 0.9]


def test_few_points_stay_as_they_are() -> None:
    few = (point(1, 0.9), point(0, 0.8))
    assert thinned(few, 2) == few
