"""Tables in which Databricks and MLflow keep served requests, one call a row, as predictions.

Two layouts are known: ``timestamp_ms``, ``execution_time_ms`` and ``request_metadata`` of the
older one, ``request_time``, ``execution_duration_ms`` and ``served_entity_id`` of the newer one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa

from homeostat.adapters.datasets.plain import Batch
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec
from homeostat.entrypoints.http.rows import read_predictions
from homeostat.entrypoints.imports.convert import Piece, Refused, Usual, unread
from homeostat.entrypoints.imports.naming import listed
from homeostat.entrypoints.imports.times import REASON, Times
from homeostat.entrypoints.imports.values import plain
from homeostat.entrypoints.payloads import Body, Row, join, parse_body

TIMES = ("request_time", "timestamp_ms", "timestamp")
DURATIONS = ("execution_duration_ms", "execution_time_ms")
IDS = ("databricks_request_id", "client_request_id")
BODIES = ("request", "response")
FINE = 200
MOST_ANSWERS = 100_000
"""Rows that one call may ask for: a single line of a table must not fill the memory."""


def check_table(names: list[str]) -> None:
    """Raise DataError unless these columns are those of a table of served requests."""
    for one_of in (("request",), ("response",), TIMES, IDS):
        if not any(name in names for name in one_of):
            said = f"no column says {' or '.join(one_of)}"
            raise DataError(f"{said}: this is no inference table; there are {listed(names)}")


def convert_calls(
    spec: ModelSpec, batch: Batch, times: Times, usual: Usual, key: str, now: datetime
) -> Piece:
    """Read calls; a call that failed is left out, and one that cannot be read is refused.

    Parameters
    ----------
    spec : ModelSpec
    batch : Batch
        Rows of the table.
    times : Times
        How times without a zone are read.
    usual : Usual
        Version of calls that name none.
    key : str
        Column with the ids of calls; empty: Databricks' own.
    now : datetime
    """
    table = batch.table
    names = table.column_names
    time = plain(table.column(next(name for name in TIMES if name in names)))
    moments, _ = times.read(time)
    ids = [key] if key else [name for name in IDS if name in names]
    rows: list[Row] = []
    places: list[int] = []
    refused = list(unread(batch))
    left_out = 0
    for at, call in enumerate(_calls(table)):
        place = int(batch.rows[at])
        if _number(call.get("status_code"), FINE) != FINE:
            left_out += 1
            continue
        try:
            answers = _answers(spec, call, ids, moments[at].as_py(), usual)
        except _WrongError as wrong:
            refused.append(Refused(place, wrong.column, wrong.reason, _kept(call)))
            continue
        rows += answers
        places += [place] * len(answers)
    read = read_predictions(spec, rows, now)
    for entry in read.rejected:
        text = json.dumps(read.originals[entry.row], default=str)
        refused.append(Refused(places[entry.row], entry.column, entry.reason, text))
    kept = np.asarray(places, np.int64)[np.asarray(read.places, np.intp)]
    refused.sort(key=lambda one: one.row)
    return Piece(read.table, kept, tuple(refused), left_out)


class _WrongError(Exception):
    """A call cannot be read: which of its columns, and why."""

    def __init__(self, column: str, reason: str) -> None:
        self.column, self.reason = column, reason
        super().__init__(reason)


def _calls(table: pa.Table) -> list[dict[str, object]]:
    """Return the columns that are needed, a mapping each row."""
    wanted = {"status_code", "request_metadata", "model_version", "served_entity_id",
              "logging_error_codes", *DURATIONS, *IDS, *BODIES}  # fmt: skip
    return table.select([n for n in table.column_names if n in wanted]).to_pylist()


def _answers(
    spec: ModelSpec, call: Mapping[str, object], ids: list[str], at: datetime | None, usual: Usual
) -> list[Row]:
    if at is None:
        raise _WrongError("timestamp", REASON)
    key = next((str(call[name]) for name in ids if call.get(name)), "")
    if not key:
        raise _WrongError(ids[0], "is missing")
    request, response = (_body(call, name) for name in BODIES)
    version = _version(call) or usual.version or str(call.get("served_entity_id") or "")
    try:
        rows = join(spec, request, response, key, at.isoformat(), version)
    except DataError as error:
        raise _WrongError("request", str(error)) from None
    if len(rows) > MOST_ANSWERS:
        raise _WrongError("request", f"asks for more than {MOST_ANSWERS:,} rows")
    spent = next((call[name] for name in DURATIONS if call.get(name) is not None), None)
    if spent is not None:
        latency = _number(spent, np.nan)
        rows = [row | {"latency_ms": latency} for row in rows] if latency >= 0 else rows
    return rows


def _body(call: Mapping[str, object], name: str) -> Body:
    text = call.get(name)
    if isinstance(text, Mapping):  # JSON lines may hold objects
        return text
    if not isinstance(text, str | bytes) or not text:
        why = f" ({codes})" if (codes := call.get("logging_error_codes")) else ""
        raise _WrongError(name, f"is missing{why}: it was not logged")
    try:
        return parse_body(text)
    except DataError as error:
        raise _WrongError(name, str(error)) from None


def _version(call: Mapping[str, object]) -> str:
    """Return the version that a call names: in a column of its own, or among its metadata."""
    if call.get("model_version"):
        return str(call["model_version"])
    data = call.get("request_metadata")
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return ""
    if isinstance(data, list):  # as Arrow gives maps
        data = dict(pair for pair in data if isinstance(pair, tuple))
    version = data.get("model_version") if isinstance(data, dict) else None
    return str(version) if version else ""


def _number(value: object, otherwise: float) -> float:
    try:
        return otherwise if value is None or value == "" else float(str(value))
    except ValueError:
        return float("nan")


def _kept(call: Mapping[str, object]) -> str:
    return json.dumps(
        {name: value for name, value in call.items() if value is not None}, default=str
    )


def id_column(names: list[str], told: Mapping[str, str]) -> str:
    """Return the column that is told to hold the ids of calls; empty if none is.

    Raises
    ------
    DataError
        If another name is mapped, or the column is not there.
    """
    for theirs, ours in told.items():
        if ours != "prediction_id":
            raise DataError(f"of an inference table only prediction_id can be mapped, not {ours!r}")
        if theirs not in names:
            raise DataError(f"there is no column {theirs!r} to map")
    return next(iter(told), "")
