"""What variances of many series have in common."""

import numpy as np
import pytest

from homeostat.stats.shrinkage import MOST_FREEDOM, fit_common


@pytest.mark.parametrize("worth", [4.0, 10.0, 40.0])
def test_the_worth_of_the_common_variance_is_recovered(worth: float) -> None:
    rng = np.random.default_rng(0)
    true = 2.5 * worth / rng.chisquare(worth, 5000)
    found = fit_common(true * rng.chisquare(20, 5000) / 20, np.full(5000, 20.0))
    assert found.variance == pytest.approx(2.5, rel=0.05)
    assert found.freedom == pytest.approx(worth, rel=0.25)


def test_equal_variances_are_worth_the_most() -> None:
    rng = np.random.default_rng(1)
    found = fit_common(rng.chisquare(20, 50_000) / 20, np.full(50_000, 20.0))
    assert found.freedom == MOST_FREEDOM
    assert found.variance == pytest.approx(1.0, rel=0.02)


def test_few_or_still_series_have_nothing_in_common() -> None:
    assert fit_common(np.ones(3), np.full(3, 20.0)).freedom == 0.0
    assert fit_common(np.zeros(30), np.full(30, 20.0)).freedom == 0.0
    assert fit_common(np.ones(30), np.zeros(30)).freedom == 0.0


def test_series_that_hardly_move_are_left_out() -> None:
    rng = np.random.default_rng(2)
    moving = rng.chisquare(20, 500) / 20
    alone = fit_common(moving, np.full(500, 20.0))
    mixed = fit_common(np.append(moving, np.full(200, 1e-6)), np.full(700, 20.0))
    assert mixed == alone


def test_identical_variances_are_alike_beyond_measure() -> None:
    assert fit_common(np.full(10_000, 2.0), np.full(10_000, 20.0)).freedom == MOST_FREEDOM
