"""Bodies of model servers as rows: Open Inference Protocol V2, V1 and MLflow, both ways.

Requests carry features, responses scores. Both are hostile: shapes that lie, numbers as text,
more rows than were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec, Task

Row: TypeAlias = dict[str, object]
Body: TypeAlias = Mapping[str, object]

PROBABILITIES = ("probabilities", "predict_proba", "probability", "proba")
EXTERNAL = "external"
"""Version of answers whose server names none."""


def parse_body(text: str | bytes) -> Body:
    """Return the JSON object in a body; raises DataError."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise DataError("is no JSON object")
    return body


def read_request(spec: ModelSpec, body: Body) -> list[Row]:
    """Return the features in a request, a row each.

    Columns without names are taken in the order of the model's features.

    Raises
    ------
    DataError
        If it is none of the known forms.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import Column, ColumnKind, LabelSpec, Schema
    >>> columns = Schema((Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.NUMERIC)))
    >>> spec = ModelSpec("m", Task.BINARY, columns, LabelSpec(timedelta(days=1)))
    >>> read_request(spec, {"instances": [[1, 2], {"b": 4, "a": 3}]})
    [{'a': 1, 'b': 2}, {'a': 3, 'b': 4}]
    >>> tensor = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}
    >>> read_request(spec, {"inputs": [tensor]})
    [{'a': 1, 'b': 2}, {'a': 3, 'b': 4}]
    """
    split = body.get("dataframe_split")
    if isinstance(split, dict):
        names, data = split.get("columns"), split.get("data")
        if not isinstance(names, list) or not isinstance(data, list):
            raise DataError("dataframe_split needs the lists columns and data")
        return [_named(spec, row, [str(name) for name in names]) for row in data]
    for key in ("instances", "dataframe_records", "inputs"):
        rows = body.get(key)
        if key == "inputs" and _is_tensors(rows):
            return _from_tensors(spec, _tensors(rows))
        if isinstance(rows, list):
            return [_named(spec, row, spec.schema.names) for row in rows]
        if key == "inputs" and isinstance(rows, dict):
            return _from_columns(spec, rows)
    raise DataError("has none of instances, inputs, dataframe_split and dataframe_records")


def read_response(spec: ModelSpec, body: Body) -> list[Row]:
    """Return ``score`` or ``probabilities`` and, if it is named, ``version`` of each answer.

    Raises
    ------
    DataError
        If it is none of the known forms.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("m", Task.BINARY, Schema(()), LabelSpec(timedelta(days=1)))
    >>> read_response(spec, {"predictions": [0.25, [0.1, 0.9]]})
    [{'score': 0.25}, {'score': 0.9}]
    """
    version = body.get("model_version")
    more: Row = {"version": version} if isinstance(version, str) and version else {}
    outputs = body.get("outputs")
    if _is_tensors(outputs):
        tensors = _tensors(outputs)
        chosen = next((t for t in tensors if t[0].lower() in PROBABILITIES), tensors[0])
        return [_scored(spec, value) | more for value in chosen[1]]
    predictions = body.get("predictions")
    if isinstance(predictions, list):
        return [_scored(spec, value) | more for value in predictions]
    raise DataError("has neither predictions nor outputs")


def _scored(spec: ModelSpec, value: object) -> Row:
    if isinstance(value, dict):
        named = next((value[name] for name in PROBABILITIES if name in value), None)
        value = value.get("score", value.get("prediction")) if named is None else named
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, list):
        return {"score": value}
    if spec.task is Task.MULTICLASS:
        return {"probabilities": value}
    if spec.task is Task.BINARY and len(value) == 2:
        return {"score": value[1]}
    raise DataError(f"an answer of {len(value)} numbers is none of a {spec.task} model")


def _named(spec: ModelSpec, row: object, names: Sequence[str]) -> Row:
    if isinstance(row, list):
        if len(row) != len(names):
            raise DataError(f"a row has {len(row)} values, there are {len(names)} columns")
        row = dict(zip(names, row, strict=True))
    if not isinstance(row, dict):
        raise DataError("a row is neither a list nor an object")
    return {name: row[name] for name in spec.schema.names if name in row}


def _from_columns(spec: ModelSpec, columns: Mapping[str, object]) -> list[Row]:
    lists = {n: v if isinstance(v, list) else [v] for n, v in columns.items()}
    sizes = {len(values) for values in lists.values()}
    if len(sizes) != 1:
        raise DataError("the columns of inputs differ in length")
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return [_named(spec, row, spec.schema.names) for row in rows]


Tensor: TypeAlias = "tuple[str, list[object]]"


def _is_tensors(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "datatype" in item and "data" in item for item in value)
    )


def _tensors(value: object) -> list[Tensor]:
    assert isinstance(value, list)
    return [(str(item.get("name", "")), _rows(item)) for item in value]


def _rows(tensor: Mapping[str, object]) -> list[object]:
    """Return a tensor's rows: values, or lists of values if it has a second dimension."""
    shape, data = tensor.get("shape"), tensor.get("data")
    good = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not good or not isinstance(shape, list) or not 1 <= len(shape) <= 2:
        raise DataError("a tensor's shape must be [rows] or [rows, columns]")
    if not isinstance(data, list):
        raise DataError("a tensor's data must be a list")
    width = shape[1] if len(shape) == 2 else 1
    nested = bool(data) and isinstance(data[0], list)
    flat = [value for row in data for value in (row if isinstance(row, list) else [row])]
    if nested and any(not isinstance(row, list) or len(row) != width for row in data):
        raise DataError(f"a row of a tensor has not {width} values")
    if len(flat) != shape[0] * width:
        raise DataError(f"a tensor of shape {shape} has {len(flat)} values")
    if len(shape) == 1:
        return flat
    return [flat[at : at + width] for at in range(0, len(flat), width)] if width else []


def _from_tensors(spec: ModelSpec, tensors: Sequence[Tensor]) -> list[Row]:
    if len(tensors) == 1 and tensors[0][0] not in spec.schema.names:
        rows = [row if isinstance(row, list) else [row] for row in tensors[0][1]]
        return [_named(spec, row, spec.schema.names) for row in rows]
    if len({len(rows) for _, rows in tensors}) != 1:
        raise DataError("the tensors differ in their number of rows")
    columns = {
        name: [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
        for name, rows in tensors
    }
    return _from_columns(spec, columns)


def join(
    spec: ModelSpec, request: Body, response: Body, key: str, timestamp: str, version: str = ""
) -> list[Row]:
    """Return prediction records of one call, as the API takes them.

    Parameters
    ----------
    spec : ModelSpec
    request, response : mapping
        Bodies.
    key : str
        Names the call; rows of it are ``key:0``, ``key:1`` and so on, a single one is ``key``.
    timestamp : str
        Of the call, ISO 8601.
    version : str
        Where the response names none; empty: `EXTERNAL`.

    Raises
    ------
    DataError
        If one of them cannot be read, or they differ in their number of rows.
    """
    features, answers = read_request(spec, request), read_response(spec, response)
    if len(features) != len(answers):
        raise DataError(f"{len(features)} rows were asked for and {len(answers)} answered")
    usual: Row = {"timestamp": timestamp, "version": version or EXTERNAL}
    single = len(features) == 1
    return [
        {"prediction_id": key if single else f"{key}:{place}"} | usual | row | answer
        for place, (row, answer) in enumerate(zip(features, answers, strict=True))
    ]
