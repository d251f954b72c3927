"""Estimates from counts are those of the rows that were counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats import counted, estimates, outcomes, residuals
from homeostat.stats.estimates import Estimate

Floats = NDArray[np.float64]
rows = st.lists(st.integers(-40, 40).map(lambda k: k / 8.0), max_size=60)
scored = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=80)


def told(values: Floats) -> tuple[Floats, Floats]:
    found, counts = np.unique(values, return_counts=True)
    return found, counts.astype(np.float64)


def expect_alike(one: Estimate, other: Estimate) -> None:
    assert (one.n, one.problem) == (other.n, other.problem)
    for mine, theirs in zip(
        (one.value, one.lower, one.upper), (other.value, other.lower, other.upper), strict=True
    ):
        assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-12, nan_ok=True)


@given(rows)
def test_a_mean_is_that_of_the_rows(values: list[float]) -> None:
    array = np.array(values)
    expect_alike(counted.mean(*told(array)), estimates.mean(array))


@given(rows)
def test_a_root_mean_square_is_that_of_the_rows(values: list[float]) -> None:
    errors = np.array(values)
    expect_alike(
        counted.root_mean_square(*told(errors)), residuals.rmse(np.zeros(errors.size), errors)
    )


@given(scored)
def test_a_mean_loss_is_that_of_the_rows(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 20.0 for score, _ in pairs])
    labels = np.array([float(label) for _, label in pairs])
    kinds = np.unique(scores)
    negative, positive = (
        np.array([float(np.sum((scores == k) & (labels == label))) for k in kinds])
        for label in (0.0, 1.0)
    )
    expect_alike(
        counted.mean_loss(kinds, negative, positive, kinds**2, (1.0 - kinds) ** 2),
        outcomes.mean_loss(labels, scores, scores**2, (1.0 - scores) ** 2),
    )


def test_many_rows_of_both_classes_need_none_added() -> None:
    scores, labels = np.repeat([0.25, 0.75], 50), np.tile([0.0, 1.0], 50)
    counts = np.array([25.0, 25.0])
    kinds = np.array([0.25, 0.75])
    expect_alike(
        counted.mean_loss(kinds, counts, counts, kinds, 1.0 - kinds),
        outcomes.mean_loss(labels, scores, scores, 1.0 - scores),
    )


@pytest.mark.parametrize("error", [1e-160, 1e200], ids=["tiny", "huge"])
def test_errors_out_of_range_are_told_as_of_rows(error: float) -> None:
    errors = np.array([error, 0.0, error, 2.0 * error])
    with np.errstate(over="ignore", invalid="ignore"):
        mine = counted.root_mean_square(*told(errors))
        expect_alike(mine, residuals.rmse(np.zeros(4), errors))


def test_one_row_that_makes_all_of_the_error_has_no_interval() -> None:
    errors = np.concatenate([np.zeros(3), [1.0]])
    expect_alike(counted.root_mean_square(*told(errors)), residuals.rmse(np.zeros(4), errors))
