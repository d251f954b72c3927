"""Requests as columns: checked precisely, with ids, entities and timestamps filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from homeostat.domain.admission import MAX_AHEAD
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import TIMESTAMP, feature_schema
from homeostat.serving.constraints import Masks, violations

TEXT: pa.DataType = pa.string()
META = pa.schema([("prediction_id", TEXT), ("timestamp", TIMESTAMP), ("entity", TEXT)])
Column: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"

MOST_NAME = 1000
"""Characters of an entity or a prediction id: they are kept in memory, by the thousand."""

EXPECTED = {
    pa.float64(): "a number",
    pa.string(): "a text",
    pa.bool_(): "true or false",
    TIMESTAMP: "a time with zone such as 2024-05-01T12:00:00Z",
}


class InputError(DataError):
    """A request that cannot be taken; `row` (from 0) and `column` tell where, as far as known."""

    def __init__(self, problem: str, row: int | None = None, column: str = "") -> None:
        self.row, self.column, self.problem = row, column, problem
        where = [f"row {row}"] if row is not None else []
        where += [f"column {column!r}"] if column else []
        super().__init__(f"{', '.join(where)}: {problem}" if where else problem)


@dataclass(frozen=True)
class Batch:
    """A checked request as columns.

    Attributes
    ----------
    features : pyarrow.Table
        `feature_schema` of the model.
    meta : pyarrow.Table
        ``prediction_id``, ``timestamp`` and ``entity`` (empty where there is none), without nulls.
    now : datetime
        When the request came in.
    broken : dict of column to ndarray of bool
        Values that break the schema's constraints.
    """

    features: pa.Table
    meta: pa.Table
    now: datetime
    broken: Masks

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.features.num_rows

    @cached_property
    def entities(self) -> list[str]:
        """Who each row is about."""
        return texts(self.meta, "entity")

    @cached_property
    def ids(self) -> list[str]:
        """Prediction ids."""
        return texts(self.meta, "prediction_id")

    @property
    def keys(self) -> list[str]:
        """What the traffic split goes by."""
        return [entity or name for entity, name in zip(self.entities, self.ids, strict=True)]

    def take(self, rows: Sequence[int]) -> Batch:
        """Return some of the rows."""
        chosen = pa.array(rows, pa.int64())
        masks = {name: mask[rows] for name, mask in self.broken.items()}
        return Batch(self.features.take(chosen), self.meta.take(chosen), self.now, masks)


def rows_to_table(spec: ModelSpec, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Turn JSON rows into columns.

    Raises
    ------
    InputError
        Naming the row and the column, if a name is unknown or a value has the wrong type.
    """
    types = _types(spec)
    named: set[str] = set()
    for row in rows:  # one by one: other threads get their turn
        if not row.keys() <= named:
            named.update(row)
    unknown = named - types.keys()
    if unknown:
        name = min(unknown)
        place = next(i for i, values in enumerate(rows) if name in values)
        raise InputError(f"no such field; there are {', '.join(types)}", place, name)
    # Rows in which nothing is given are rows all the same: a column keeps their number.
    named = named or set(list(types)[:1])
    return pa.table(
        {
            name: _column(name, kind, [row.get(name) for row in rows])
            for name, kind in types.items()
            if name in named
        }
    )


def columns_to_table(spec: ModelSpec, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    """Turn columns of values, as JSON gives them, into a table; raises as `rows_to_table`."""
    types = _types(spec)
    for name in columns:
        if name not in types:
            raise InputError(f"no such field; there are {', '.join(types)}", column=name)
    return pa.table(
        {name: _column(name, types[name], list(values)) for name, values in columns.items()}
    )


def to_batch(spec: ModelSpec, table: pa.Table, now: datetime, stem: str) -> Batch:
    """Check columns against the model's schema and fill in what the caller left out.

    Parameters
    ----------
    spec : ModelSpec
    table : pyarrow.Table
        Features, and optionally ``prediction_id``, ``timestamp``, ``entity`` and the audit flag.
        Absent nullable columns are missing values.
    now : datetime
    stem : str
        Differs between requests; prediction ids begin with it where the caller gives none.

    Raises
    ------
    InputError
        If a column is unknown, absent, of the wrong type, or has a missing value that it may not,
        a timestamp lies so far in the future that the prediction log would not take the row, or an
        entity or id is longer than `MOST_NAME`.
    """
    types = _types(spec)
    for name in table.column_names:
        if name not in types:
            raise InputError(f"no such field; there are {', '.join(types)}", column=name)
    features = _conform(table, feature_schema(spec))
    for column in spec.schema.columns:
        if not column.nullable and features[column.name].null_count:
            row = features[column.name].is_null().to_pylist().index(True)
            raise InputError("a value is required", row, column.name)
    meta = _meta(spec, table, now, stem)
    return Batch(features, meta, now, violations(spec.schema, features))


def named(ids: Sequence[str | None], stem: str) -> list[str]:
    """Return the ids, made up where the caller gave none."""
    return [name or f"{stem}{row:04x}" for row, name in enumerate(ids)]


def texts(table: pa.Table, name: str) -> list[str]:
    """Return a text column as a list, missing values as empty texts."""
    return [value or "" for value in table[name].to_pylist()]


def _types(spec: ModelSpec) -> dict[str, pa.DataType]:
    types = {item.name: item.type for item in (*feature_schema(spec), *META)}
    if spec.entity:
        types.setdefault(spec.entity, pa.string())
    return types


def _column(name: str, kind: pa.DataType, values: list[object]) -> pa.Array[pa.Scalar[pa.DataType]]:
    try:
        return _array(kind, values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for row, value in enumerate(values):
            try:
                _array(kind, [value])
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                shown = repr(value)
                shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
                raise InputError(f"{shown} is not {EXPECTED[kind]}", row, name) from None
        raise


def _array(kind: pa.DataType, values: list[object]) -> pa.Array[pa.Scalar[pa.DataType]]:
    if kind == pa.float64() and bool in set(map(type, values)):
        raise TypeError("a truth value is no number")
    if kind == TIMESTAMP:
        return pa.array(values, pa.string()).cast(TIMESTAMP)
    return pa.array(values, kind)


def _conform(table: pa.Table, fields: pa.Schema) -> pa.Table:
    if set(fields.names) <= set(table.column_names):
        chosen = table.select(fields.names)
        if chosen.schema.equals(fields):
            return chosen
    columns = [_cast(table, item.name, item.type) for item in fields]
    return pa.Table.from_arrays(columns, schema=fields)


def _cast(table: pa.Table, name: str, kind: pa.DataType) -> Column:
    if name not in table.column_names:
        return pa.chunked_array([pa.array([None] * table.num_rows, kind)])
    try:
        return table[name].cast(kind)
    except pa.ArrowException as error:
        raise InputError(f"is not {EXPECTED[kind]}: {error}", column=name) from error


def _meta(spec: ModelSpec, table: pa.Table, now: datetime, stem: str) -> pa.Table:
    who = "entity"
    if "entity" not in table.column_names and spec.entity in table.column_names:
        who = spec.entity
        table = table.append_column("entity", _cast(table, spec.entity, pa.string()))
    given = _conform(table, META)
    for column, shown in (("prediction_id", "prediction_id"), ("entity", who)):
        row = pc.index(
            pc.greater(pc.utf8_length(given[column]), pa.scalar(MOST_NAME)), True
        ).as_py()
        if row >= 0:
            raise InputError(f"has more than {MOST_NAME} characters", row, shown)
    entities, ids = texts(given, "entity"), texts(given, "prediction_id")
    ids = named(ids, stem)
    if len(set(ids)) != len(ids):
        row = next(i for i, name in enumerate(ids) if name in ids[:i])
        raise InputError(f"{ids[row]!r} occurs twice in this request", row, "prediction_id")
    latest = pa.scalar(now + MAX_AHEAD, TIMESTAMP)
    row = pc.index(pc.greater(given["timestamp"], latest), True).as_py()
    if row >= 0:
        minutes = MAX_AHEAD.total_seconds() / 60
        problem = f"lies more than {minutes:.0f} minutes in the future; are the clocks right?"
        raise InputError(problem, row, "timestamp")
    timestamps = given["timestamp"].fill_null(pa.scalar(now, TIMESTAMP))
    return pa.table([pa.array(ids), timestamps, pa.array(entities)], schema=META)
