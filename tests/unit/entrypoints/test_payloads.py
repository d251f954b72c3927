"""Bodies of model servers, as their documentation shows them, and as an enemy would write them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.errors import DataError
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.entrypoints.payloads import join, parse_body, read_request, read_response

COLUMNS = Schema((Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.CATEGORICAL)))
LABELS = LabelSpec(timedelta(days=1))
SPEC = ModelSpec("m", Task.BINARY, COLUMNS, LABELS)
TONE = ModelSpec("t", Task.MULTICLASS, COLUMNS, LABELS, classes=("x", "y", "z"))
ROWS = [{"a": 1, "b": "u"}, {"a": 2, "b": "v"}]


def tensor(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[1, "u"], [2, "v"]]},
        {"instances": [{"a": 1, "b": "u", "more": 3}, {"b": "v", "a": 2}]},
        {"dataframe_split": {"columns": ["b", "a"], "data": [["u", 1], ["v", 2]]}},
        {"dataframe_records": ROWS},
        {"inputs": [[1, "u"], [2, "v"]]},
        {"inputs": {"a": [1, 2], "b": ["u", "v"]}},
        {"inputs": [tensor("a", [2], [1, 2]), tensor("b", [2, 1], ["u", "v"])]},
        {"inputs": [tensor("input-0", [2, 2], [1, "u", 2, "v"])]},
        {"inputs": [tensor("input-0", [2, 2], [[1, "u"], [2, "v"]])]},
    ],
    ids=["v1", "v1 named", "split", "records", "list", "columns", "v2", "v2 flat", "v2 nested"],
)
def test_requests(body: dict[str, Any]) -> None:
    assert read_request(SPEC, body) == ROWS


@pytest.mark.parametrize(
    ("body", "scores"),
    [
        ({"predictions": [0.25, 0.75]}, [0.25, 0.75]),
        ({"predictions": [[0.75, 0.25], [0.25, 0.75]]}, [0.25, 0.75]),
        ({"predictions": [{"score": 0.25}, {"proba": [0.25, 0.75]}]}, [0.25, 0.75]),
        ({"outputs": [tensor("predict", [2, 1], [0.25, 0.75])]}, [0.25, 0.75]),
        (
            {
                "outputs": [
                    tensor("label", [2], [0, 1]),
                    tensor("probabilities", [2, 2], [0.75, 0.25, 0.25, 0.75]),
                ]
            },
            [0.25, 0.75],
        ),
    ],
    ids=["v1", "v1 pairs", "v1 named", "v2", "v2 probabilities"],
)
def test_responses(body: dict[str, Any], scores: list[float]) -> None:
    assert [row["score"] for row in read_response(SPEC, body)] == scores


def test_several_classes_give_probabilities_and_the_server_its_version() -> None:
    body = {"model_version": "7", "outputs": [tensor("predict_proba", [1, 3], [0.1, 0.2, 0.7])]}
    assert read_response(TONE, body) == [{"probabilities": [0.1, 0.2, 0.7], "version": "7"}]


def test_a_call_of_several_rows_has_an_id_for_each() -> None:
    asked, answered = {"instances": [[1, "u"], [2, "v"]]}, {"predictions": [0.1, 0.9]}
    found = join(SPEC, asked, answered, "k", "2024-01-01T00:00:00Z")
    assert [(row["prediction_id"], row["a"], row["score"]) for row in found] == [
        ("k:0", 1, 0.1),
        ("k:1", 2, 0.9),
    ]
    assert {row["version"] for row in found} == {"external"}
    one = join(SPEC, {"instances": [[1, "u"]]}, {"predictions": [0.1]}, "k", "t", "3")
    assert (one[0]["prediction_id"], one[0]["version"]) == ("k", "3")
    with pytest.raises(DataError, match="2 rows were asked for and 1 answered"):
        join(SPEC, asked, {"predictions": [0.1]}, "k", "t")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "has none of"),
        ({"instances": 3}, "has none of"),
        ({"instances": [3]}, "neither a list nor an object"),
        ({"instances": [[1]]}, "1 values, there are 2 columns"),
        ({"dataframe_split": {"columns": ["a"]}}, "needs the lists"),
        ({"inputs": {"a": [1, 2], "b": ["u"]}}, "differ in length"),
        ({"inputs": [tensor("x", [10**12, 2], [1, 2])]}, "has 2 values"),
        ({"inputs": [tensor("x", [-1, 2], [1, 2])]}, "shape must be"),
        ({"inputs": [tensor("x", [1, 2, 3], [1] * 6)]}, "shape must be"),
        ({"inputs": [tensor("x", [2, 2], [[1, 2], 3])]}, "has not 2 values"),
        ({"inputs": [tensor("a", [2], [1, 2]), tensor("b", [1], [1])]}, "number of rows"),
    ],
    ids=str,
)
def test_requests_that_lie(body: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_request(SPEC, body)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"[" * 100_000], ids=["e", "b", "l", "d"])
def test_bodies_that_are_none(text: bytes) -> None:
    with pytest.raises(DataError, match="is no"):
        parse_body(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "a"]), inner)
    ),
    max_leaves=8,
)
KEYS = ["instances", "inputs", "outputs", "predictions", "dataframe_split", "dataframe_records"]


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_comes_is_read_or_refused(body: dict[str, Any]) -> None:
    for spec in (SPEC, TONE):
        for read in (read_request, read_response):
            try:
                rows = read(spec, body)
            except DataError:
                continue
            assert all(isinstance(row, dict) for row in rows)
            json.dumps(rows, default=str)
