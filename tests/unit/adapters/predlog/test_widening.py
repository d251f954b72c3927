from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.widening import widened
from homeostat.domain.model import Column, ColumnKind, ModelSpec, Schema
from homeostat.domain.window import Window
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, predictions

LARGE = 2**53 + 1


@pytest.mark.parametrize(
    ("values", "source", "target", "found"),
    [
        ([1, None], pa.int32(), pa.float64(), [1.0, None]),
        ([LARGE], pa.int64(), pa.float64(), [float(LARGE)]),
        ([0.5], pa.float32(), pa.float64(), [0.5]),
        ([True, None], pa.bool_(), pa.int64(), [1, None]),
        ([7], pa.int8(), pa.int64(), [7]),
        ([2**64 - 1], pa.uint64(), pa.int64(), [None]),
        (["a", None], pa.large_string(), pa.string(), ["a", None]),
        (["a"], pa.string_view(), pa.string(), ["a"]),
        (["a", "a"], pa.dictionary(pa.int32(), pa.string()), pa.string(), ["a", "a"]),
        ([[1.0], None], pa.large_list(pa.float64()), pa.list_(pa.float64()), [[1.0], None]),
        ([[1], [2, None]], pa.list_(pa.int64()), pa.list_(pa.float64()), [[1.0], [2.0, None]]),
        (["1"], pa.string(), pa.float64(), [None]),
        ([1.0], pa.float64(), pa.string(), [None]),
        ([1.0], pa.float64(), pa.list_(pa.float64()), [None]),
        ([["a"]], pa.list_(pa.string()), pa.list_(pa.float64()), [None]),
    ],
    ids=str,
)
def test_what_fits_is_kept_and_nothing_else(
    values: list[object], source: pa.DataType, target: pa.DataType, found: list[object]
) -> None:
    column = widened(pa.chunked_array([pa.array(values, source)]), target)
    assert column.type == target
    assert pa.table({"it": column}).to_pydict() == {"it": found}


def test_a_feature_may_be_widened(tmp_path: Path) -> None:
    def spec(kind: ColumnKind) -> ModelSpec:
        return replace(SPEC, schema=Schema((Column("known", kind),)))

    plain = predictions(["a", "b", "c"]).drop_columns(["amount", "country"])
    flags, numbers = spec(ColumnKind.BOOLEAN), spec(ColumnKind.NUMERIC)
    log = FilePredictionLog(tmp_path / "log", open_records(tmp_path))
    log.append(flags, plain.append_column("known", pa.array([True, None, False])))
    for _ in range(2):
        assert log.rows(numbers, ALL, ["known"]).column(0).to_pylist() == [1.0, None, 0.0]
        assert log.profile(numbers, Window(T0, T0 + HOUR / 2)).columns["known"].sum == 1.0
        log.roll(NOW)
    later = predictions(["d"], T0 + HOUR).drop_columns(["amount", "country"])
    log.append(numbers, later.append_column("known", pa.array([0.5])))
    log.roll(NOW)
    log.tidy(NOW, eager=True)
    assert log.rows(numbers, ALL, ["known"]).column(0).to_pylist() == [1.0, None, 0.0, 0.5]
    assert log.rows(flags, ALL, ["known"]).column(0).to_pylist() == [True, None, False, None]
    assert log.rows(spec(ColumnKind.CATEGORICAL), ALL, ["known"]).column(0).null_count == 4
