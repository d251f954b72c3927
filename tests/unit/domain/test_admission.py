from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from homeostat.domain.admission import admit_labels, admit_predictions
from homeostat.domain.errors import DataError
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = ModelSpec(
    "churn",
    Task.REGRESSION,
    Schema((Column("amount", ColumnKind.NUMERIC), Column("active", ColumnKind.BOOLEAN))),
    LabelSpec(timedelta(days=1)),
)


def row(**columns: pa.Array) -> pa.Table:
    base = {
        "prediction_id": pa.array(["a"]),
        "version": pa.array(["1"]),
        "timestamp": pa.array([NOW]),
        "score": pa.array([0.5]),
    }
    return pa.table({**base, **columns})


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("amount", pa.array([3])),
        ("amount", pa.array([3.0], pa.float32())),
        ("amount", pa.nulls(1)),
        ("active", pa.array([True])),
        ("entity", pa.array(["card"]).dictionary_encode()),
        ("entity", pa.array(["card"], pa.large_string())),
        ("timestamp", pa.array([NOW], pa.timestamp("ms", "Europe/Berlin"))),
    ],
)
def test_like_types_are_cast(name: str, column: pa.Array) -> None:
    table, problems = admit_predictions(SPEC, row(**{name: column}), NOW)
    assert problems == {}
    assert table.schema.equals(prediction_schema(SPEC))
    assert table.column(name).to_pylist() == column.cast(table.column(name).type).to_pylist()


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("amount", pa.array(["3"])),
        ("amount", pa.array([True])),
        ("active", pa.array([1])),
        ("entity", pa.array([7])),
        ("score", pa.array(["high"])),
        ("timestamp", pa.array([NOW.replace(tzinfo=None)])),
        ("timestamp", pa.array([0])),
        ("amount", pa.array([2**60 + 1])),
    ],
)
def test_other_types_are_refused(name: str, column: pa.Array) -> None:
    _, problems = admit_predictions(SPEC, row(**{name: column}), NOW)
    column_name, reason = problems[0]
    assert column_name == name
    assert reason.startswith("is ")


def test_unknown_column_is_the_callers_mistake() -> None:
    with pytest.raises(DataError, match=r"unknown column 'colour'.*churn"):
        admit_predictions(SPEC, row(colour=pa.array(["red"])), NOW)


def test_missing_times_and_scores_are_refused() -> None:
    for name in ("timestamp", "score", "version"):
        _, problems = admit_predictions(SPEC, row().drop_columns([name]), NOW)
        assert problems[0][0] == name


def test_regression_labels_may_be_any_number() -> None:
    content = {"prediction_id": ["a"], "label": [-7.5], "arrival": [NOW]}
    table, problems = admit_labels(SPEC, pa.table(content, schema=LABEL_SCHEMA), NOW)
    assert problems == {}
    assert table.column("label").to_pylist() == [-7.5]


@pytest.mark.parametrize(
    ("probabilities", "reason"),
    [
        (pa.array([[0.25, 0.75]]), ""),
        (pa.array([[0.25, 0.75]], pa.large_list(pa.float32())), ""),
        (pa.array([[0, 1]], pa.list_(pa.int8(), 2)), ""),
        (pa.array([[0.33, 0.66]]), ""),
        (pa.array([[1.0 + 2.0**-23, 0.0]], pa.list_(pa.float32())), ""),
        (pa.nulls(1), ""),
        (pa.array([[0.2, 0.3, 0.5]]), "must be 2, one a class"),
        (pa.array([[]], pa.list_(pa.float64())), "must be 2, one a class"),
        (pa.array([[0.5, float("nan")]]), "must be numbers from 0 to 1"),
        (pa.array([[0.5, float("inf")]]), "must be numbers from 0 to 1"),
        (pa.array([[None, None]], pa.list_(pa.null())), "must be numbers from 0 to 1"),
        (pa.array([[-0.5, 1.5]]), "must be numbers from 0 to 1"),
        (pa.array([[0.5, 0.4]]), "must add up to 1"),
        (pa.array([["0.5", "0.5"]]), "is list<item: string>, not list<item: double>"),
        (pa.array([0.5]), "is double, not list<item: double>"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.type} {value[0]}",
)
def test_probabilities(probabilities: pa.Array, reason: str) -> None:
    spec = replace(SPEC, task=Task.MULTICLASS, classes=("stays", "leaves"))
    table, problems = admit_predictions(spec, row(probabilities=probabilities), NOW)
    assert problems == ({0: ("probabilities", reason)} if reason else {})
    assert table.schema.equals(prediction_schema(spec))


def test_only_classifiers_of_several_classes_have_probabilities() -> None:
    with pytest.raises(DataError, match="unknown column 'probabilities'"):
        admit_predictions(SPEC, row(probabilities=pa.array([[0.5, 0.5]])), NOW)


def test_without_names_of_the_classes_any_number_of_probabilities_is_taken() -> None:
    spec = replace(SPEC, task=Task.MULTICLASS)
    given = row(probabilities=pa.array([[0.25, 0.25, 0.5]]))
    assert admit_predictions(spec, given, NOW)[1] == {}
