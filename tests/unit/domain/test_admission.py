from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from homeostat.domain.admission import admit_labels, admit_predictions, as_admitted
from homeostat.domain.errors import DataError
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP, prediction_schema

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
        ("active", pa.array([2])),
        ("active", pa.array([1.0])),
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
    given = row(probabilities=probabilities, score=pa.array([1.0]))
    table, problems = admit_predictions(spec, given, NOW)
    assert problems == ({0: ("probabilities", reason)} if reason else {})
    assert table.schema.equals(prediction_schema(spec))


def test_only_classifiers_of_several_classes_have_probabilities() -> None:
    with pytest.raises(DataError, match="unknown column 'probabilities'"):
        admit_predictions(SPEC, row(probabilities=pa.array([[0.5, 0.5]])), NOW)


def test_without_names_of_the_classes_any_number_of_probabilities_is_taken() -> None:
    spec = replace(SPEC, task=Task.MULTICLASS)
    given = row(probabilities=pa.array([[0.25, 0.25, 0.5]]), score=pa.array([2.0]))
    assert admit_predictions(spec, given, NOW)[1] == {}


KINDS = {
    "named": (replace(SPEC, task=Task.MULTICLASS, classes=("a", "b", "c")), 3),
    "unnamed": (replace(SPEC, task=Task.MULTICLASS), 1000),
    "binary": (replace(SPEC, task=Task.BINARY), 2),
}


@pytest.mark.parametrize("value", [-1.0, 0.5, 3e4, 1e6, 1e300])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_class_index_is_refused(kind: str, value: float) -> None:
    spec, count = KINDS[kind]
    reason = f"is not the index of one of the {count} classes"
    columns = {"prediction_id": pa.array(["a"]), "arrival": pa.array([NOW])}
    for given in (value, float(count)):
        said = pa.array([given])
        _, problems = admit_labels(spec, pa.table({**columns, "label": said}), NOW)
        assert problems == {0: ("label", reason)}
        _, problems = admit_predictions(spec, row(score=pa.array([1.0]), prediction=said), NOW)
        assert problems == {0: ("prediction", reason)}
        _, problems = admit_predictions(spec, row(score=said), NOW)
        if spec.task is Task.BINARY:
            chance = {0: ("score", "is no probability: it is not in [0, 1]")}
            assert problems == ({} if 0 <= given <= 1 else chance)
        else:
            assert problems == {0: ("score", reason)}
    last = pa.array([count - 1.0])
    assert admit_labels(spec, pa.table({**columns, "label": last}), NOW)[1] == {}


def test_a_regression_takes_any_finite_number() -> None:
    assert admit_predictions(SPEC, row(score=pa.array([-7.5])), NOW)[1] == {}
    table = pa.table({"label": [1e300, None], "score": [-1.0, 0.5]})
    assert as_admitted(SPEC, table) == (table, 0)


def test_logged_values_that_are_no_class_are_unknown() -> None:
    spec, _ = KINDS["named"]
    rows = pa.table(
        {
            "score": [0.0, 7.0, 2.0, None],
            "prediction": [0.0, 7.0, None, 0.5],
            "label": [None, 1.0, -1.0, 2.0],
        }
    )
    found, strange = as_admitted(spec, rows)
    assert strange == 3
    assert found.to_pydict() == {
        "score": [0.0, None, 2.0, None],
        "prediction": [0.0, None, None, None],
        "label": [None, 1.0, None, 2.0],
    }


def test_logged_scores_that_are_no_chance_are_unknown() -> None:
    spec, _ = KINDS["binary"]
    rows = pa.table({"score": [0.0, -5.0, 1.0, 1e308, None], "prediction": [0.0] * 5})
    found, strange = as_admitted(spec, rows)
    assert strange == 2
    assert found["score"].to_pylist() == [0.0, None, 1.0, None, None]
    assert found["prediction"].to_pylist() == [0.0] * 5


VERSIONS = {"NUL": "1\0", "line": "1\n2", "delete": "1\x7f", "long": "é" * 201}


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_version_is_a_short_name_of_one_line(version: str) -> None:
    _, problems = admit_predictions(SPEC, row(version=pa.array([version])), NOW)
    reason = "has more than 200 characters, or control characters"
    assert problems == {0: ("version", reason)}


def test_a_version_of_200_characters_is_taken() -> None:
    assert admit_predictions(SPEC, row(version=pa.array(["é" * 200])), NOW)[1] == {}


@pytest.mark.parametrize("micros", [-(2**62), -(2**63), -2_208_988_800_000_001])
def test_ancient_times_are_refused(micros: int) -> None:
    ancient = pa.array([micros], pa.int64()).cast(TIMESTAMP)
    _, problems = admit_predictions(SPEC, row(timestamp=ancient), NOW)
    assert problems == {0: ("timestamp", "lies before 1900-01-01")}
    content = {"prediction_id": pa.array(["a"]), "label": [1.0], "arrival": ancient}
    _, problems = admit_labels(SPEC, pa.table(content, schema=LABEL_SCHEMA), NOW)
    assert problems == {0: ("arrival", "lies before 1900-01-01")}


def test_a_time_of_1900_is_taken() -> None:
    old = pa.array([-2_208_988_800_000_000], pa.int64()).cast(TIMESTAMP)
    assert admit_predictions(SPEC, row(timestamp=old), NOW)[1] == {}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("inf")], ids=str)
def test_a_share_of_an_arm_is_a_chance_above_0(share: float) -> None:
    both = pa.concat_tables([row(arm_share=pa.array([value])) for value in (share, 0.25)])
    table, problems = admit_predictions(SPEC, both, NOW)
    assert problems == {0: ("arm_share", "is not in (0, 1]")}
    assert table.column("arm_share").to_pylist()[1] == 0.25
