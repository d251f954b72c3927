from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats.exact import SQUARE_UNIT, SUM_UNIT, exact_sums, mean_and_variance, to_float

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def sums(values: Sequence[float] | NDArray[np.float64]) -> tuple[int, int]:
    return exact_sums(np.array(values), np.zeros(len(values), dtype=np.intp), 1)[0]


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_sums_are_exact(values: list[float]) -> None:
    total, squares = sums(values)
    assert total * Fraction(2) ** SUM_UNIT == sum(map(Fraction, values))
    assert squares * Fraction(2) ** SQUARE_UNIT == sum(Fraction(v) ** 2 for v in values)


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
