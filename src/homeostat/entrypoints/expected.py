"""What the owner expects of every candidate, read from the configuration and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from homeostat.domain.casting import cast_column, unfolded
from homeostat.domain.errors import ConfigError, DataError, NotFoundError
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.files import read_file
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.expected import Changed, Expected, Value
from homeostat.entrypoints.settings.values import nearest
from homeostat.retraining.gate.behaviour import Change, Direction, Expectation

MOST_ROWS = 20_000
KINDS: Mapping[ColumnKind, pa.DataType] = {
    ColumnKind.NUMERIC: pa.float64(),
    ColumnKind.CATEGORICAL: pa.string(),
    ColumnKind.BOOLEAN: pa.bool_(),
}
PLAIN: Mapping[ColumnKind, type] = {
    ColumnKind.NUMERIC: float,
    ColumnKind.CATEGORICAL: str,
    ColumnKind.BOOLEAN: bool,
}


def expectations(settings: Settings, model: str) -> tuple[Expectation, ...]:
    """Return ``retraining.checks`` of a model, with their rows.

    Raises
    ------
    ConfigError
        If a file is not there or has other columns, or a feature is not known.
    """
    found = settings.model(model)
    if found.retraining is None:
        return ()
    made = (
        _Reader(settings, found.spec(), f"models.{found.name}.retraining.checks.{name}").made(
            name, part
        )
        for name, part in found.retraining.checks.items()
    )
    return tuple(made)


def with_expectations(settings: Settings, plan: ModelPlan) -> ModelPlan:
    """Return a plan whose gate asks what the owner expects; errors as `expectations`."""
    found = expectations(settings, plan.spec.name)
    if plan.retraining is None or not found:
        return plan
    return replace(plan, retraining=replace(plan.retraining, expected=found))


class _Reader:
    def __init__(self, settings: Settings, spec: ModelSpec, field: str) -> None:
        self.settings, self.spec, self.field = settings, spec, field

    def made(self, name: str, part: Expected) -> Expectation:
        low, high = part.range
        return Expectation(
            name,
            self._rows(part),
            low,
            high,
            tuple(self._change(column, change) for column, change in part.change.items()),
            Direction(part.score or Direction.SAME),
            part.tolerance,
            part.share,
        )

    def _rows(self, part: Expected) -> pa.Table | None:
        if part.rows is None:
            return None
        if isinstance(part.rows, str):
            try:
                table = read_file(self.settings.path(part.rows))
            except (DataError, NotFoundError) as error:
                raise self._wrong(str(error), "write the path relative to this file") from error
            if table.num_rows > MOST_ROWS:
                raise self._wrong(f"has {table.num_rows} rows", f"give at most {MOST_ROWS}")
        else:
            names = dict.fromkeys(name for row in part.rows for name in row)
            table = pa.table({name: self._column(part.rows, name) for name in names})
        return self._cast(table)

    def _column(self, part: Sequence[Mapping[str, Value | None]], name: str) -> pa.Array[Any]:
        try:
            return pa.array([row.get(name) for row in part])
        except pa.ArrowException as error:
            raise self._wrong(f"has values of several kinds for {name!r}", "use one") from error

    def _cast(self, table: pa.Table) -> pa.Table:
        for name in table.column_names:
            self._known(name)
        columns = {}
        for column in self.spec.schema.columns:
            kind = KINDS[column.kind]
            if column.name not in table.column_names:
                if not column.nullable:
                    raise self._wrong(f"has no {column.name!r}, which may not be missing", "add it")
                columns[column.name] = pa.chunked_array([pa.nulls(table.num_rows)]).cast(kind)
                continue
            given = unfolded(table[column.name])
            if pa.types.is_null(given.type):
                given = given.cast(kind)
            values, bad, reason = cast_column(given, kind)
            if bad.any():
                row = int(np.flatnonzero(bad)[0]) + 1
                raise self._wrong(f"row {row} has a wrong {column.name!r}: {reason}", "correct it")
            columns[column.name] = values
        return pa.table(columns)

    def _change(self, name: str, part: Changed) -> Change:
        kind = self._known(name)
        if part.set is None:
            if kind is not ColumnKind.NUMERIC:
                raise self._wrong(f"{name!r} is no number", "use set", "change", name)
            times = 1.0 if part.times is None else part.times
            return Change(name, None, times, 0.0 if part.add is None else part.add)
        if type(part.set) is not PLAIN[kind]:
            raise self._wrong(f"{name!r} is {kind}", "set a value of that kind", "change", name)
        return Change(name, part.set)

    def _known(self, name: str) -> ColumnKind:
        if name not in self.spec.schema.names:
            raise self._wrong(f"{name!r} is no feature", nearest(name, self.spec.schema.names))
        return self.spec.schema[name].kind

    def _wrong(self, problem: str, remedy: str, *below: str) -> ConfigError:
        field = ".".join((self.field, *below))
        return ConfigError(problem, remedy, str(self.settings.file), None, field)
