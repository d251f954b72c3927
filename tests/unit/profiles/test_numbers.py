import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.numbers import PIECE, Series, merge_columns, profile_numbers, profile_series
from homeostat.profiles.profile import ColumnProfile

RNG = np.random.default_rng(1)
LONG = RNG.normal(size=150_000)


def in_parts(values: NDArray[np.float64], missing: int) -> ColumnProfile:
    """Profile by the code that short columns take."""
    parts = [profile_series([Series(part)])[0] for part in np.array_split(values, 50)]
    return merge_columns([*parts, profile_series([Series(np.empty(0), missing)])[0]])


@pytest.mark.parametrize("odd", [[], [0.0], [-0.0], [np.nan], [np.inf, -np.inf], [np.nan, -np.inf]])
@pytest.mark.parametrize("missing", [0, 7])
def test_a_long_column_equals_its_parts_merged(odd: list[float], missing: int) -> None:
    values = RNG.permutation(np.concatenate((LONG, odd, odd)))
    assert profile_numbers(values, missing=missing) == in_parts(values, missing)


@pytest.mark.parametrize(("value", "nan", "infinite"), [(np.nan, 50_000, 0), (-np.inf, 0, 50_000)])
def test_a_long_column_without_a_finite_value_has_no_histogram(
    value: float, nan: int, infinite: int
) -> None:
    column = profile_numbers(np.full(50_000, value), missing=3)
    assert (column.count, column.missing, column.nan, column.infinite) == (50_003, 3, nan, infinite)
    assert (column.present, column.bins.size, column.total) == (0, 0, 0)
    assert np.isnan(column.minimum)


def test_the_smallest_of_a_column_of_zeros_has_no_sign() -> None:
    column = profile_numbers(np.full(50_000, -0.0))
    assert (str(column.minimum), str(column.maximum), column.zeros) == ("0.0", "0.0", 50_000)


def test_a_column_longer_than_a_piece_equals_its_halves_merged() -> None:
    values = np.arange(PIECE + 5, dtype=np.float64)
    whole = profile_numbers(values, missing=1)
    halves = (profile_numbers(values[:PIECE], missing=1), profile_numbers(values[PIECE:]))
    assert whole == merge_columns(halves)
    holes = pa.chunked_array([pa.array(values), pa.nulls(1, pa.float64())])
    table = pa.table({"x": holes})
    assert profile_table(table, {"x": ColumnKind.NUMERIC}).columns["x"] == whole


def test_rows_in_another_order_leave_no_trace() -> None:
    assert profile_numbers(LONG) == profile_numbers(np.sort(LONG))
