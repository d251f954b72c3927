from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.logged import logged_columns, logged_predictions, with_features
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.predictions import NEVER
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema

NAN = float("nan")
SCHEMA = Schema((Column("amount", ColumnKind.NUMERIC),))
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def spec(task: Task, classes: tuple[str, ...] = ()) -> ModelSpec:
    return ModelSpec("m", task, SCHEMA, LabelSpec(timedelta(days=1)), classes=classes)


def rows(model: ModelSpec, scores: list[float], **more: object) -> pa.Table:
    n = len(scores)
    plain = {
        "prediction_id": [str(row) for row in range(n)],
        "timestamp": [NOON] * n,
        "version": ["v1"] * n,
        "role": ["champion"] * n,
        "tier": ["model"] * n,
        "score": scores,
        "amount": [1.0] * n,
    }
    schema = prediction_schema(model)
    labels = [field for field in LABEL_SCHEMA if field.name in more]
    for name in ("label", "arrival"):
        schema = pa.schema([*schema, *(field for field in labels if field.name == name)])
    columns = plain | more
    return pa.table(
        {f.name: pa.array(columns.get(f.name, [None] * n), f.type) for f in schema}, schema=schema
    )


def test_a_binary_model_predicts_by_its_threshold_unless_it_said_otherwise() -> None:
    model = spec(Task.BINARY)
    found = logged_predictions(
        model,
        rows(
            model,
            [0.2, 0.7, 0.9],
            prediction=[None, None, 0.0],
            label=[1.0, None, 0.0],
            arrival=[NOON, None, NOON],
        ),
    )
    assert found.classes == ("0", "1")
    assert found.predictions.tolist() == [0.0, 1.0, 0.0]
    assert found.labels.tolist() == pytest.approx([1.0, NAN, 0.0], nan_ok=True)
    assert found.arrivals is not None
    assert found.timestamps is not None
    assert found.arrivals.tolist() == [found.timestamps[0], NEVER, found.timestamps[0]]
    assert found.features.column_names == ["amount"]


def test_without_labels_none_are_known() -> None:
    model = spec(Task.REGRESSION)
    found = logged_predictions(model, rows(model, [3.5, 4.5]))
    assert not found.known.any()
    assert found.arrivals is None
    assert found.classes == ()
    assert found.predictions.tolist() == [3.5, 4.5]


def test_probabilities_are_there_if_any_row_has_them() -> None:
    model = spec(Task.MULTICLASS, ("a", "b"))
    given = rows(model, [1.0, 0.0], probabilities=[[0.2, 0.8], None])
    found = logged_predictions(model, given)
    np.testing.assert_array_equal(found.scores, [[0.2, 0.8], [NAN, NAN]])
    assert found.predictions.tolist() == [1.0, 0.0]
    assert logged_predictions(model, rows(model, [1.0, 0.0])).scores.shape == (2, 0)
    older = given.drop_columns(["probabilities"])
    assert logged_predictions(model, older).scores.shape == (2, 0)
    unnamed = spec(Task.MULTICLASS)
    assert logged_predictions(unnamed, rows(unnamed, [1.0])).scores.shape == (1, 0)


def test_the_columns_to_read() -> None:
    assert logged_columns(spec(Task.MULTICLASS))[-2:] == ("probabilities", "amount")
    assert "probabilities" not in logged_columns(spec(Task.BINARY))
    assert np.isin(["score", "timestamp"], logged_columns(spec(Task.BINARY))).all()


def test_rows_whose_features_are_gone_are_left_out() -> None:
    columns = Schema((Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.CATEGORICAL)))
    spec = ModelSpec("m", Task.BINARY, columns, LabelSpec(timedelta(days=1)))
    rows = pa.table({"a": [None, 1.0, None], "b": [None, None, "x"], "score": [0.1, 0.2, 0.3]})
    assert with_features(spec, rows)["score"].to_pylist() == [0.2, 0.3]
    assert with_features(spec, rows.slice(1, 1)).num_rows == 1
    whole = rows.select(["score"])
    assert with_features(spec, whole) is whole
