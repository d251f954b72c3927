"""Mean losses of outcomes: intervals where one class is rare."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.estimates import mean
from homeostat.stats.outcomes import mean_loss


@pytest.mark.parametrize("positives", [0, 1, 3, 97, 100])
def test_of_equal_scores_it_holds_wilsons_interval_of_the_rate(positives: int) -> None:
    labels = (np.arange(100) < positives).astype(float)
    scores = np.full(100, 0.02)
    found = mean_loss(labels, scores, scores, scores - 1.0)
    wilson = stats.binomtest(positives, 100).proportion_ci(method="wilson")
    assert found.lower <= 0.02 - wilson.high < 0.02 - wilson.low <= found.upper
    assert found.upper - found.lower < 1.5 * (wilson.high - wilson.low)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=40))
def test_weights_of_another_size_change_nothing(rows: list[tuple[int, int]]) -> None:
    labels, scores = (np.array(rows, dtype=float) / [1.0, 10.0]).T
    once, thrice = (
        mean_loss(labels, scores, scores**2, (1.0 - scores) ** 2, weights)
        for weights in (None, np.full(labels.size, 3.0))
    )
    assert (once.value, once.lower, once.upper) == pytest.approx(
        (thrice.value, thrice.lower, thrice.upper), abs=1e-9
    )
    assert once.lower <= once.value <= once.upper


def test_where_both_classes_are_many_it_is_the_interval_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    labels = (rng.random(500) < scores).astype(float)
    found = mean_loss(labels, scores, scores**2, (1.0 - scores) ** 2)
    assert found == mean((scores - labels) ** 2)


def test_no_rows_and_one_row_have_no_interval() -> None:
    none, one = np.empty(0), np.ones(1)
    assert mean_loss(none, none, none, none).problem == "no labelled rows"
    assert not mean_loss(one, one, one, one).bounded
