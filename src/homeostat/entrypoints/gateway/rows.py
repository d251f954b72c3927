"""Small requests as rows: checked and kept without making a table, which would cost more than both.

What is odd in any way goes the long way through `batch`, which finds out what is wrong with it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import ClassVar, NamedTuple, TypeVar, cast

import pyarrow as pa

from homeostat.adapters.models import Row
from homeostat.domain.admission import MAX_AHEAD
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.record import TIMESTAMP, feature_schema
from homeostat.entrypoints.gateway.batch import META, MOST_NAME
from homeostat.serving.constraints import Masks

T = TypeVar("T")

MOST = 32
NUMBER: pa.DataType = pa.float64()
NUMBERS: frozenset[object] = frozenset({float, int, type(None)})
TEXTS: frozenset[object] = frozenset({str, type(None)})
TRUTHS: frozenset[object] = frozenset({bool, type(None)})
EXACT = 2**53
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?(Z|\+00:00)")


class _Rows(NamedTuple):
    schema: pa.Schema
    values: Sequence[Row]
    ids: list[str]
    timestamps: list[datetime]
    entities: list[str]
    now: datetime


class RowBatch(_Rows):
    """A checked request as rows; otherwise like `Batch`.

    Attributes
    ----------
    schema : pyarrow.Schema
        `feature_schema` of the model.
    values : sequence of tuple
        One tuple a row, in the order of the schema.
    broken : dict
        Empty: a row with a broken value does not come here.
    """

    broken: ClassVar[Masks] = {}

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def keys(self) -> list[str]:
        """What the traffic split goes by."""
        return [entity or name for entity, name in zip(self.entities, self.ids, strict=True)]

    @cached_property
    def features(self) -> pa.Table:
        """The values as columns."""
        columns, kinds = list(zip(*self.values, strict=True)), self.schema.types
        # All numbers at once: making an array costs more than filling it.
        pairs = list(zip(columns, kinds, strict=True))
        numbers = _array(_chain(column for column, kind in pairs if kind == NUMBER), NUMBER)
        starts = itertools.count(0, self.size)
        arrays = [
            numbers.slice(next(starts), self.size) if kind == NUMBER else _array(column, kind)
            for column, kind in pairs
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    @cached_property
    def meta(self) -> pa.Table:
        """Ids, timestamps and entities as columns."""
        columns: list[pa.Array[pa.Scalar[pa.DataType]]] = [
            pa.array(self.ids, pa.string()),
            pa.array(self.timestamps, TIMESTAMP),
            pa.array(self.entities, pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=META)

    def some(self, rows: Sequence[int]) -> Sequence[Row]:
        """Return the values of some of the rows."""
        values = self.values
        return values if len(rows) == len(values) else [values[row] for row in rows]

    def take(self, rows: Sequence[int]) -> RowBatch:
        """Return some of the rows."""
        if len(rows) == self.size:
            return self
        return RowBatch(
            self.schema,
            self.some(rows),
            [self.ids[row] for row in rows],
            [self.timestamps[row] for row in rows],
            [self.entities[row] for row in rows],
            self.now,
        )


def joined(batches: Sequence[RowBatch]) -> RowBatch:
    """Return the rows of several requests for one model as one."""
    return RowBatch(
        batches[0].schema,
        _chain(batch.values for batch in batches),
        _chain(batch.ids for batch in batches),
        _chain(batch.timestamps for batch in batches),
        _chain(batch.entities for batch in batches),
        batches[0].now,
    )


class RowReader:
    """Reads the rows of small requests for one model.

    Parameters
    ----------
    spec : ModelSpec
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._model = spec.name
        self._schema = feature_schema(spec)
        self._names = tuple(self._schema.names)
        self._entity = spec.entity if spec.entity not in self._names else ""
        # An entity that is a feature too is read with the care that its type needs.
        self._able = bool(self._names) and (not spec.entity or bool(self._entity))
        beside = (*META.names, *([self._entity] if self._entity else []))
        self._beside = frozenset(beside)
        self._known = frozenset({*self._names, *beside})
        self._pick = _picker(self._names)
        kinds = [item.type for item in self._schema]
        self._numbers = [i for i, kind in enumerate(kinds) if kind == pa.float64()]
        self._others = [(i, _types(kind)) for i, kind in enumerate(kinds) if kind != pa.float64()]
        self._all_numbers = len(self._numbers) == len(self._names)
        places = {name: i for i, name in enumerate(self._names)}
        columns = [(places[column.name], column) for column in spec.schema.columns]
        self._required = [i for i, column in columns if not column.nullable]
        self._bounds = [
            (i, _or(column.minimum, -math.inf), _or(column.maximum, math.inf))
            for i, column in columns
            if column.kind is ColumnKind.NUMERIC
            and (column.minimum is not None or column.maximum is not None)
        ]
        self._lists = [
            (i, frozenset((*column.categories, None)))
            for i, column in columns
            if column.kind is ColumnKind.CATEGORICAL and column.categories is not None
        ]

    def read(
        self, rows: Sequence[Mapping[str, object]], now: datetime, stem: str
    ) -> RowBatch | None:
        """Return the batch; None if the rows are many, or odd in any way.

        Parameters
        ----------
        rows : sequence of mapping
            Field names to values, as JSON gives them.
        now : datetime
        stem : str
            As of `to_batch`.
        """
        if not self._able or len(rows) > MOST:
            return None
        values: list[Row] = []
        times: list[datetime] = []
        ids: list[str] = []
        entities: list[str] = []
        # As columns: where one row names its entity, that column counts for all.
        named_here = not self._entity
        for row in rows:
            named_here = named_here or "entity" in row
        for number, row in enumerate(rows):
            value = self._value(row)
            if value is None:
                return None
            get = row.get
            name, entity, time = get("prediction_id"), get("entity"), get("timestamp")
            own = get(self._entity) if self._entity else None
            at = now if time is None else _timestamp(time, now)
            if at is None or not {type(name), type(entity), type(own)} <= TEXTS:
                return None
            values.append(value)
            times.append(at)
            ids.append(name or f"{stem}{number:04x}")  # type: ignore[arg-type]
            who = entity if named_here else own
            entities.append(who or "")  # type: ignore[arg-type]
        if len(ids) > 1 and len(set(ids)) != len(ids):
            return None
        names = [*ids, *entities]
        if len("".join(names)) > MOST_NAME and max(map(len, names)) > MOST_NAME:
            return None  # together they are short as a rule, and that is known quickly
        return RowBatch(self._schema, values, ids, times, entities, now)

    def _value(self, row: Mapping[str, object]) -> Row | None:
        try:
            value = self._pick(row)
        except KeyError:  # not all are given
            value = tuple(map(row.get, self._names))
            known = self._known.issuperset(row)
        else:
            beside = len(row) - len(value)
            known = not beside or beside == len(self._beside.intersection(row))
        return value if known and self._plain(value) else None

    def _plain(self, row: Row) -> bool:
        if not self._numeric(row):
            return False
        for place, types in self._others:
            if type(row[place]) not in types:
                return False
        for place in self._required:
            if row[place] is None:
                return False
        lists = self._lists
        return not lists or all(row[place] in allowed for place, allowed in lists)

    def _numeric(self, row: Row) -> bool:
        numbers = row if self._all_numbers else [row[place] for place in self._numbers]
        types = set(map(type, numbers))
        if not types <= NUMBERS:
            return False
        present: Sequence[float] = numbers  # type: ignore[assignment]
        if type(None) in types:
            present = list(filter(None, present))  # zeros add nothing either
        # A sum is finite only if all are; where it overflows, the long way finds nothing wrong.
        if not math.isfinite(sum(present)):
            return False
        if int in types and not all(-EXACT <= v <= EXACT for v in present if isinstance(v, int)):
            return False
        for place, low, high in self._bounds:
            value = cast("float | None", row[place])
            if value is not None and not low <= value <= high:
                return False
        return True


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array[pa.Scalar[pa.DataType]]:
    return pa.array(values, kind)


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, object]], Row]:
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names) if names else lambda _: ()


def _timestamp(given: object, now: datetime) -> datetime | None:
    if given is None:
        return now
    if not isinstance(given, str) or UTC_TIME.fullmatch(given) is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        return None
    return found if found <= now + MAX_AHEAD else None


def _types(kind: pa.DataType) -> frozenset[object]:
    return TRUTHS if kind == pa.bool_() else TEXTS


def _or(bound: float | None, otherwise: float) -> float:
    return otherwise if bound is None else bound


def _chain(lists: Iterable[Sequence[T]]) -> list[T]:
    return list(chain.from_iterable(lists))
