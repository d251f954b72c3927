"""Rows of a file as the log takes them; a row that does not fit is told with its column."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.datasets.plain import Batch
from homeostat.domain.model import ColumnKind, ModelSpec, Task
from homeostat.domain.record import (
    OUTCOME_SCHEMA,
    PROBABILITIES,
    TIMESTAMP,
    prediction_schema,
)
from homeostat.entrypoints.http.columns import LISTED, complete, impossible
from homeostat.entrypoints.imports.naming import Naming, Rows
from homeostat.entrypoints.imports.times import REASON, Times
from homeostat.entrypoints.imports.values import (
    Column,
    Read,
    classes,
    flags,
    likeliest,
    lists,
    numbers,
    plain,
    texts,
)

Reader: TypeAlias = "tuple[Callable[[Column], Read], str]"
"""What reads a column, and what its values must be."""
SHOWN = 40


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not taken: where it stands in its file, which column, why, and as JSON."""

    row: int
    column: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows on their way into the log.

    Attributes
    ----------
    table : pyarrow.Table
        As `FilePredictionLog.append` or `append_labels` takes them.
    places : ndarray of int64
        Where each of them stands in its file, from 0.
    refused : tuple of Refused
    left_out : int
        Rows that say nothing: without a label, or calls that failed.
    """

    table: pa.Table
    places: NDArray[np.int64]
    refused: tuple[Refused, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Usual:
    """What rows are given that do not say it themselves.

    Attributes
    ----------
    version : str
        Model version; empty: rows must name it.
    prefix : str
        Of the ids of predictions that have none: it is followed by their place in the file.
    arrival : datetime
        When labels became known.
    """

    version: str
    prefix: str
    arrival: datetime


def unread(batch: Batch) -> tuple[Refused, ...]:
    """Return the rows of a batch that have no columns."""
    return tuple(Refused(one.row, "", one.reason, _json(one.text)) for one in batch.unread)


@dataclass
class _Reading:
    """Columns of a batch as they are read, and what is wrong with its rows."""

    batch: Batch
    columns: dict[str, Column] = field(default_factory=dict)
    sources: dict[str, Column] = field(default_factory=dict)
    problems: dict[int, tuple[str, str]] = field(default_factory=dict)

    def read(self, name: str, source: str, reader: Reader) -> None:
        column = plain(self.batch.table.column(source))
        values, bad = _attempt(reader[0], column)
        self.columns[name], self.sources[name] = values, column
        self.note(name, bad, reader[1])

    def note(self, name: str, bad: NDArray[np.bool_], must: str) -> None:
        for row in np.flatnonzero(bad).tolist():
            if row not in self.problems:
                given = _value(self.sources[name][row]) if name in self.sources else None
                said = "is missing" if given is None else f"must be {must}, not {_shown(given)}"
                self.problems[row] = name, said

    def refused(self) -> tuple[Refused, ...]:
        """Return the bad rows as they are kept: what could be read of them, and what not."""
        rows = self.batch.rows
        found = list(unread(self.batch))
        for row, (name, reason) in self.problems.items():
            kept = {n: _value(column[row]) for n, column in self.columns.items()}
            kept = {n: value for n, value in kept.items() if value is not None}
            if name in self.sources:
                kept[name] = _value(self.sources[name][row])
            found.append(Refused(int(rows[row]), name, reason, _json(kept)))
        return tuple(sorted(found, key=lambda one: one.row))

    def good(self, beside: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Return which rows have no problem, and are none of `beside`."""
        good = np.ones(len(self.batch.rows), np.bool_)
        good[list(self.problems)] = False
        return good if beside is None else good & ~beside


def convert(
    spec: ModelSpec, rows: Rows, naming: Naming, batch: Batch, times: Times, usual: Usual
) -> Piece:
    """Read a batch of a file.

    Parameters
    ----------
    spec : ModelSpec
    rows : Rows
    naming : Naming
        Which column is which.
    batch : Batch
    times : Times
        How times are read.
    usual : Usual
    """
    reading = _Reading(batch)
    readers = _readers(spec, rows, times)
    for ours, theirs in naming.columns.items():
        if theirs in batch.table.column_names:
            reading.read(ours, theirs, readers[ours])
    if rows is Rows.PREDICTIONS:
        return _predictions(spec, reading, usual)
    _fill(reading, "arrival", pa.scalar(usual.arrival, TIMESTAMP))
    return _labels(reading) if rows is Rows.LABELS else _outcomes(spec, reading)


def _readers(spec: ModelSpec, rows: Rows, times: Times) -> Mapping[str, Reader]:
    text: Reader = texts, "text"
    number: Reader = numbers, "a number"
    time: Reader = times.read, REASON.removeprefix("must be ")
    named = f"one of {', '.join(spec.classes)}" if spec.classes else "a number"
    of_class: Reader = (lambda column: classes(spec, column)), named
    kinds: dict[ColumnKind, Reader] = {
        ColumnKind.NUMERIC: number,
        ColumnKind.CATEGORICAL: text,
        ColumnKind.BOOLEAN: (flags, "true or false"),
    }
    if rows is not Rows.PREDICTIONS:
        known = {"prediction_id": text, "label": of_class, "arrival": time, "outcome": text}
        return known | dict.fromkeys(("value", *spec.outcomes), number)
    found = dict.fromkeys(prediction_schema(spec).names, text)
    found |= {"timestamp": time, "prediction": of_class, "score": number}
    found |= dict.fromkeys(("latency_ms", "arm_share"), number)
    if spec.task is Task.MULTICLASS:
        found["score"] = of_class
        found[PROBABILITIES] = (lambda column: lists(spec, column)), "a list, one number a class"
    found |= {column.name: kinds[column.kind] for column in spec.schema.columns}
    audit = spec.labels.audit
    if audit is not None:
        found[audit.column] = kinds[ColumnKind.BOOLEAN]
    return found


def _predictions(spec: ModelSpec, reading: _Reading, usual: Usual) -> Piece:
    columns, batch = reading.columns, reading.batch
    if "prediction_id" not in columns:
        ids = [f"{usual.prefix}{row}" for row in batch.rows.tolist()]
        columns["prediction_id"] = pa.chunked_array([pa.array(ids, pa.string())])
    _fill(reading, "version", pa.scalar(usual.version or None, pa.string()))
    _answer(spec, reading)
    for name in ("prediction_id", "timestamp", "version", "score"):
        reading.note(name, _missing(columns[name]), "there")
    for name, listed in LISTED.items():
        if name in columns:
            reading.note(name, impossible(name, columns[name]), f"one of {listed}")
    good = reading.good()
    table = complete(spec, pa.table(columns).filter(pa.array(good)))
    return Piece(table, batch.rows[good], reading.refused())


def _answer(spec: ModelSpec, reading: _Reading) -> None:
    """Let score and prediction follow from each other, and from the probabilities of classes."""
    columns = reading.columns
    if spec.task is Task.BINARY:
        return
    given = [columns[name] for name in ("prediction", "score") if name in columns]
    if PROBABILITIES in columns:
        given.append(likeliest(columns[PROBABILITIES]))
    said: Column = pc.coalesce(*given)
    for name in ("prediction", "score"):
        columns[name] = pc.coalesce(columns[name], said) if name in columns else said


def _labels(reading: _Reading) -> Piece:
    columns = reading.columns
    none = _missing(columns["label"])
    silent = reading.good(none) != reading.good()
    reading.note("prediction_id", _missing(columns["prediction_id"]) & ~none, "there")
    good = reading.good(none)
    table = pa.table(columns).filter(pa.array(good))
    return Piece(table, reading.batch.rows[good], reading.refused(), int(silent.sum()))


def _outcomes(spec: ModelSpec, reading: _Reading) -> Piece:
    """Take a row of an outcome's name and value, or a row with a column for each outcome."""
    columns, batch = reading.columns, reading.batch
    reading.note("prediction_id", _missing(columns["prediction_id"]), "there")
    wide = [name for name in spec.outcomes if name in columns]
    found: list[tuple[Column, Column]] = []
    if "value" in columns:
        known = pc.is_in(columns["outcome"], pa.array(spec.outcomes, pa.string()))
        must = f"one of {', '.join(spec.outcomes)}"
        reading.note("outcome", ~np.asarray(known, np.bool_), must)
        found.append((columns["outcome"], columns["value"]))
    for name in wide:
        named = pa.chunked_array([pa.repeat(pa.scalar(name), len(batch.rows))])
        found.append((named, columns[name]))
    tables, places = [OUTCOME_SCHEMA.empty_table()], [batch.rows[:0]]
    said = np.zeros(len(batch.rows), np.bool_)
    for outcome, value in found:
        there = reading.good(_missing(value))
        said |= there
        parts = (columns["prediction_id"], value, columns["arrival"], outcome)
        tables.append(pa.table(parts, schema=OUTCOME_SCHEMA).filter(pa.array(there)))
        places.append(batch.rows[there])
    silent = int((reading.good() & ~said).sum())
    return Piece(pa.concat_tables(tables), np.concatenate(places), reading.refused(), silent)


def _fill(reading: _Reading, name: str, value: Any) -> None:  # noqa: ANN401 - an Arrow scalar
    """Give rows without it a value, if it is one; those that could not be read stay as they are."""
    columns = reading.columns
    usual: Column = pa.chunked_array([pa.repeat(value, len(reading.batch.rows))])
    columns[name] = pc.coalesce(columns[name].cast(value.type), usual) if name in columns else usual


def _attempt(reader: Callable[[Column], Read], column: Column) -> Read:
    try:
        return reader(column)
    except (pa.ArrowException, ArithmeticError, LookupError, ValueError):
        # A type that nobody thought of: nothing of the column can be used.
        none = pa.chunked_array([pa.nulls(len(column))])
        return none, np.asarray(column.is_valid().to_numpy(), np.bool_)


def _missing(column: Column) -> NDArray[np.bool_]:
    values = np.asarray(column.is_null(nan_is_null=True).to_numpy(), np.bool_)
    if pa.types.is_string(column.type):
        empty = pc.fill_null(pc.equal(column, pa.scalar("")), pa.scalar(True))
        values = values | np.asarray(empty, np.bool_)
    return values


def _value(scalar: pa.Scalar[Any]) -> object:
    """Return what a value is in Python, or its type and number if Python has none like it."""
    try:
        return scalar.as_py()
    except (pa.ArrowException, ArithmeticError, LookupError, ValueError):
        # A date of the year 200000, a zone that nobody knows.
        return f"{scalar.type} {getattr(scalar, 'value', '')}".rstrip()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _json(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
