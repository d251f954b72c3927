"""The fast way from bytes to a table: whole columns at once, or not at all.

Whatever is unusual about a body makes these functions return None: rows are then read one by one,
which takes many times longer, and says of each bad row what is wrong.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import (
    LABEL_SCHEMA,
    PROBABILITIES,
    ROLE,
    TIERS,
    TIMESTAMP,
    prediction_schema,
)
from homeostat.entrypoints.http.rows import LISTED_ROLES

Column: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"

FIRST, LAST = (
    pa.scalar(moment, TIMESTAMP) for moment in (-62_135_596_800_000_000, 253_402_300_799_999_999)
)
"""The bounds of the moments that Python knows."""
OBJECT = re.compile(rb"\s*\{")
SHORTEST = 24
"""Bytes of a row below which it cannot be good."""
SMALL = 2**20
"""Bytes of a body up to which its values may be held as Python has them."""
DEFAULTS = {"role": "champion", "tier": "model", "reason": "", "entity": ""}
LISTED = {"role": LISTED_ROLES, "tier": ", ".join(TIERS)}
"""Columns of which only some values are known, and those."""
NEEDED = {
    "predictions": ("prediction_id", "timestamp", "version", "score"),
    "labels": ("prediction_id", "label"),
}


def read_json(
    spec: ModelSpec, field: str, body: bytes, *, lines: bool, small: int = SMALL
) -> pa.Table | None:
    """Read JSON: an object with the list ``field``, or with `lines` one row a line.

    Bodies of more than `small` bytes are read without Python's values, to need less memory.
    """
    schema = _schema(spec, field)
    if schema is None or not body.strip():
        return None
    read = _of_objects if len(body) <= small else _of_text
    table = read(body, field, schema, lines=lines)
    return None if table is None else finish(spec, field, table)


def _of_objects(body: bytes, field: str, schema: pa.Schema, *, lines: bool) -> pa.Table | None:
    """Read by way of Python's values: less than half the work, and more memory than the body."""
    try:
        found = _objects(body, field, lines=lines)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        return None
    names = tuple(found[0])
    if not all(isinstance(row, dict) and tuple(row) == names for row in found):
        return None
    values = dict(zip(names, zip(*(row.values() for row in found), strict=True), strict=True))
    try:
        columns = [_array(kind, values.pop(kind.name, None), len(found)) for kind in schema]
    except (pa.ArrowException, OverflowError):
        return None
    return None if values else pa.Table.from_arrays(columns, schema=schema)


def _array(
    field: pa.Field[Any], values: Sequence[object] | None, rows: int
) -> pa.Array[pa.Scalar[pa.DataType]]:
    if pa.types.is_floating(field.type) and bool in set(map(type, values or ())):
        raise pa.ArrowInvalid("true and false are no numbers")
    given: Sequence[object] = (None,) * rows if values is None else values
    made: pa.Array[pa.Scalar[pa.DataType]] = pa.array(given, field.type)
    return made


def _objects(body: bytes, field: str, *, lines: bool) -> object:
    if lines:
        return [orjson.loads(line) for line in body.split(b"\n") if line.strip()]
    whole = orjson.loads(body)
    return whole[field] if isinstance(whole, dict) and whole.keys() == {field} else None


def _of_text(body: bytes, field: str, schema: pa.Schema, *, lines: bool) -> pa.Table | None:
    """Read straight into columns."""
    # pyarrow does not survive a null in the first place, and columns of empty rows burst.
    if not OBJECT.match(body) or SHORTEST * body.count(b"{") > len(body):
        return None
    asked = schema if lines else pa.schema([(field, pa.list_(pa.struct(list(schema))))])
    options = pj.ParseOptions(
        explicit_schema=asked, unexpected_field_behavior="error", newlines_in_values=not lines
    )
    reading = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
    try:
        table = pj.read_json(io.BytesIO(body), reading, options)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if not lines:
        if table.num_rows != 1 or table.column(0).null_count:
            return None
        rows = pc.list_flatten(table.column(0).combine_chunks())
        if rows.null_count:
            return None
        table = pa.table({name: pc.struct_field(rows, name) for name in schema.names})
    return None if any(map(_odd, table.columns)) else table


def finish(spec: ModelSpec, field: str, table: pa.Table) -> pa.Table | None:
    """Return the table as the log takes it, if all its rows are plainly good."""
    if not table.num_rows or any(name not in table.column_names for name in NEEDED[field]):
        return None
    columns = {name: table.column(name) for name in table.column_names}
    try:
        for name in {"timestamp", "arrival"} & columns.keys():
            columns[name] = columns[name].cast(TIMESTAMP)
            if _strange(columns[name]):
                return None
    except pa.ArrowInvalid:
        return None
    if any(columns[name].null_count or _blank(columns[name]) for name in NEEDED[field]):
        return None
    plain = pa.table(columns)
    if field == "labels":
        return plain
    whole = complete(spec, plain)
    strange = any(impossible(name, whole.column(name)).any() for name in LISTED)
    return None if strange else whole


def impossible(name: str, column: Column) -> NDArray[np.bool_]:
    """Return which values of a column in `LISTED` there cannot be; null is none of them."""
    values = pc.unique(column.cast(pa.string()))  # there are few
    pattern = ROLE if name == "role" else "|".join(TIERS)
    known = values.filter(pc.match_substring_regex(values, f"^(?:{pattern})$"))
    return ~np.asarray(pc.or_(pc.is_in(column, known), column.is_null()), np.bool_)


def _schema(spec: ModelSpec, field: str) -> pa.Schema | None:
    """Return the types as JSON has them; None where classes may be given by name."""
    named = field == "labels" and spec.task is not Task.REGRESSION and spec.classes
    if named or field == "outcomes":
        return None
    if field == "predictions" and spec.task is Task.MULTICLASS:
        return None
    schema = LABEL_SCHEMA if field == "labels" else prediction_schema(spec)
    return pa.schema(
        [pa.field(f.name, pa.string() if pa.types.is_timestamp(f.type) else f.type) for f in schema]
    )


def complete(spec: ModelSpec, table: pa.Table) -> pa.Table:
    """Return prediction records with what may be left out: role, tier, reason, prediction."""
    names = set(table.column_names)
    for name, default in DEFAULTS.items():
        given = table.column(name) if name in names else None
        if given is None or (given.null_count and pa.types.is_string(given.type)):
            usual: Column = pa.chunked_array([pa.repeat(pa.scalar(default), table.num_rows)])
            table = _put(table, name, usual if given is None else pc.coalesce(given, usual))
    score = table.column("score") if "score" in names else None
    if score is not None and _is_number(score) and PROBABILITIES not in names:
        given = table.column("prediction") if "prediction" in names else None
        if given is None or (given.null_count and _is_number(given)):
            made: Column = score.cast(pa.float64())
            if spec.task is Task.BINARY:
                above = pc.greater_equal(made, pa.scalar(spec.threshold))
                made = pa.chunked_array([above.cast(pa.float64())])
            whole = made if given is None else pc.coalesce(given.cast(pa.float64()), made)
            table = _put(table, "prediction", whole)
    return table


def _put(table: pa.Table, name: str, column: Column) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _is_number(column: Column) -> bool:
    return pa.types.is_floating(column.type) or pa.types.is_integer(column.type)


def _blank(column: Column) -> bool:
    """Whether an empty text is among the values."""
    if not pa.types.is_string(column.type):
        return False
    return bool(pc.any(pc.equal(column, pa.scalar(""))).as_py())


def _strange(times: Column) -> bool:
    """Whether a time lies before the year 1 or after 9999."""
    outside = pc.or_(pc.less(times, FIRST), pc.greater(times, LAST))
    return bool(pc.any(outside, min_count=0).as_py())


def _odd(column: Column) -> bool:
    """Whether a column holds a number that JSON has not: NaN or infinity."""
    if not pa.types.is_floating(column.type):
        return False
    return not pc.all(pc.is_finite(column), min_count=0).as_py()
