"""Which rows the prediction log takes: one bad row never spoils its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.casting import cast_column
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import OUTCOME_SCHEMA, PROBABILITIES, prediction_schema
from homeostat.domain.window import EPOCH

MAX_AHEAD = timedelta(minutes=5)
"""How far ahead of the clock a time may be: clocks of machines differ."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
"""Times before it are taken for errors."""
_EARLIEST = (EARLIEST - EPOCH) // timedelta(microseconds=1)

MOST_VERSION = 200
"""Characters of a version's name."""

SUM_SLACK = 0.02
"""How far from 1 probabilities may add up: senders round them to two places."""

RANGE_SLACK = 1e-6
"""How far outside [0, 1] a probability may lie: single precision rounds it there."""

_SAID = ("score", "prediction")

MOST_UNNAMED = 1000
"""Most classes of a multi-class model that names none."""

Problems = dict[int, tuple[str, str]]
"""Row number -> (column, reason); the first problem of a row counts."""


def class_count(spec: ModelSpec) -> int:
    """Return how many classes a classifier's indices may tell apart; 0 of a regression.

    Examples
    --------
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> class_count(ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=1))))
    2
    """
    if spec.task is Task.REGRESSION:
        return 0
    return len(spec.classes) or (2 if spec.task is Task.BINARY else MOST_UNNAMED)


def class_indices(spec: ModelSpec, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values are the index of one of the model's classes; of a regression all are.

    Parameters
    ----------
    spec : ModelSpec
    values : ndarray of float64, shape (n,)
        NaN is no index.

    Examples
    --------
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=1)))
    >>> class_indices(spec, np.array([0.0, 1.0, 2.0, 0.5, -1.0, np.nan])).tolist()
    [True, True, False, False, False, False]
    """
    count = class_count(spec)
    if not count:
        return np.ones(values.shape, dtype=np.bool_)
    return np.asarray((values >= 0) & (values < count) & (values == np.floor(values)))


def as_admitted(spec: ModelSpec, rows: pa.Table) -> tuple[pa.Table, int]:
    """Make null in logged rows what would not be admitted as a class, or its chance, today.

    Rows may be older than a check, or than the list of classes.

    Parameters
    ----------
    spec : ModelSpec
    rows : pyarrow.Table
        Some of the columns of prediction records, and ``label`` or not.

    Returns
    -------
    pyarrow.Table, int
        The same rows, and how many of them had such a value.

    Examples
    --------
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=1)))
    >>> rows, strange = as_admitted(spec, pa.table({"label": [1.0, 7.0]}))
    >>> rows["label"].to_pylist(), strange
    ([1.0, None], 1)
    """
    strange = np.zeros(rows.num_rows, dtype=np.bool_)
    checked = dict.fromkeys(_class_columns(spec, (*_SAID, "label")), class_indices)
    if spec.task is Task.BINARY:
        checked["score"] = _chances
    for name, fits in checked.items():
        if name not in rows.column_names:
            continue
        values = _numbers(rows, name)
        wrong = ~(np.isnan(values) | fits(spec, values))
        if wrong.any():
            kept = pa.array(values, mask=wrong | np.isnan(values))
            place = rows.column_names.index(name)
            rows = rows.set_column(place, rows.schema.field(name), pa.chunked_array([kept]))
            strange |= wrong
    return rows, int(strange.sum())


def admit_predictions(spec: ModelSpec, rows: pa.Table, now: datetime) -> tuple[pa.Table, Problems]:
    """Cast rows to `prediction_schema` and find those that cannot be taken.

    Parameters
    ----------
    spec : ModelSpec
    rows : pyarrow.Table
        Columns in any order; those that are absent are taken as null.
    now : datetime
        Times more than `MAX_AHEAD` after it are refused, as are those before `EARLIEST`.

    Returns
    -------
    table : pyarrow.Table
        All rows, cast; those with a problem may hold nulls.
    problems : dict
        Empty id, version or timestamp, a score that is not finite, or of a binary model outside
        [0, 1], a value of the wrong type, a time in the future, a class that the model does not
        have, a share of an arm that is not in (0, 1], probabilities that are not one a class, in
        [0, 1], with sum 1.

    Raises
    ------
    DataError
        If there is a column that the model does not have.
    """
    table, problems = cast_predictions(spec, rows)
    for name in ("prediction_id", "version"):
        _require_text(table, name, problems)
    _require_version(table, problems)
    _require_finite(table, "score", problems)
    _require_time(table, "timestamp", now, problems)
    if spec.task is Task.BINARY:
        _require_chance(spec, table, "score", problems)
    _require_classes(spec, table, _SAID, problems)
    _require_share(table, problems)
    if PROBABILITIES in table.column_names:
        _require_probabilities(table, len(spec.classes), problems)
    return table, problems


def admit_labels(spec: ModelSpec, rows: pa.Table, now: datetime) -> tuple[pa.Table, Problems]:
    """Cast rows to `OUTCOME_SCHEMA` and find those that cannot be taken; see `admit_predictions`.

    The label of a classifier must be the index of a class; an outcome must be one of the model's.
    """
    table, problems = cast_labels(spec, rows)
    usual = pa.chunked_array([pa.repeat(pa.scalar(""), table.num_rows)])
    outcome = pc.coalesce(table.column("outcome"), usual)
    table = table.set_column(table.column_names.index("outcome"), "outcome", outcome)
    _require_text(table, "prediction_id", problems)
    _require_finite(table, "label", problems)
    other = np.asarray(pc.not_equal(outcome, pa.scalar("")), np.bool_)
    if other.any():
        known = np.asarray(pc.is_in(outcome, pa.array(("", *spec.outcomes))), np.bool_)
        there = ", ".join(spec.outcomes) or "none"
        _note(problems, ~known, "outcome", f"is not one of the model's outcomes: {there}")
    _require_classes(spec, table, ("label",), problems, beside=other)
    _require_time(table, "arrival", now, problems)
    return table, problems


def cast_predictions(
    spec: ModelSpec, rows: pa.Table, schema: pa.Schema | None = None
) -> tuple[pa.Table, Problems]:
    """Cast rows to the columns of prediction records; of `admit_predictions` the first part.

    Parameters
    ----------
    spec : ModelSpec
    rows : pyarrow.Table
    schema : pyarrow.Schema, optional
        The model's `prediction_schema`, if it is at hand.

    Returns
    -------
    pyarrow.Table, dict
        The rows, null where a value is of the wrong type, and those problems.

    Raises
    ------
    DataError
        If there is a column that the model does not have.
    """
    return _cast(rows, schema or prediction_schema(spec), f"model {spec.name!r}")


def cast_labels(spec: ModelSpec, rows: pa.Table) -> tuple[pa.Table, Problems]:
    """Cast rows to `OUTCOME_SCHEMA`; see `cast_predictions`."""
    return _cast(rows, OUTCOME_SCHEMA, f"labels of model {spec.name!r}")


def _cast(rows: pa.Table, schema: pa.Schema, owner: str) -> tuple[pa.Table, Problems]:
    if rows.schema.equals(schema):
        return rows, {}
    names = set(schema.names)
    unknown = [name for name in rows.column_names if name not in names]
    if unknown:
        raise DataError(f"unknown column {unknown[0]!r}: {owner} has {', '.join(schema.names)}")
    problems: Problems = {}
    columns: list[pa.ChunkedArray[pa.Scalar[pa.DataType]]] = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.chunked_array([pa.nulls(rows.num_rows, field.type)]))
            continue
        column = rows.column(field.name)
        if column.type == field.type:
            columns.append(column)
            continue
        values, bad, reason = cast_column(column, field.type)
        _note(problems, bad, field.name, reason)
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=schema), problems


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    # Nulls become NaN.
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _note(problems: Problems, bad: NDArray[np.bool_], column: str, reason: str) -> None:
    for row in np.flatnonzero(bad).tolist():
        problems.setdefault(row, (column, reason))


def _require_text(table: pa.Table, name: str, problems: Problems) -> None:
    sizes = pc.coalesce(pc.binary_length(table.column(name)), pa.scalar(0, pa.int32()))
    there = np.asarray(sizes) > 0
    if not there.all():
        _note(problems, ~there, name, "is missing")


def _require_version(table: pa.Table, problems: Problems) -> None:
    # Versions are parts of keys. There are few: looking at each row would cost more.
    column = table.column("version")
    names = pc.unique(column)
    wrong = pc.or_(
        pc.greater(pc.utf8_length(names), pa.scalar(MOST_VERSION)),
        pc.match_substring_regex(names, r"[\x00-\x1f\x7f]"),
    )
    bad = names.filter(wrong)
    if len(bad):
        found = np.asarray(pc.is_in(column, bad), np.bool_)
        reason = f"has more than {MOST_VERSION} characters, or control characters"
        _note(problems, found, "version", reason)


def _require_finite(table: pa.Table, name: str, problems: Problems) -> None:
    finite = np.isfinite(_numbers(table, name))
    if not finite.all():
        _note(problems, ~finite, name, "is missing, NaN or infinite")


def _chances(spec: ModelSpec, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    del spec
    return np.asarray((values >= 0) & (values <= 1))


def _require_chance(spec: ModelSpec, table: pa.Table, name: str, problems: Problems) -> None:
    values = _numbers(table, name)
    bad = ~(np.isnan(values) | _chances(spec, values))
    _note(problems, bad, name, "is no probability: it is not in [0, 1]")


def _require_share(table: pa.Table, problems: Problems) -> None:
    column = table.column("arm_share")
    if column.null_count < len(column):
        values = _numbers(table, "arm_share")
        bad = ~(np.isnan(values) | ((values > 0) & (values <= 1)))
        _note(problems, bad, "arm_share", "is not in (0, 1]")


def _class_columns(spec: ModelSpec, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return which columns hold class indices: a binary score is a probability."""
    if spec.task is Task.REGRESSION:
        return ()
    return tuple(name for name in names if name != "score" or spec.task is Task.MULTICLASS)


def _require_classes(
    spec: ModelSpec,
    table: pa.Table,
    names: tuple[str, ...],
    problems: Problems,
    beside: NDArray[np.bool_] | None = None,
) -> None:
    reason = f"is not the index of one of the {class_count(spec)} classes"
    for name in _class_columns(spec, names):
        values = _numbers(table, name)
        # What is missing has been told, or may be.
        bad = ~(np.isnan(values) | class_indices(spec, values))
        _note(problems, bad if beside is None else bad & ~beside, name, reason)


def _require_time(table: pa.Table, name: str, now: datetime, problems: Problems) -> None:
    column = table.column(name)
    if column.null_count:
        _note(problems, np.asarray(column.is_null().to_numpy(), dtype=bool), name, "is missing")
    # Microseconds fit into a float's 53 bits until the year 2255; nulls become NaN.
    micros = np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.float64)
    latest = (now + MAX_AHEAD - EPOCH) // timedelta(microseconds=1)
    _note(problems, micros > latest, name, "lies in the future; are the clocks right?")
    _note(problems, micros < _EARLIEST, name, f"lies before {EARLIEST:%Y-%m-%d}")


def _require_probabilities(table: pa.Table, classes: int, problems: Problems) -> None:
    # Null is fine: a fallback has none, nor has a sender who knows the class only.
    column = table.column(PROBABILITIES)
    present = np.asarray(column.is_valid().to_numpy(), dtype=np.bool_)
    if not present.any():
        return
    lists = column.combine_chunks()
    sizes = np.asarray(pc.list_value_length(lists).fill_null(0).to_numpy(), dtype=np.int64)
    if classes:
        _note(
            problems, present & (sizes != classes), PROBABILITIES, f"must be {classes}, one a class"
        )
    values = np.asarray(pc.list_flatten(lists).to_numpy(zero_copy_only=False), dtype=np.float64)
    rows = np.repeat(np.arange(table.num_rows), sizes)
    inside = (values >= -RANGE_SLACK) & (values <= 1 + RANGE_SLACK)  # false for null and NaN
    outside = np.bincount(rows[~inside], minlength=table.num_rows) > 0
    _note(problems, outside, PROBABILITIES, "must be numbers from 0 to 1")
    sums = np.bincount(rows[inside], values[inside], minlength=table.num_rows)
    _note(problems, present & (np.abs(sums - 1) > SUM_SLACK), PROBABILITIES, "must add up to 1")
