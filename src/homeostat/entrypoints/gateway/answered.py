"""What was answered, first as lists for the caller, later as prediction records for the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.answers import probability_lists
from homeostat.domain.arms import Arm
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import ARM, PROBABILITIES, prediction_schema
from homeostat.entrypoints.gateway.batch import META, Batch
from homeostat.entrypoints.gateway.rows import RowBatch, joined
from homeostat.serving.plan import Answerer, Reason

Column: TypeAlias = "pa.Array[pa.Scalar[pa.DataType]]"

NO_AGES: Mapping[int, float] = MappingProxyType({})
NOT_SPLIT: Mapping[Answerer, float] = MappingProxyType({})  # all time is the model's
NO_ARMS: tuple[Arm, ...] = ()
MARKS = ("version", "role", "tier", "reason")


class Answered(NamedTuple):
    """One version's or tier's answer to each row of a request.

    Attributes
    ----------
    spec : ModelSpec
    batch : Batch or RowBatch
    version, role, tier, reason, scores, predictions : list
        One item a row.
    probabilities : float64 array of shape (rows, classes), or None
        Rows of NaN where there are none.
    latency_ms : float
    ages : mapping of int to float
        Seconds since a cached answer was given, by row.
    spent : mapping of Answerer to float
        Seconds that each tier took; empty if only the model was asked.
    arms : tuple of Arm
        Those of the route by which the rows were assigned.
    """

    spec: ModelSpec
    batch: Batch | RowBatch
    version: list[str]
    role: Sequence[str]
    tier: Sequence[Answerer]
    reason: Sequence[Reason]
    scores: list[float]
    predictions: list[float]
    probabilities: NDArray[np.float64] | None
    latency_ms: float
    ages: Mapping[int, float] = NO_AGES
    spent: Mapping[Answerer, float] = NOT_SPLIT
    arms: tuple[Arm, ...] = NO_ARMS

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.scores)

    def content(self) -> list[dict[str, object]]:
        """Return what the caller is told, one object a row."""
        told = zip(
            *(self.batch.ids, self.scores, self.predictions),
            *(self.version, self.tier, self.reason),
            strict=True,
        )
        rows: list[dict[str, object]] = [
            {
                "prediction_id": name,
                "score": score,
                "prediction": prediction,
                "version": version,
                "tier": tier,
                "reason": reason,
            }
            for name, score, prediction, version, tier, reason in told
        ]
        for place, age in self.ages.items():
            rows[place]["age_seconds"] = age
        if self.spec.task is Task.MULTICLASS:
            for row, chances in zip(rows, self.chances(), strict=True):
                row[PROBABILITIES] = chances.as_py()
        return rows

    def records(self) -> pa.Table:
        """Return the answers as prediction records."""
        return records([self])

    def chances(self) -> Column:
        """Return the probabilities as a column, null where there are none."""
        return probability_lists(self.probabilities, self.num_rows)


def predictions(spec: ModelSpec, scores: list[float]) -> list[float]:
    """Return what follows from each score."""
    if spec.task is not Task.BINARY:
        return scores
    threshold = spec.threshold
    return [1.0 if score >= threshold else 0.0 for score in scores]


def records(answers: Sequence[Answered]) -> pa.Table:
    """Return answers for one model as prediction records; small requests become one table.

    Parameters
    ----------
    answers : sequence of Answered
        At least one.
    """
    small = [one for one in answers if isinstance(one.batch, RowBatch)]
    tables = [_table(one.batch, [one]) for one in answers if isinstance(one.batch, Batch)]
    if small:
        batches = [one.batch for one in small if isinstance(one.batch, RowBatch)]
        tables.append(_table(joined(batches) if len(batches) > 1 else batches[0], small))
    return pa.concat_tables(tables)


def _table(batch: Batch | RowBatch, answers: Sequence[Answered]) -> pa.Table:
    """Return the records of answers whose rows are those of the batch."""
    spec = answers[0].spec
    names, timestamps, entities = (batch.meta[item] for item in META.names)
    scores = [one.scores for one in answers]
    predictions = [one.predictions for one in answers]
    latencies = [[one.latency_ms] * one.num_rows for one in answers]
    columns: list[Column | pa.ChunkedArray[pa.Scalar[pa.DataType]]] = [
        *(names, timestamps),
        *(_texts(getattr(one, item) for one in answers) for item in MARKS),
        entities,
        *(_numbers(scores), _numbers(predictions)),
    ]
    if spec.task is Task.MULTICLASS:
        columns.append(pa.chunked_array([one.chances() for one in answers]))
    columns += [_numbers(latencies), _arm_shares(answers), *batch.features.columns]
    return pa.Table.from_arrays(columns, schema=prediction_schema(spec))


def _arm_shares(answers: Sequence[Answered]) -> Column:
    """Return the chance with which each row's arm was chosen, null where it was no arm."""
    if not any(one.arms for one in answers):
        return pa.nulls(sum(one.num_rows for one in answers), pa.float64())
    found: list[float | None] = []
    arms, shares = NO_ARMS, dict[str, float]()
    for one in answers:
        if one.arms is not arms:  # the same object while the route is: an arm may have many slots
            arms = one.arms
            shares = {ARM + arm.version: arm.share for arm in arms}
        found += [shares.get(role) for role in one.role]
    return pa.array(found, pa.float64())


def _texts(lists: Iterable[Sequence[str]]) -> Column:
    return pa.array(list(chain.from_iterable(lists)), pa.string())


def _numbers(lists: Iterable[Sequence[float]]) -> Column:
    return pa.array(list(chain.from_iterable(lists)), pa.float64())
