import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats.exact import (
    SQUARE_UNIT,
    SUM_UNIT,
    exact_sum,
    exact_sums,
    mean_and_variance,
    to_float,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def sums(values: Sequence[float] | NDArray[np.float64]) -> tuple[int, int]:
    return exact_sums(np.array(values), np.zeros(len(values), dtype=np.intp), 1)[0]


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_sums_are_exact(values: list[float]) -> None:
    total, squares = sums(values)
    assert total * Fraction(2) ** SUM_UNIT == sum(map(Fraction, values))
    assert squares * Fraction(2) ** SQUARE_UNIT == sum(Fraction(v) ** 2 for v in values)


@given(st.lists(FINITE | st.floats(-100, 100), max_size=40))
def test_sums_of_one_column_are_exact(values: list[float]) -> None:
    total, squares = exact_sum(np.array(values, dtype=np.float64))
    assert total * Fraction(2) ** SUM_UNIT == sum(map(Fraction, values))
    assert squares * Fraction(2) ** SQUARE_UNIT == sum(Fraction(v) ** 2 for v in values)


LARGEST_DIGIT = 1.0 - 2.0**-53


@pytest.mark.parametrize(
    "column",
    [
        np.random.default_rng(5).normal(size=100_000),
        np.random.default_rng(6).lognormal(3.0, 4.0, 100_000),
        np.random.default_rng(7).standard_cauchy(70_000),
        np.random.default_rng(8).poisson(4.0, 70_000).astype(np.float64),
        np.round(np.random.default_rng(9).gamma(2.0, 50.0, 70_000), 2),
        np.full(70_000, LARGEST_DIGIT),
        np.full(70_000, -LARGEST_DIGIT * 2.0**389),
        np.full(70_000, 1.1 * 2.0**-389),
        np.tile([2.0**-399, 1.5 * 2.0**-480, 2.0**-530], 20_000),
        np.tile([2.0**399, 1.5 * 2.0**300, 2.0**270], 20_000),
        np.repeat([1.0, 1.0 + 2.0**-30, 1e-20, 1.0], 40_000),
        np.full(70_000, 1e300),
        np.full(70_000, 5e-324),
        np.tile([1e-300, 1e300, 1.0], 20_000),
        np.where(np.arange(70_000) < 40_000, 1.5, 1e200),
        np.zeros(70_000),
        np.append(np.random.default_rng(11).normal(size=70_000), 1e40),
    ],
)
def test_a_long_column_is_summed_the_same_on_a_grid_and_by_exponents(
    column: NDArray[np.float64],
) -> None:
    assert exact_sum(column) == sums(column)
    sizes = np.abs(column[column != 0.0])
    if sizes.size:
        bounds = math.frexp(sizes.min())[1], math.frexp(sizes.max())[1]
        assert exact_sum(column, bounds) == sums(column)


@pytest.mark.parametrize("value", [LARGEST_DIGIT, 0.1, -(2.0**-20) + 2.0**-73])
def test_runs_of_the_largest_digits_stay_exact(value: float) -> None:
    total, squares = exact_sum(np.full(1 << 16, value))
    assert total * Fraction(2) ** SUM_UNIT == (1 << 16) * Fraction(value)
    assert squares * Fraction(2) ** SQUARE_UNIT == (1 << 16) * Fraction(value) ** 2


def test_sums_do_not_depend_on_the_order_of_rows() -> None:
    column = np.random.default_rng(10).standard_t(2.0, 100_000)
    assert exact_sum(column) == exact_sum(np.sort(column))
    assert to_float(exact_sum(column)[0], SUM_UNIT) == math.fsum(column)


def test_the_extremes_of_float64_are_summed_exactly() -> None:
    largest, smallest = np.finfo(np.float64).max, 5e-324
    total, squares = sums([largest, smallest, -largest, -0.0])
    assert to_float(total, SUM_UNIT) == smallest
    assert to_float(squares, SQUARE_UNIT) == np.inf


def test_a_long_column_needs_no_more_care_than_a_short_one() -> None:
    values = np.full(100_000, 0.1)
    total, _ = sums(values)
    assert total * Fraction(2) ** SUM_UNIT == 100_000 * Fraction(0.1)


def test_columns_laid_end_to_end_are_summed_as_if_alone() -> None:
    rng = np.random.default_rng(4)
    columns = [rng.normal(size=n) * 10.0**scale for n, scale in ((50, 0), (1, 200), (40_000, -9))]
    owner = np.repeat(np.arange(4), [50, 1, 40_000, 0])
    together = exact_sums(np.concatenate(columns), owner, 4)
    assert together == [*(sums(column) for column in columns), (0, 0)]


@pytest.mark.parametrize(
    ("amount", "expected"), [(1 << 3000, np.inf), (-(1 << 3000), -np.inf), (0, 0.0)]
)
def test_a_sum_beyond_float64_is_infinite(amount: int, expected: float) -> None:
    assert to_float(amount, SUM_UNIT) == expected


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-1e12, 1e12))
def test_mean_and_variance_are_correctly_rounded(values: list[float], offset: float) -> None:
    shifted = [value + offset for value in values]
    exact = [Fraction(value) for value in shifted]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    assert mean_and_variance(len(values), *sums(shifted)) == (float(mean), float(variance))


def test_a_variance_beyond_float64_is_infinite() -> None:
    mean, variance = mean_and_variance(2, *sums([1e300, -1e300]))
    assert (mean, variance) == (0.0, np.inf)


def test_a_negative_overflow_is_negative() -> None:
    assert mean_and_variance(1, -(1 << 3000), 0)[0] == -np.inf
