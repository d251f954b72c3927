import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from homeostat.stats.bitbins import (
    BIN_COUNT,
    add_bins,
    bin_of,
    blur,
    count_bins,
    count_column,
    exponents,
    left_edge,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def one_column(values: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    return count_bins(values, np.zeros(values.size, dtype=np.intp), 1)[0]


@given(arrays(np.float64, st.integers(1, 50), elements=FINITE))
def test_bins_order_as_the_numbers_do(values: NDArray[np.float64]) -> None:
    bins = bin_of(np.sort(values)).astype(np.int64)
    assert (np.diff(bins) >= 0).all()
    assert bins.max() < BIN_COUNT


@given(arrays(np.float64, st.integers(1, 50), elements=FINITE))
def test_a_value_lies_between_the_edges_of_its_bin(values: NDArray[np.float64]) -> None:
    bins = bin_of(values)
    assert (left_edge(bins) <= values).all()
    assert (values <= left_edge(bins + 1)).all()


def test_bins_are_less_than_one_percent_wide() -> None:
    values = np.random.default_rng(1).lognormal(0, 5, 1000) * np.where(np.arange(1000) % 2, 1, -1)
    bins = bin_of(values)
    width = left_edge(bins + 1) - left_edge(bins)
    assert (width <= np.abs(values) * 2.0**-6).all()
    assert (width / np.abs(values)).max() <= 2.0**-7 * (1 + 2.0**-7)


def test_negative_zero_shares_the_bin_of_zero() -> None:
    assert bin_of(np.array([-0.0])).tolist() == bin_of(np.array([0.0])).tolist()


def test_the_largest_number_has_a_bin_that_ends_at_infinity() -> None:
    largest = bin_of(np.array([np.finfo(np.float64).max]))
    assert left_edge(largest + 1).tolist() == [np.inf]


def test_whole_numbers_up_to_256_have_a_bin_each() -> None:
    values = np.arange(-256.0, 257.0)
    assert np.unique(bin_of(values)).size == values.size


@pytest.mark.parametrize("size", [0, 1, 1000, 40_000])
def test_counts_agree_with_numpy_for_small_and_large_samples(size: int) -> None:
    values = np.random.default_rng(2).normal(size=size)
    bins, counts = one_column(values)
    expected = np.unique(bin_of(values), return_counts=True)
    assert bins.tolist() == expected[0].tolist()
    assert counts.tolist() == expected[1].tolist()


@given(arrays(np.float64, st.integers(0, 60), elements=FINITE | st.sampled_from([0.0, -0.0])))
def test_one_column_is_counted_as_columns_are(values: NDArray[np.float64]) -> None:
    found = [part.tolist() for part in count_column(values)]
    assert found == [part.tolist() for part in one_column(values)]


@given(arrays(np.float64, st.integers(1, 20), elements=FINITE))
def test_exponents_bound_those_of_the_numbers(values: NDArray[np.float64]) -> None:
    low, high = exponents(bin_of(values))
    found = [math.frexp(value)[1] for value in values.tolist() if value]
    assert all(low <= exponent <= high for exponent in found)
    if (np.abs(values) >= 2.0**-1022).all():
        assert (low, high) == (min(found), max(found))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    "odd", [[], [0.0], [-0.0], [-0.0, 5e-324], [-5e-324], [-0.0, -5e-324], [2.5, -0.0, 1e-310]]
)
def test_a_long_column_is_counted_as_its_parts_are(odd: list[float], sign: float) -> None:
    rng = np.random.default_rng(4)
    column = np.concatenate((sign * rng.lognormal(0.0, 9.0, 2000), np.repeat(odd, 3)))
    bins, counts = count_column(column)
    expected = np.unique(bin_of(column), return_counts=True)
    assert bins.tolist() == expected[0].tolist()
    assert counts.tolist() == expected[1].tolist()
    assert (bins.dtype, counts.dtype) == (np.uint32, np.int64)


def test_columns_laid_end_to_end_are_counted_as_if_alone() -> None:
    rng = np.random.default_rng(3)
    columns = [rng.normal(size=n) for n in (300, 0, 20_000, 1)]
    owner = np.repeat(np.arange(4), [c.size for c in columns])
    together = count_bins(np.concatenate(columns), owner, 4)
    for column, (bins, counts) in zip(columns, together, strict=True):
        alone = one_column(column)
        assert bins.tolist() == alone[0].tolist()
        assert counts.tolist() == alone[1].tolist()


@given(
    arrays(np.float64, st.integers(0, 60), elements=FINITE),
    arrays(np.float64, st.integers(0, 60), elements=FINITE),
)
def test_adding_histograms_equals_counting_at_once(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    (bins_x, counts_x), (bins_y, counts_y) = one_column(x), one_column(y)
    merged = add_bins(np.concatenate((bins_x, bins_y)), np.concatenate((counts_x, counts_y)))
    expected = one_column(np.concatenate((x, y)))
    assert [part.tolist() for part in merged] == [part.tolist() for part in expected]


@given(arrays(np.float64, st.integers(1, 40), elements=FINITE))
def test_blurred_values_stay_in_their_bin_and_forget_where(values: NDArray[np.float64]) -> None:
    blurred = blur(values)
    assert bin_of(blurred).tolist() == bin_of(values).tolist()
    for value in np.unique(bin_of(values)):
        inside = blurred[(bin_of(values) == value) & (values != 0.0)]
        assert np.unique(inside).size <= 1


def test_blur_leaves_what_is_no_number_alone() -> None:
    assert blur(np.array([np.inf, -np.inf, 0.0])).tolist() == [np.inf, -np.inf, 0.0]
    assert np.isnan(blur(np.array([np.nan]))).all()
