"""Rows of the prediction log as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.domain.answers import probability_array
from homeostat.domain.columns import float_array, micros
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.predictions import NEVER, Floats, Micros, Predictions
from homeostat.domain.record import PROBABILITIES

LOGGED = ("prediction_id", "timestamp", "version", "role", "tier", "score", "prediction")
"""Columns of the log, besides the features, that `logged_predictions` needs."""


def logged_columns(spec: ModelSpec) -> Sequence[str]:
    """Return the columns to read from the log."""
    chances = (PROBABILITIES,) if spec.task is Task.MULTICLASS else ()
    return (*LOGGED, *chances, *spec.schema.names)


def with_features(spec: ModelSpec, rows: pa.Table) -> pa.Table:
    """Leave out rows that have no feature at all: they are older than features are kept.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import Column, ColumnKind, LabelSpec, Schema
    >>> columns = Schema((Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.NUMERIC)))
    >>> spec = ModelSpec("fraud", Task.BINARY, columns, LabelSpec(timedelta(days=30)))
    >>> rows = pa.table({"a": [1.0, None, None], "b": [None, 2.0, None], "score": [0.1, 0.2, 0.3]})
    >>> with_features(spec, rows)["score"].to_pylist()
    [0.1, 0.2]
    """
    held = set(rows.column_names)
    features = [rows.column(name) for name in spec.schema.names if name in held]
    if not features or not all(column.null_count for column in features):
        return rows
    there = np.zeros(rows.num_rows, np.bool_)
    for column in features:
        there |= np.asarray(column.is_valid().to_numpy(), np.bool_)
    return rows.filter(pa.array(there))


def logged_predictions(spec: ModelSpec, rows: pa.Table) -> Predictions:
    """Return logged rows as arrays.

    Parameters
    ----------
    spec : ModelSpec
    rows : pyarrow.Table
        The columns of `logged_columns`; with ``label`` and ``arrival`` if labels are of interest.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> from homeostat.domain.record import prediction_schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> len(logged_predictions(spec, prediction_schema(spec).empty_table()))
    0
    """
    labels = np.full(rows.num_rows, np.nan)
    arrivals = None
    if "label" in rows.column_names:
        labels = float_array(rows.column("label"))
        arrivals = _arrivals(rows)
    scores, held = float_array(rows.column("score")), set(rows.column_names)
    return Predictions(
        spec.task,
        _classes(spec),
        spec.threshold,
        _probabilities(spec, rows) if spec.task is Task.MULTICLASS else scores,
        _said(spec, rows, scores),
        labels,
        rows.select([name for name in spec.schema.names if name in held]),
        micros(rows, "timestamp"),
        arrivals,
        versions=rows.column("version"),
        ids=rows.column("prediction_id"),
    )


def _classes(spec: ModelSpec) -> tuple[str, ...]:
    return spec.classes or (("0", "1") if spec.task is Task.BINARY else ())


def _probabilities(spec: ModelSpec, rows: pa.Table) -> Floats:
    if PROBABILITIES not in rows.column_names or not spec.classes:
        return np.empty((rows.num_rows, 0))
    chances = probability_array(rows, len(spec.classes))
    # Where no row has any, the model gives classes only.
    return np.empty((rows.num_rows, 0)) if np.isnan(chances).all() else chances


def _said(spec: ModelSpec, rows: pa.Table, scores: Floats) -> Floats:
    """Return predictions; where a record has none, what follows from its score."""
    given = float_array(rows.column("prediction"))
    if spec.task is Task.BINARY:
        follows = np.where(np.isnan(scores), np.nan, scores >= spec.threshold)
        return np.where(np.isnan(given), follows, given)
    return np.where(np.isnan(given), scores, given)


def _arrivals(rows: pa.Table) -> Micros:
    arrived = rows.column("arrival").cast(pa.int64())
    never = pa.scalar(NEVER)
    return micros(pa.table({"at": pc.if_else(arrived.is_valid(), arrived, never)}), "at")
