"""Rows as servers of models take them, and their answers: bodies only, nothing is sent here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.upstream import UpstreamSpec
from homeostat.domain.errors import DataError
from homeostat.serving.breaker import Outcome
from homeostat.serving.classify import Upstream, UpstreamError

OIP = frozenset({Upstream.KSERVE, Upstream.MLSERVER, Upstream.TRITON})
SHOWN = 200


def encode(spec: UpstreamSpec, rows: pa.Table | NDArray[np.float64]) -> bytes:
    """Return the body of a request for these rows, or for their matrix.

    Raises
    ------
    DataError
        If a column is absent or cannot be encoded.
    """
    if isinstance(rows, pa.Table):
        names = spec.encoding.features
        absent = [name for name in names if name not in rows.column_names]
        if absent:
            raise DataError(f"column {absent[0]!r}, which the model takes, is absent")
        if spec.layout == "columns":
            return orjson.dumps(_columns(spec, rows.select(list(names))))
        rows = spec.encoding.matrix(rows)
    if spec.missing is not None:
        rows = np.where(np.isnan(rows), spec.missing, rows)
    return orjson.dumps(_matrix(spec, rows), option=orjson.OPT_SERIALIZE_NUMPY)


def decode(spec: UpstreamSpec, body: bytes, rows: int) -> NDArray[np.float64]:
    """Return the scores in an answer: one a row, or shape (rows, classes).

    Raises
    ------
    UpstreamError
        If the answer is of another form.
    """
    try:
        content = orjson.loads(body)
        found = _tensor(spec, content) if spec.server in OIP else _listed(spec, content)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise _odd(f"not an answer of {spec.server}: {shown(body)}") from error
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim not in {1, 2} or len(found) != rows:
        raise _odd(f"{rows} rows gave answers of shape {found.shape}")
    return found


def shown(body: bytes) -> str:
    """Return the beginning of a body, safe to put into a message."""
    return repr(body[:SHOWN].decode(errors="replace"))


def _matrix(spec: UpstreamSpec, matrix: NDArray[np.float64]) -> dict[str, object]:
    if spec.server in OIP:
        tensor = {
            "name": spec.input,
            "shape": list(matrix.shape),
            "datatype": spec.datatype,
            "data": np.ascontiguousarray(matrix).ravel(),
        }
        return {"inputs": [tensor]}
    key = "inputs" if spec.server is Upstream.MLFLOW else "instances"
    return {key: np.ascontiguousarray(matrix)}


def _columns(spec: UpstreamSpec, table: pa.Table) -> dict[str, object]:
    columns = [
        _plain(spec, table.schema.field(name).type, table[name].to_pylist())
        for name in table.column_names
    ]
    if spec.server in OIP:
        return {
            "inputs": [
                {"name": name, "shape": [len(values), 1], "datatype": kind, "data": values}
                for name, (kind, values) in zip(table.column_names, columns, strict=True)
            ]
        }
    rows = list(zip(*(values for _, values in columns), strict=True))
    if spec.server is Upstream.MLFLOW:
        return {"dataframe_split": {"columns": table.column_names, "data": rows}}
    return {"rows": [dict(zip(table.column_names, row, strict=True)) for row in rows]}


def _plain(
    spec: UpstreamSpec, kind: pa.DataType, values: Sequence[object]
) -> tuple[str, Sequence[object]]:
    if pa.types.is_boolean(kind):
        return "BOOL", values
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "FP64", [spec.missing if value is None else value for value in values]
    # Tensors of texts know no missing ones.
    absent = "" if spec.server in OIP else None
    return "BYTES", [absent if value is None else value for value in values]


def _tensor(spec: UpstreamSpec, content: dict[str, list[dict[str, object]]]) -> NDArray[np.float64]:
    outputs = content["outputs"]
    chosen = outputs[-1]
    if spec.output:
        chosen = next(one for one in [*outputs, {}] if one.get("name", spec.output) == spec.output)
    if chosen["datatype"] in {"BYTES", "BOOL"}:
        raise ValueError("texts and truth values are no scores")
    shape = chosen["shape"]
    if not isinstance(shape, list):
        raise TypeError("a shape is a list")
    return np.asarray(chosen["data"], dtype=np.float64).reshape([int(size) for size in shape])


def _listed(spec: UpstreamSpec, content: object) -> NDArray[np.float64]:
    items = content["predictions"] if isinstance(content, dict) else content
    if not isinstance(items, list):
        raise TypeError("answers are a list")
    return np.asarray([_score(spec, item) for item in items], dtype=np.float64)


def _score(spec: UpstreamSpec, item: object) -> object:
    value = item
    if isinstance(item, dict):
        (value,) = (
            [item[spec.output or "score"]] if spec.output or "score" in item else item.values()
        )
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, (str, bool)):
            raise TypeError("texts and truth values are no scores")
    return value


def _odd(message: str) -> UpstreamError:
    return UpstreamError(message, Outcome.FAULT)
