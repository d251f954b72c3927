import math
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from homeostat.domain.model import ColumnKind
from homeostat.profiles.cast import Reading, family, read_as, read_columns

NUMERIC, CATEGORICAL, BOOLEAN = ColumnKind


def read(values: object, kind: ColumnKind) -> list[object]:
    return read_as(pa.chunked_array([pa.array(values)]), kind).to_pylist()


def test_numbers_are_read_from_whatever_holds_them() -> None:
    assert read([" 1.5", "-2e3", ".5", "x", "", "1,5", None], NUMERIC) == [
        1.5, -2000.0, 0.5, None, None, None, None,
    ]  # fmt: skip
    assert read([True, False], NUMERIC) == [1.0, 0.0]
    assert read([date(1970, 1, 11)], NUMERIC) == [10.0]
    assert read([datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)], NUMERIC) == [1e6]
    assert math.isnan(float(str(read(["nan"], NUMERIC)[0])))
    assert read(pa.array(["7", "8"]).dictionary_encode(), NUMERIC) == [7.0, 8.0]


def test_yes_and_no_are_read_from_words_and_numbers() -> None:
    assert read(["Yes", " no", "maybe", None], BOOLEAN) == [True, False, None, None]
    assert read([1, 0, 2, None], BOOLEAN) == [True, False, None, None]
    assert read([1.0, float("nan")], BOOLEAN) == [True, None]
    assert read([True, None], BOOLEAN) == [True, None]


def test_codes_are_the_same_text_as_whole_numbers_and_as_floats() -> None:
    assert read([5411, 7995], CATEGORICAL) == read([5411.0, 7995.0], CATEGORICAL)
    assert read([1.5, 2.0], CATEGORICAL) == ["1.5", "2"]
    assert read([1e300], CATEGORICAL) == ["1e+300"]
    assert read(pa.array(["a"], pa.large_string()), CATEGORICAL) == ["a"]


@pytest.mark.parametrize("kind", ColumnKind)
def test_what_can_never_be_read_is_an_error_of_that_column_alone(kind: ColumnKind) -> None:
    table = pa.table({"x": [[1], [2]], "y": [1, 0]})
    read_table, readings = read_columns(table, {"x": kind, "y": kind, "absent": kind})
    assert read_table.column_names == ["y"]
    assert readings["x"].problem == "list<item: int64> values cannot be read so"
    assert not readings["y"].problem
    assert "absent" not in readings


def test_rows_are_kept_where_no_column_is() -> None:
    assert read_columns(pa.table({"x": [1, 2]}), {})[0].num_rows == 2


def test_a_column_of_which_most_is_unreadable_has_changed_its_type() -> None:
    few, most = Reading("string", 10, 5), Reading("string", 10, 6)
    assert not few.problem
    assert most.problem == "60% of its values (string) cannot be read so"
    assert few.add(most) == Reading("string", 20, 11)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.int8(), "number"),
        (pa.decimal128(5, 2), "number"),
        (pa.dictionary(pa.int32(), pa.string()), "text"),
        (pa.bool_(), "boolean"),
        (pa.timestamp("ns", "UTC"), "time"),
        (pa.list_(pa.int8()), "other"),
    ],
)
def test_types_have_families(kind: pa.DataType, expected: str) -> None:
    assert family(str(kind)) == expected
