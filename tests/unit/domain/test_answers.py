"""What a model's outputs are taken for."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.answers import probability_array, probability_lists, read_outputs
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task


def spec(task: Task, classes: tuple[str, ...] = ()) -> ModelSpec:
    return ModelSpec("m", task, Schema(()), LabelSpec(timedelta(days=1)), classes=classes)


THREE = spec(Task.MULTICLASS, ("a", "b", "c"))


def test_one_number_a_row_is_taken_as_it_is() -> None:
    for task in Task:
        found = read_outputs(spec(task), [0.0, np.nan], 2)
        np.testing.assert_array_equal(found.scores, [0.0, np.nan])
        assert found.probabilities is None


def test_a_number_that_is_no_class_index_is_no_answer() -> None:
    given = [2.0, 3.0, -1.0, 0.5, 1e6]
    nothing = [np.nan] * 4
    np.testing.assert_array_equal(read_outputs(THREE, given, 5).scores, [2.0, *nothing])
    assert read_outputs(spec(Task.REGRESSION), given, 5).scores.tolist() == given


@pytest.mark.parametrize("repeats", [1, 20])
def test_a_number_that_is_no_probability_is_no_answer_of_a_binary_model(repeats: int) -> None:
    given = [0.0, 0.25, 1.0, 1 + 1e-9, -1e-9, 2.5, -0.1, np.inf, np.nan]
    expected = [0.0, 0.25, 1.0, 1.0, 0.0, *[np.nan] * 4]
    found = read_outputs(spec(Task.BINARY), given * repeats, 9 * repeats)
    np.testing.assert_array_equal(found.scores, expected * repeats)
    columns = np.column_stack([1 - np.array(given), given])
    np.testing.assert_array_equal(read_outputs(spec(Task.BINARY), columns, 9).scores, expected)


def test_two_columns_of_a_binary_model_are_its_classes() -> None:
    found = read_outputs(spec(Task.BINARY), [[0.75, 0.25]], 1)
    assert (found.scores.tolist(), found.probabilities) == ([0.25], None)


def test_rows_that_are_no_probabilities_are_no_answers() -> None:
    outputs = [
        [0.2, 0.5, 0.3],
        [0.2, np.nan, 0.3],
        [0.2, np.inf, 0.3],
        [0.9, 0.9, 0.9],
        [-0.5, 1.0, 0.5],
        [1.0 + 1e-7, 0.0, -1e-7],
    ]
    found = read_outputs(THREE, outputs, 6)
    np.testing.assert_array_equal(found.scores, [1.0, np.nan, np.nan, np.nan, np.nan, 0.0])
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.probabilities[[0, 5]], [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    assert np.isnan(found.probabilities[1:5]).all()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (THREE, (2, 2)),
        (THREE, (2, 4)),
        (THREE, (3, 2)),
        (THREE, (2, 3, 1)),
        (THREE, ()),
        (spec(Task.MULTICLASS), (2, 1)),
        (spec(Task.BINARY), (2, 3)),
        (spec(Task.REGRESSION), (2, 2)),
    ],
    ids=str,
)
def test_other_shapes_are_the_models_fault(model: ModelSpec, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArtifactError, match="2 rows gave scores of shape"):
        read_outputs(model, np.full(shape, 0.5), 2)


def test_no_rows() -> None:
    found = read_outputs(THREE, np.empty((0, 3)), 0)
    assert found.scores.shape == (0,)
    assert found.probabilities is not None
    assert found.probabilities.shape == (0, 3)


ROW = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@given(st.lists(st.none() | ROW), st.integers(0, 5))
def test_records_keep_probabilities(rows: list[list[float] | None], cut: int) -> None:
    array = np.array([row or [np.nan] * 3 for row in rows]).reshape(-1, 3)
    column = probability_lists(array, len(rows))
    assert column.to_pylist() == rows
    chunks = pa.chunked_array([column[:cut], column[cut:]], column.type)
    back = probability_array(pa.table({"probabilities": chunks}), 3)
    np.testing.assert_array_equal(back, array)


def test_records_without_probabilities() -> None:
    column = probability_lists(None, 2)
    table = pa.table({"probabilities": column})
    assert np.isnan(probability_array(table, 3)).all()
    other = pa.table({"probabilities": pa.array([[0.5, 0.5], [0.2, 0.3, 0.5]])})
    back = probability_array(other, 3)
    assert np.isnan(back[0]).all()
    assert back[1].tolist() == [0.2, 0.3, 0.5]
