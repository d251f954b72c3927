"""Rows in, answers out: what a version makes of one request, or of several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models import MatrixPredictor, Predictor, Row
from homeostat.domain.answers import Answers, read_outputs
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import feature_schema
from homeostat.entrypoints.gateway.batch import Batch
from homeostat.entrypoints.gateway.rows import RowBatch

AnyBatch: TypeAlias = Batch | RowBatch
FromRows: TypeAlias = Callable[[Sequence[Row]], NDArray[np.float64]]
Asked: TypeAlias = tuple[AnyBatch, Sequence[int]]


def taken(batch: AnyBatch, rows: Sequence[int]) -> pa.Table:
    """Return some rows as columns."""
    return batch.features if len(rows) == batch.size else batch.features.take(rows)


def read_rows(
    read: FromRows | None, batch: AnyBatch, rows: Sequence[int]
) -> NDArray[np.float64] | None:
    """Return what `read` makes of some rows; None if they are no rows, or there is no `read`."""
    if read is None or not isinstance(batch, RowBatch):
        return None
    return read(batch.some(rows))


def answers(spec: ModelSpec, predictor: Predictor, table: pa.Table) -> Answers:
    """Predict from columns; raises ArtifactError as `LoadedVersion.answer`."""
    return read_outputs(spec, predictor.predict(table), table.num_rows)


def joint_answers(
    spec: ModelSpec, predictor: Predictor, from_rows: FromRows | None, asked: Sequence[Asked]
) -> list[Answers]:
    """Predict for several requests at once; raises ArtifactError as `LoadedVersion.answer`."""
    ends = np.cumsum([len(rows) for _, rows in asked]).tolist()
    if from_rows is not None and all(isinstance(batch, RowBatch) for batch, _ in asked):
        values = [
            value
            for batch, rows in asked
            if isinstance(batch, RowBatch)
            for value in batch.some(rows)
        ]
        found = read_outputs(spec, from_rows(values), len(values))
    else:
        tables = [taken(batch, rows) for batch, rows in asked]
        found = answers(
            spec, predictor, tables[0] if len(tables) == 1 else pa.concat_tables(tables)
        )
    return [
        found.take(np.arange(end - len(rows), end))
        for (_, rows), end in zip(asked, ends, strict=True)
    ]


def from_rows_of(spec: ModelSpec, predictor: Predictor) -> FromRows | None:
    """Return what gives a predictor's outputs for rows; None if it needs a table."""
    if not isinstance(predictor, MatrixPredictor):
        return None
    read = predictor.encoding.reader(feature_schema(spec).names)
    return lambda rows: predictor.predict_matrix(read(rows))
