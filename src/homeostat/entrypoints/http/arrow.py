"""Arrow IPC streams as rows: any layout of a type is taken, and a bad value costs its row only."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.casting import Values, as_objects, cast_column, is_text, unfolded
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import LABEL_SCHEMA, PROBABILITIES, TIMESTAMP, prediction_schema
from homeostat.domain.refusal import MOST_REFUSED, too_many
from homeostat.engine.ports import Rejected
from homeostat.entrypoints.http.columns import LISTED, complete, impossible
from homeostat.entrypoints.http.ipc import stream_size
from homeostat.entrypoints.http.problem import ProblemError
from homeostat.entrypoints.http.rows import Rows, read_predictions, unknown_column

LAYOUTS = 256
USUAL_SCHEMA = 2**16
"""Bytes of a schema up to which what was found about it is remembered."""
CONTINUATION = b"\xff" * 4
GROWTH = 4
"""How many times the largest body rows may take as the log has them."""
CLASSES = ("score", "prediction", PROBABILITIES)
OUTCOME_TYPES: dict[str, pa.DataType] = {
    "prediction_id": pa.string(),
    "outcome": pa.string(),
    "value": pa.float64(),
    "arrival": TIMESTAMP,
}
SMALLER = "send fewer rows at a time, or raise server.max_request_mb"


def read_arrow(spec: ModelSpec, field: str, body: bytes, now: datetime, limit: int) -> Rows:
    """Return the rows of a stream; those that do not fit are set aside, their neighbours go on.

    Parameters
    ----------
    spec : ModelSpec
    field : str
        ``predictions``, ``labels`` or ``outcomes``.
    body : bytes
    now : datetime
        Arrival of labels that name none.
    limit : int
        Bytes that the stream may take decompressed.

    Raises
    ------
    ProblemError
        400 if it is no stream, 413 if it is too large, 422 if a column is there twice, or has a
        type that nobody can take.
    DataError
        If more than `MOST_REFUSED` rows do not fit.
    """
    types = _types(spec, field)
    sent = _table(body, limit, len(types))
    try:
        return _rows(spec, field, sent, types, now)
    except pa.ArrowException as error:
        said = f"the {field} cannot be read: {error}"
        raise ProblemError(422, said, "send plain texts, numbers and times") from None


def _rows(
    spec: ModelSpec, field: str, sent: pa.Table, types: Mapping[str, pa.DataType], now: datetime
) -> Rows:
    unknown = next((name for name in sent.column_names if name not in types), None)
    found = _Columns(sent)
    if unknown is not None:
        found.refuse(np.ones(len(sent), np.bool_), unknown, unknown_column(types))
        return found.rows()
    if field == "predictions":
        if spec.task is Task.MULTICLASS:
            return _of_classes(spec, found, types, now)
        found.cast(types)
        found.table = complete(spec, found.table)
        for name, listed in LISTED.items():
            strange = impossible(name, found.table.column(name))
            found.refuse(strange, name, f"must be one of {listed}")
        return found.rows()
    if field == "labels":
        if spec.task is not Task.REGRESSION:
            found.count("label")
            found.name(spec)
    else:
        found.count("value")
        found.choose("outcome", spec.outcomes)
    found.cast(types)
    found.arrive(now)
    return found.rows({"value": "label"})


def _types(spec: ModelSpec, field: str) -> dict[str, pa.DataType]:
    if field == "outcomes":
        return OUTCOME_TYPES
    schema = LABEL_SCHEMA if field == "labels" else prediction_schema(spec)
    kinds: list[pa.DataType] = schema.types
    return dict(zip(map(str, schema.names), kinds, strict=True))


def _of_classes(
    spec: ModelSpec, found: _Columns, types: Mapping[str, pa.DataType], now: datetime
) -> Rows:
    """Read rows whose classes may be given by name as JSON rows are read."""
    found.cast({name: kind for name, kind in types.items() if name not in CLASSES})
    for name in CLASSES:
        column = found.column(name)
        if column is not None:
            found.put(name, unfolded(column))
    good = found.rows()
    read = read_predictions(spec, as_objects(good.table, range(len(good.table))), now)
    more = [Rejected(good.places[r.row], r.column, r.reason) for r in read.rejected]
    kept = {good.places[row]: item for row, item in read.originals.items()}
    rejected = sorted((*good.rejected, *more), key=lambda entry: entry.row)
    if len(rejected) > MOST_REFUSED:
        raise too_many((entry.row, entry.column, entry.reason) for entry in rejected)
    places = tuple(good.places[place] for place in read.places)
    return Rows(read.table, places, tuple(rejected), {**good.originals, **kept})


@dataclass
class _Columns:
    """Columns on their way into the log, and which rows cannot go with them."""

    sent: pa.Table
    table: pa.Table = field(init=False)
    bad: dict[int, tuple[str, str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.table = self.sent

    def column(self, name: str) -> Values | None:
        place = self.table.schema.get_field_index(name)
        return self.table.column(place) if place >= 0 else None

    def put(self, name: str, column: Values) -> None:
        place = self.table.schema.get_field_index(name)
        if place < 0:
            self.table = self.table.append_column(name, column)
        else:
            self.table = self.table.set_column(place, name, column)

    def refuse(self, wrong: NDArray[np.bool_], column: str, reason: str) -> None:
        """Set rows aside; the first reason counts. Raises DataError if they are too many."""
        for row in np.flatnonzero(wrong).tolist():
            self.bad.setdefault(row, (column, reason))
            if len(self.bad) > MOST_REFUSED:
                raise too_many((row, *said) for row, said in sorted(self.bad.items()))

    def cast(self, types: Mapping[str, pa.DataType]) -> None:
        schema = self.table.schema
        for name, found in zip(schema.names, schema.types, strict=True):
            kind = types.get(name)
            if kind is not None and found != kind:
                made, bad, reason = cast_column(self.table.column(name), kind)
                self.put(name, made)
                self.refuse(bad, name, reason)

    def choose(self, name: str, allowed: Sequence[str]) -> None:
        """Refuse other texts than these, and missing ones."""
        if self.column(name) is None:
            self.put(name, pa.chunked_array([pa.nulls(len(self.sent), pa.string())]))
        self.cast({name: pa.string()})
        known = pc.is_in(self.table.column(name), pa.array(allowed, pa.string()))
        listed = ", ".join(allowed) or "none that there is"
        self.refuse(~np.asarray(known, np.bool_), name, f"must be one of {listed}")

    def count(self, name: str) -> None:
        """Make true and false numbers."""
        column = self.column(name)
        if column is not None:
            plain = unfolded(column)
            if pa.types.is_boolean(plain.type):
                self.put(name, cast("Values", plain.cast(pa.float64())))

    def name(self, spec: ModelSpec) -> None:
        """Make class names class indices."""
        column = self.column("label")
        if column is None:
            return
        plain = unfolded(column)
        if is_text(plain.type):
            found = pc.index_in(plain, pa.array(spec.classes, pa.string()))
            unknown = np.asarray(found.is_null(), np.bool_) & np.asarray(plain.is_valid(), np.bool_)
            names = ", ".join(spec.classes) or "0 and 1"
            self.refuse(unknown, "label", f"unknown class; there are {names}")
            self.put("label", cast("Values", found.cast(pa.float64())))

    def arrive(self, now: datetime) -> None:
        """Let rows that do not say when they arrived arrive now."""
        moment: Values = pa.chunked_array([pa.repeat(pa.scalar(now, TIMESTAMP), len(self.sent))])
        given = self.column("arrival")
        self.put("arrival", moment if given is None else pc.coalesce(given, moment))

    def rows(self, names: Mapping[str, str] | None = None) -> Rows:
        """Return the rows with columns renamed, refused ones aside as they were sent."""
        table = self.table
        if names:
            table = table.rename_columns([names.get(name, name) for name in table.column_names])
        if not self.bad:
            return Rows(table, tuple(range(len(table))), ())
        wrong = sorted(self.bad)
        good = np.ones(len(table), np.bool_)
        good[wrong] = False
        originals = dict(zip(wrong, as_objects(self.sent, wrong), strict=True))
        places = tuple(np.flatnonzero(good).tolist())
        rejected = tuple(Rejected(row, *self.bad[row]) for row in wrong)
        return Rows(table.filter(pa.array(good)), places, rejected, originals)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a stream's schema says: all of one sender's streams have the same."""

    names: tuple[str, ...]
    folded: tuple[int, ...]
    problem: tuple[str, str, str] | None


def _table(body: bytes, limit: int, width: int) -> pa.Table:
    try:
        size = stream_size(body)
        if size.bytes > limit or size.values > limit or size.rows * 8 * width > GROWTH * limit:
            raise ProblemError(413, "the rows take too much memory once decompressed", SMALLER)
        layout = _layout_of(body)
        if layout.problem is not None:
            said, remedy, name = layout.problem
            raise ProblemError(422, said, remedy, name)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        texts = sum(_text_bytes(table.column(place)) for place in layout.folded)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = f"the body is no Arrow IPC stream: {error}"
        raise ProblemError(400, said, "send the whole stream") from None
    if texts + 8 * table.num_rows * width > GROWTH * limit:
        raise ProblemError(413, "the rows take too much memory once looked up", SMALLER)
    return table


def _layout_of(body: bytes) -> _Layout:
    """Return what the stream's first message, its schema, says.

    Four bytes of ones, which the oldest streams do not have, then the message's size.
    """
    start = 8 if body[:4] == CONTINUATION else 4
    prefix = body[: start + int.from_bytes(body[start - 4 : start], "little")]
    return _layout(prefix) if len(prefix) <= USUAL_SCHEMA else _layout.__wrapped__(prefix)


@functools.lru_cache(maxsize=LAYOUTS)
def _layout(prefix: bytes) -> _Layout:
    schema = pa.ipc.read_schema(pa.py_buffer(prefix))
    names = tuple(schema.names)
    for kind in schema.types:
        _check_texts(kind)
    folded = tuple(place for place, kind in enumerate(schema.types) if _folded(kind))
    problem = None
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        problem = (f"there are two columns {twice!r}", "name each once", twice)
    else:
        for name, kind in zip(names, schema.types, strict=True):
            if _awkward(kind):
                said = f"column {name!r} is {kind}"
                problem = (said, "send plain values, or lists of them", name)
                break
    return _Layout(names, folded, problem)


def _check_texts(kind: pa.DataType) -> None:
    """Raise UnicodeDecodeError here, not later, if a zone or an inner name is no text."""
    if isinstance(kind, pa.TimestampType):
        str(kind.tz)
    if isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
        _check_texts(kind.value_type)
        return
    for place in range(kind.num_fields):
        part = kind.field(place)
        str(part.name)
        _check_texts(part.type)


def _folded(kind: pa.DataType) -> bool:
    """Whether one value in memory may stand for many rows, and `unfolded` makes them plain."""
    return bool(
        pa.types.is_dictionary(kind)
        or pa.types.is_run_end_encoded(kind)
        or pa.types.is_string_view(kind)
    )


def _awkward(kind: pa.DataType) -> bool:
    """Whether values may be shared in a way that is not looked through: within others, or odd."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        inner = kind.value_type
        return bool(not pa.types.is_string_view(inner) and (_folded(inner) or _awkward(inner)))
    shared = (
        pa.types.is_union(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )
    return bool(shared) or any(_folded(part) or _awkward(part) for part in _parts(kind))


def _parts(kind: pa.DataType) -> Iterable[pa.DataType]:
    if isinstance(kind, pa.BaseExtensionType):
        return (kind.storage_type,)
    return (kind.field(place).type for place in range(kind.num_fields))


def _text_bytes(column: Values) -> int:
    """Return how many bytes the texts of a folded column are, row by row."""
    return sum(_texts_of(chunk) for chunk in column.chunks)


def _texts_of(chunk: pa.Array[Any]) -> int:
    if isinstance(chunk, pa.DictionaryArray):
        used = chunk.indices.drop_null().cast(pa.int64())
        times = np.bincount(np.asarray(used), minlength=len(chunk.dictionary))
        return int(times @ _lengths(chunk.dictionary))
    if isinstance(chunk, pa.RunEndEncodedArray):
        ends = np.asarray(chunk.run_ends, np.int64)
        return int((ends - np.concatenate(([0], ends[:-1]))) @ _lengths(chunk.values))
    return int(_lengths(chunk).sum())


def _lengths(values: pa.Array[Any]) -> NDArray[np.int64]:
    """Return the bytes of each text; of other values, eight."""
    kind = values.type
    if pa.types.is_string_view(kind):
        views = values.buffers()[1]
        start = values.offset
        sizes = np.frombuffer(memoryview(views or b""), "<i4")[::4][start : start + len(values)]
        return np.where(np.asarray(values.is_valid()), sizes, 0).astype(np.int64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        plain = cast("pa.StringArray", values)
        return np.asarray(pc.binary_length(plain).fill_null(0), np.int64)
    return np.full(len(values), 8, np.int64)
